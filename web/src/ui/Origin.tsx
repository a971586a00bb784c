// Where something that is inherited was set: here, or by which organization above.
import { Badge, Text } from '@mantine/core';
import { queries } from '../api/client';
import { useWords } from '../i18n';

export function SetHere() {
  const { t } = useWords();
  return (
    <Badge className="badge" variant="light" color="cyan" tt="none" fw={500} radius="sm" miw="max-content">
      {t('settings.from.own')}
    </Badge>
  );
}

export function SetBy({ organization }: { organization: string }) {
  const { t } = useWords();
  const path = { org: organization };
  const found = queries.useQuery('get', '/api/v1/organizations/{org}', { params: { path } }, { retry: false });
  return (
    <Text size="sm" component="span">
      {t('settings.from.named', { name: found.data?.name ?? organization })}
    </Text>
  );
}
