// How trueup works for an organization, and who may work with it.
import { Stack, Tabs } from '@mantine/core';
import { useSearchParams } from 'react-router';
import { queries } from '../api/client';
import { useWords } from '../i18n';
import { useOrg, useSession } from '../session';
import { Page } from '../ui/Page';
import { Approval } from './settings/Approval';
import { People } from './settings/People';
import { Schedules } from './settings/Schedules';
import { AllSettings } from './settings/SettingsTable';
import { Tokens } from './settings/Tokens';
import { Webhooks } from './settings/Webhooks';

/** Each tab and the right without which it is not shown. */
const TABS = [
  { id: 'all', right: 'settings.read' },
  { id: 'schedules', right: 'runs.read' },
  { id: 'approval', right: 'settings.read' },
  { id: 'people', right: 'users.read' },
  { id: 'tokens', right: 'tokens.read' },
  { id: 'webhooks', right: 'webhooks.read' },
] as const;
type Tab = (typeof TABS)[number]['id'];

export default function SettingsPage() {
  const { t } = useWords();
  const org = useOrg();
  const { rights } = useSession();
  const [params, setParams] = useSearchParams();
  const found = queries.useQuery('get', '/api/v1/organizations/{org}', { params: { path: { org } } });
  const seen = TABS.filter((one) => rights.includes(one.right));
  const tab = seen.find((one) => one.id === params.get('tab'))?.id ?? 'all';
  return (
    <Page title={t('settings.title')} lead={t('settings.lead', { name: found.data?.name ?? org })}>
      <Tabs
        value={tab}
        onChange={(value) => setParams(value === 'all' || value === null ? {} : { tab: value })}
        keepMounted={false}
      >
        <Tabs.List mb="lg">
          {seen.map((one) => (
            <Tabs.Tab key={one.id} value={one.id}>
              {t(`settings.tab.${one.id}`)}
            </Tabs.Tab>
          ))}
        </Tabs.List>
        {seen.map((one) => (
          <Tabs.Panel key={one.id} value={one.id}>
            <Stack gap="lg">
              <Content tab={one.id} />
            </Stack>
          </Tabs.Panel>
        ))}
      </Tabs>
    </Page>
  );
}

function Content({ tab }: { tab: Tab }) {
  const org = useOrg();
  switch (tab) {
    case 'all':
      return <AllSettings org={org} />;
    case 'schedules':
      return <Schedules />;
    case 'approval':
      return <Approval />;
    case 'people':
      return <People />;
    case 'tokens':
      return <Tokens />;
    case 'webhooks':
      return <Webhooks />;
  }
}
