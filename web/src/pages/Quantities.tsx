// What is only counted: services and what they are billed as, customers, and every quantity with its reason.
import { Alert, Anchor, Button, Checkbox, Group, Modal, Stack, Tabs, Text } from '@mantine/core';
import { IconRefresh } from '@tabler/icons-react';
import { useMutation } from '@tanstack/react-query';
import { useState } from 'react';
import { Link, useSearchParams } from 'react-router';
import { answer, api, type Schemas } from '../api/client';
import { fetchNames, type Names } from '../api/names';
import { useWords } from '../i18n';
import { useMay, useOrg } from '../session';
import { FindingList, namesOfFindings } from '../ui/Findings';
import { Empty, Page, Panel, Waiting } from '../ui/Page';
import { ProblemNote } from '../ui/Problem';
import { RunProgress } from '../ui/RunProgress';
import { Customers } from './quantities/Customers';
import { BASE, namesOfLines, useCounted, type Preview } from './quantities/data';
import { Lines, LineTable } from './quantities/Lines';
import { Services } from './quantities/Services';

const TABS = ['lines', 'services', 'customers'] as const;

interface Compared {
  preview: Preview;
  names: Names;
  about: Names;
}

export default function QuantitiesPage() {
  const { t } = useWords();
  const org = useOrg();
  const [params, setParams] = useSearchParams();
  const counted = useCounted();
  const [run, setRun] = useState<string | null>(null);
  const [running, setRunning] = useState(false);
  const mayRun = useMay('runs.write');
  const mayPlan = useMay('plans.write');
  const mayLook = useMay('plans.read');
  const compare = useMutation({
    mutationFn: async (): Promise<Compared> => {
      const preview = await answer(api.POST(`${BASE}/quantity/preview`, { params: { path: { org } }, body: {} }));
      const names = await namesOfLines(org, preview.lines);
      return { preview, names, about: await fetchNames(org, namesOfFindings(preview.findings)) };
    },
  });
  const seen = TABS.filter((one) => one !== 'lines' || mayLook);
  // Who begins has nothing to look at yet: first somebody says what is billed as what. Assigning does not lead away.
  const [start, setStart] = useState<(typeof TABS)[number] | null>(null);
  if (start === null && counted.data !== undefined) {
    const begun = mayLook && counted.data.services.some((one) => one.state === 'assigned');
    setStart(begun ? 'lines' : 'services');
  }
  const tab = seen.find((one) => one === params.get('tab')) ?? start ?? 'services';
  return (
    <Page
      title={t('quantities.title')}
      lead={t('quantities.lead')}
      actions={
        <>
          {mayPlan && (
            <Button
              variant="default"
              leftSection={<IconRefresh size={16} aria-hidden />}
              loading={compare.isPending}
              onClick={() => compare.mutate()}
            >
              {t('quantities.compare')}
            </Button>
          )}
          {mayRun && <Button onClick={() => setRunning(true)}>{t('quantities.run')}</Button>}
        </>
      }
    >
      {compare.error !== null && <ProblemNote error={compare.error} />}
      {run !== null && <RunProgress id={run} onClose={() => setRun(null)} />}
      {compare.data !== undefined ? (
        <Comparison compared={compare.data} close={compare.reset} />
      ) : counted.data === undefined && counted.error === null ? (
        <Waiting rows={8} />
      ) : (
        <Tabs
          value={tab}
          onChange={(value) => setParams(value === null ? {} : { tab: value })}
          keepMounted={false}
        >
          <Tabs.List mb="lg">
            {seen.map((one) => (
              <Tabs.Tab key={one} value={one}>
                {t(`quantities.tab.${one}`)}
              </Tabs.Tab>
            ))}
          </Tabs.List>
          <Tabs.Panel value="lines">
            <Lines />
          </Tabs.Panel>
          <Tabs.Panel value="services">
            <Services />
          </Tabs.Panel>
          <Tabs.Panel value="customers">
            <Customers />
          </Tabs.Panel>
        </Tabs>
      )}
      <RunDialog
        opened={running}
        close={() => setRunning(false)}
        begun={(id) => {
          setRunning(false);
          compare.reset();
          setRun(id);
        }}
      />
    </Page>
  );
}

/** What a comparison of now would write; nothing was written for it. */
function Comparison({ compared, close }: { compared: Compared; close: () => void }) {
  const { t, tn } = useWords();
  const org = useOrg();
  const { preview, names, about } = compared;
  const { plan, findings } = preview;
  const changes = plan?.changes.length ?? 0;
  return (
    <Stack>
      <Alert
        variant="light"
        color={plan == null ? 'green' : 'cyan'}
        title={plan == null ? t('quantities.compared.none') : tn('quantities.compared', changes)}
        withCloseButton
        closeButtonLabel={t('action.close')}
        onClose={close}
      >
        <Group gap="md">
          <Text size="sm">{t('quantities.compared.note')}</Text>
          {plan != null && (
            <Anchor component={Link} to={`/o/${org}/plans/${encodeURIComponent(plan.plan_id)}`} size="sm">
              {t('run.toPlan')}
            </Anchor>
          )}
        </Group>
      </Alert>
      {findings.length > 0 && (
        <Panel title={t('run.findings')} flush>
          <FindingList findings={findings} names={about} />
        </Panel>
      )}
      <Text component="h2" fw={600} m={0}>
        {t('quantities.compared.lines')}
      </Text>
      <LineTable lines={preview.lines} names={names} none={<Empty title={t('quantities.compared.empty')} />} />
    </Stack>
  );
}

function RunDialog(props: { opened: boolean; close: () => void; begun: (run: string) => void }) {
  const { t } = useWords();
  const org = useOrg();
  const [adopt, setAdopt] = useState(false);
  const [approve, setApprove] = useState(false);
  const mayApprove = useMay('approvals.write');
  const start = useMutation({
    mutationFn: (body: Schemas['NewQuantityComparison']) =>
      answer(api.POST(`${BASE}/quantity/run`, { params: { path: { org } }, body })),
    onSuccess: (begun) => props.begun(begun.run_id),
  });
  return (
    <Modal opened={props.opened} onClose={props.close} title={t('quantities.run.title')}>
      <Stack>
        <Text size="sm">{t('quantities.run.lead')}</Text>
        <Checkbox
          label={t('quantities.run.adopt')}
          description={t('quantities.run.adopt.help')}
          checked={adopt}
          onChange={(event) => setAdopt(event.currentTarget.checked)}
        />
        {mayApprove && (
          <Checkbox
            label={t('quantities.run.approve')}
            description={t('quantities.run.approve.help')}
            checked={approve}
            onChange={(event) => setApprove(event.currentTarget.checked)}
          />
        )}
        {start.error !== null && <ProblemNote error={start.error} />}
        <Group justify="flex-end">
          <Button variant="default" onClick={props.close} data-autofocus>
            {t('action.cancel')}
          </Button>
          <Button loading={start.isPending} onClick={() => start.mutate({ adopt, approve })}>
            {t('quantities.run')}
          </Button>
        </Group>
      </Stack>
    </Modal>
  );
}
