// How old the picture of ConnectWise is, whether something was written since, and reading it again.
import { Alert, Box, Button, Group, Text } from '@mantine/core';
import { IconRefresh } from '@tabler/icons-react';
import { useState } from 'react';
import { queries } from '../api/client';
import { useStart, type Run } from '../api/runs';
import { useFormats } from '../format';
import { useWords } from '../i18n';
import { useMay, useOrg } from '../session';
import { ProblemNote } from './Problem';
import { RunProgress } from './RunProgress';

const WRITES: ReadonlySet<string> = new Set(['apply', 'sync', 'quantity', 'upload']);
const LOOKED_AT = 20;

/** A run that counts what it wrote, and wrote nothing, changed nothing. */
function mayHaveWritten(run: Run): boolean {
  if (!WRITES.has(run.kind)) return false;
  const { summary } = (run.result ?? {}) as { summary?: { applied: number; in_doubt: number } | null };
  return summary == null || summary.applied + summary.in_doubt > 0;
}

export function PictureAge({ readAt }: { readAt: string | null | undefined }) {
  const { t } = useWords();
  const { ago, instant } = useFormats();
  const org = useOrg();
  const mayRun = useMay('runs.write');
  const mayLook = useMay('runs.read');
  const start = useStart(org);
  const [run, setRun] = useState<string | null>(null);
  const runs = queries.useQuery(
    'get',
    '/api/v1/organizations/{org}/runs',
    { params: { path: { org }, query: { limit: LOOKED_AT } } },
    { enabled: mayLook && readAt != null },
  );
  if (readAt == null) return null;
  const since = runs.data?.items.find(
    (one) =>
      mayHaveWritten(one) && one.finished_at != null && Date.parse(one.finished_at) > Date.parse(readAt),
  );
  const again = mayRun && run === null && (
    <Button
      size="compact-sm"
      variant="default"
      loading={start.isPending}
      onClick={() => start.mutate({ kind: 'pull' }, { onSuccess: (begun) => setRun(begun.run_id) })}
    >
      {t('overview.picture.read')}
    </Button>
  );
  const age = t('overview.picture', { when: ago(readAt) });
  return (
    <>
      {since === undefined ? (
        <Group gap="sm">
          <Text size="sm" c="dimmed" title={instant(readAt)}>
            {age}
          </Text>
          {again}
        </Group>
      ) : (
        <Alert variant="light" color="yellow" icon={<IconRefresh aria-hidden />}>
          <Group justify="space-between" gap="sm">
            <Box flex="1 1 16rem">
              <Text size="sm" title={instant(readAt)}>
                {age} {t('picture.written', { when: instant(since.finished_at ?? '') })}
              </Text>
            </Box>
            {again}
          </Group>
        </Alert>
      )}
      {start.error !== null && <ProblemNote error={start.error} />}
      {run !== null && <RunProgress id={run} onClose={() => setRun(null)} />}
    </>
  );
}
