// One plan: what it does to the next invoices, line by line; write it, follow it, take it back.
import { Alert, Box, Button, Group, Modal, SimpleGrid, Stack, Switch, Text } from '@mantine/core';
import { useMutation, useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { useNavigate, useParams } from 'react-router';
import { answer, api, type Schemas } from '../api/client';
import { fetchNames } from '../api/names';
import { useStart } from '../api/runs';
import { useFormats } from '../format';
import { useWords } from '../i18n';
import { useMay, useOrg } from '../session';
import { PlanState } from '../ui/Badges';
import { Changes, namesOfChanges } from '../ui/Changes';
import { FindingList, namesOfFindings } from '../ui/Findings';
import { Empty, Page, Panel, Waiting } from '../ui/Page';
import { ProblemNote } from '../ui/Problem';
import { RunProgress } from '../ui/RunProgress';

type Plan = Schemas['PlanDoc'];

const BASE = '/api/v1/organizations/{org}';
/** More lines than that are shown on demand: a browser draws them slowly. */
const AT_ONCE = 200;

async function load(org: string, plan: string, all: boolean) {
  const query = { all_lines: all };
  const found = await answer(api.GET(`${BASE}/plans/{plan}`, { params: { path: { org, plan }, query } }));
  const [of, about] = [namesOfChanges(found.changes), namesOfFindings(found.findings)];
  const wish = {
    ...of,
    customers: [...of.customers, ...about.customers],
    products: [...of.products, ...about.products],
  };
  return { plan: found, names: await fetchNames(org, wish) };
}

export default function PlanPage() {
  const { t } = useWords();
  const { instant } = useFormats();
  const org = useOrg();
  const { plan: id = '' } = useParams();
  const [all, setAll] = useState(false);
  const [shown, setShown] = useState(AT_ONCE);
  const found = useQuery({ queryKey: ['plan', org, id, all], queryFn: () => load(org, id, all) });
  const plan = found.data?.plan;
  return (
    <Page
      title={t('plan.title')}
      lead={
        plan === undefined ? undefined : (
          <Group gap="xs">
            <PlanState state={plan.state} />
            <span>{t('plan.made', { when: instant(plan.created_at), actor: plan.actor })}</span>
          </Group>
        )
      }
      actions={plan === undefined ? undefined : <Actions plan={plan} />}
    >
      {found.data === undefined || plan === undefined ? (
        found.error === null ? (
          <Box className="panel">
            <Waiting rows={10} />
          </Box>
        ) : (
          <ProblemNote error={found.error} retry={() => void found.refetch()} />
        )
      ) : (
        <>
          <Effect plan={plan} />
          {plan.findings.length > 0 && (
            <Panel title={t('plan.findings')} flush>
              <FindingList findings={plan.findings} names={found.data.names} />
            </Panel>
          )}
          <Group justify="space-between">
            <Text component="h2" fw={600} m={0}>
              {t('plan.lines')}
            </Text>
            {plan.totals.keep > 0 && (
              <Switch
                size="xs"
                label={t('plan.all')}
                checked={all}
                onChange={(event) => setAll(event.currentTarget.checked)}
              />
            )}
          </Group>
          {plan.changes.length === 0 ? (
            <Box className="panel">
              <Empty title={t('plan.nothing')} detail={t('plan.nothing.detail')} />
            </Box>
          ) : (
            <Changes changes={plan.changes.slice(0, shown)} names={found.data.names} />
          )}
          {plan.changes.length > shown && (
            <Group justify="center">
              <Button variant="default" onClick={() => setShown(shown + AT_ONCE)}>
                {t('action.more')}
              </Button>
            </Group>
          )}
        </>
      )}
    </Page>
  );
}

/** The next invoices before and after, each currency on its own. */
export function Effect({ plan }: { plan: Plan }) {
  const { t } = useWords();
  const { money, change, count } = useFormats();
  const { totals } = plan;
  const counts = (['create', 'update', 'cancel', 'delete', 'keep'] as const).filter((key) => totals[key] > 0);
  return (
    <SimpleGrid cols={{ base: 1, md: 2 }} spacing="lg">
      <Panel title={t('plan.effect')}>
        {Object.keys(totals.by_currency).length === 0 ? (
          <Text size="sm" c="dimmed">
            {t('plan.effect.none')}
          </Text>
        ) : (
          <Box role="region" tabIndex={0} aria-label={t('plan.effect')} style={{ overflowX: 'auto' }}>
            <table className="sums">
              <thead>
                <tr>
                  <th scope="col">{t('plan.currency')}</th>
                  <th scope="col" className="num">
                    {t('plan.before')}
                  </th>
                  <th scope="col" className="num">
                    {t('plan.after')}
                  </th>
                  <th scope="col" className="num">
                    {t('plan.delta')}
                  </th>
                </tr>
              </thead>
              <tbody>
                {Object.entries(totals.by_currency).map(([currency, sums]) => (
                  <tr key={currency}>
                    <th scope="row">{currency}</th>
                    <td className="num">{money(sums.next_invoice_before, currency)}</td>
                    <td className="num">{money(sums.next_invoice_after, currency)}</td>
                    <td className={`num ${sums.delta.startsWith('-') ? 'loss' : 'gain'}`}>
                      <b>{change(sums.delta, currency)}</b>
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </Box>
        )}
      </Panel>
      <Panel title={t('plan.counts')}>
        {counts.length === 0 ? (
          <Text size="sm" c="dimmed">
            {t('plan.nothing')}
          </Text>
        ) : (
          <Group gap="xl">
            {counts.map((key) => (
              <Box key={key}>
                <Text fz={22} fw={600} className="figure" lh={1.2}>
                  {count(totals[key])}
                </Text>
                <Text size="sm" c="dimmed">
                  {t(`plans.col.${key}`)}
                </Text>
              </Box>
            ))}
          </Group>
        )}
      </Panel>
    </SimpleGrid>
  );
}

function Actions({ plan }: { plan: Plan }) {
  const { t } = useWords();
  const org = useOrg();
  const navigate = useNavigate();
  const mayRun = useMay('runs.write');
  const mayPlan = useMay('plans.write');
  const [asking, setAsking] = useState<'write' | 'undo' | null>(null);
  const [run, setRun] = useState<string | null>(null);
  const start = useStart(org);
  const undo = useMutation({
    mutationFn: () =>
      answer(api.POST(`${BASE}/undo`, { params: { path: { org } }, body: { plan_id: plan.plan_id } })),
    onSuccess: (made) => {
      setAsking(null);
      void navigate(`/o/${org}/plans/${encodeURIComponent(made.plan_id)}`);
    },
  });
  const writes = plan.changes.some((change) => change.op !== 'keep');
  const open = plan.state === 'proposed' && writes;
  const again = plan.state === 'partial' || plan.state === 'applying';
  const written = plan.state === 'applied' || plan.state === 'partial';
  const write = () =>
    start.mutate(
      { kind: 'apply', plan_id: plan.plan_id },
      {
        onSuccess: (begun) => {
          setRun(begun.run_id);
          setAsking(null);
        },
      },
    );
  return (
    <Stack gap="sm" align="flex-end">
      <Group gap="sm">
        {written && mayPlan && writes && (
          <Button variant="default" onClick={() => setAsking('undo')}>
            {t('plan.undo')}
          </Button>
        )}
        {(open || again) && mayRun && run === null && (
          <Button onClick={() => setAsking('write')}>{t(again ? 'plan.writeRest' : 'plan.write')}</Button>
        )}
      </Group>
      {run !== null && <RunProgress id={run} />}
      <Modal
        opened={asking === 'write'}
        onClose={() => setAsking(null)}
        title={t('plan.write.title')}
        size="lg"
        closeButtonProps={{ 'aria-label': t('action.close') }}
      >
        <Stack>
          <Text size="sm">{t('plan.write.lead')}</Text>
          <Effect plan={plan} />
          {start.error !== null && <ProblemNote error={start.error} />}
          <Group justify="flex-end">
            <Button variant="default" onClick={() => setAsking(null)}>
              {t('action.cancel')}
            </Button>
            <Button loading={start.isPending} onClick={write} data-autofocus>
              {t('plan.write')}
            </Button>
          </Group>
        </Stack>
      </Modal>
      <Modal
        opened={asking === 'undo'}
        onClose={() => setAsking(null)}
        title={t('plan.undo.title')}
        closeButtonProps={{ 'aria-label': t('action.close') }}
      >
        <Stack>
          <Alert variant="light" color="cyan">
            {t('plan.undo.lead')}
          </Alert>
          {undo.error !== null && <ProblemNote error={undo.error} />}
          <Group justify="flex-end">
            <Button variant="default" onClick={() => setAsking(null)}>
              {t('action.cancel')}
            </Button>
            <Button loading={undo.isPending} onClick={() => undo.mutate()} data-autofocus>
              {t('plan.undo.do')}
            </Button>
          </Group>
        </Stack>
      </Modal>
    </Stack>
  );
}
