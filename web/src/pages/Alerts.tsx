// Alerts and their tickets: what is wrong, by which rule it becomes a ticket, and what went on.
import { Button, Tabs } from '@mantine/core';
import { IconPlayerPlay, IconTicket } from '@tabler/icons-react';
import { useMutation } from '@tanstack/react-query';
import { useState } from 'react';
import { useSearchParams } from 'react-router';
import { useWords } from '../i18n';
import { useMay, useOrg } from '../session';
import { Page } from '../ui/Page';
import { ProblemNote } from '../ui/Problem';
import { RunProgress } from '../ui/RunProgress';
import { ActivityTab } from './alerts/Activity';
import { AlertList } from './alerts/AlertList';
import { startRun } from './alerts/data';
import { Rules } from './alerts/Rules';
import { TestDialog } from './alerts/TestDialog';

const TABS = ['alerts', 'rules', 'log'] as const;

export default function AlertsPage() {
  const { t } = useWords();
  const org = useOrg();
  const [params, setParams] = useSearchParams();
  const [run, setRun] = useState<string | null>(null);
  const [testing, setTesting] = useState(false);
  const mayRun = useMay('runs.write');
  const mayRule = useMay('settings.read');
  const start = useMutation({
    mutationFn: () => startRun(org),
    onSuccess: (begun) => setRun(begun.run_id),
  });
  const seen = TABS.filter((one) => one !== 'rules' || mayRule);
  const tab = seen.find((one) => one === params.get('tab')) ?? 'alerts';
  return (
    <Page
      title={t('alerts.title')}
      lead={t('alerts.lead')}
      actions={
        mayRun && (
          <>
            <Button
              variant="default"
              leftSection={<IconTicket size={16} aria-hidden />}
              onClick={() => setTesting(true)}
            >
              {t('alerts.test')}
            </Button>
            <Button
              leftSection={<IconPlayerPlay size={16} aria-hidden />}
              loading={start.isPending}
              onClick={() => start.mutate()}
            >
              {t('alerts.run')}
            </Button>
          </>
        )
      }
    >
      {start.error !== null && <ProblemNote error={start.error} />}
      {run !== null && <RunProgress id={run} onClose={() => setRun(null)} />}
      <Tabs value={tab} onChange={(value) => setParams(value === null ? {} : { tab: value })} keepMounted={false}>
        <Tabs.List mb="lg">
          {seen.map((one) => (
            <Tabs.Tab key={one} value={one}>
              {t(`alerts.tab.${one}`)}
            </Tabs.Tab>
          ))}
        </Tabs.List>
        <Tabs.Panel value="alerts">
          <AlertList />
        </Tabs.Panel>
        <Tabs.Panel value="rules">
          <Rules />
        </Tabs.Panel>
        <Tabs.Panel value="log">
          <ActivityTab />
        </Tabs.Panel>
      </Tabs>
      <TestDialog opened={testing} close={() => setTesting(false)} kind={params.get('kind')} />
    </Page>
  );
}
