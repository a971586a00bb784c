// A plan to look at: its effect on the next invoices, what one should know, and every line.
import { Box, Button, Group, SimpleGrid, Switch, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useState, type ReactNode } from 'react';
import { answer, api, type Schemas } from '../api/client';
import { fetchNames, type Names } from '../api/names';
import { useFormats } from '../format';
import { useWords } from '../i18n';
import { Changes, namesOfChanges, type Change } from './Changes';
import { FindingList, namesOfFindings } from './Findings';
import { Empty, Panel } from './Page';

export type Plan = Schemas['PlanDoc'];

const BASE = '/api/v1/organizations/{org}';
/** More lines than that are shown on demand: a browser draws them slowly. */
const AT_ONCE = 200;

export async function namesOfPlan(org: string, plan: Plan): Promise<Names> {
  const [of, about] = [namesOfChanges(plan.changes), namesOfFindings(plan.findings)];
  return fetchNames(org, {
    ...of,
    customers: [...of.customers, ...about.customers],
    products: [...of.products, ...about.products],
  });
}

async function load(org: string, plan: string, all: boolean) {
  const query = { all_lines: all };
  const found = await answer(api.GET(`${BASE}/plans/{plan}`, { params: { path: { org, plan }, query } }));
  return { plan: found, names: await namesOfPlan(org, found) };
}

/** A plan with the names of what is in it; `all` lists also the lines that stay as they are. */
export function usePlan(org: string, id: string | null, all: boolean) {
  return useQuery({
    queryKey: ['plan', org, id, all],
    queryFn: () => load(org, id ?? '', all),
    enabled: id !== null && id !== '',
    // The same plan with more lines: what is there stays while they are read.
    placeholderData: (before) => (before?.plan.plan_id === id ? before : undefined),
  });
}

export function PlanView(props: {
  plan: Plan;
  names: Names;
  /** The switch for lines that stay as they are; it stays away where there is none. */
  all?: { shown: boolean; change: (shown: boolean) => void };
}) {
  const { t } = useWords();
  const { plan, names, all } = props;
  const [shown, setShown] = useState(AT_ONCE);
  return (
    <>
      <Effect plan={plan} />
      <PlanFindings plan={plan} names={names} />
      <Group justify="space-between">
        <Text component="h2" fw={600} m={0}>
          {t('plan.lines')}
        </Text>
        {all !== undefined && plan.totals.keep > 0 && (
          <Switch
            size="xs"
            label={t('plan.all')}
            checked={all.shown}
            onChange={(event) => all.change(event.currentTarget.checked)}
          />
        )}
      </Group>
      <PlanLines plan={plan} names={names} changes={plan.changes.slice(0, shown)} />
      {plan.changes.length > shown && (
        <Group justify="center">
          <Button variant="default" onClick={() => setShown(shown + AT_ONCE)}>
            {t('action.more')}
          </Button>
        </Group>
      )}
    </>
  );
}

/** It keeps something from being written. */
const stands = (finding: Plan['findings'][number]) => finding.severity === 'error';

/** Why a plan without lines has none: something is in the way, or ConnectWise holds what was sold. */
function NoLines({ plan }: { plan: Plan }) {
  const { t } = useWords();
  const isHeld = plan.findings.some(stands);
  return (
    <Box className="panel">
      <Empty
        title={t(isHeld ? 'plan.held' : 'plan.nothing')}
        detail={t(isHeld ? 'plan.held.detail' : 'plan.nothing.detail')}
      />
    </Box>
  );
}

/** What a plan found on its way. */
export function PlanFindings({ plan, names }: { plan: Plan; names: Names }) {
  const { t } = useWords();
  if (plan.findings.length === 0) return null;
  return (
    <Panel title={t('plan.findings')} flush>
      <FindingList findings={plan.findings} names={names} />
    </Panel>
  );
}

/** Lines of a plan below what they come to. */
export function PlanLines(props: {
  plan: Plan;
  names: Names;
  changes: Change[];
  act?: ((change: Change) => ReactNode) | undefined;
}) {
  const { plan, names, changes, act } = props;
  if (changes.length === 0) return <NoLines plan={plan} />;
  return (
    <>
      <NextInvoices plan={plan} />
      <Changes changes={changes} names={names} act={act} />
    </>
  );
}

const toneOf = (amount: string) => (amount.startsWith('-') ? 'loss' : /[1-9]/.test(amount) ? 'gain' : '');

/** Beside the lines, what they come to together: the next invoices before and after. It stays in sight while one reads. */
function NextInvoices({ plan }: { plan: Plan }) {
  const { t } = useWords();
  const { money, change } = useFormats();
  const sums = Object.entries(plan.totals.by_currency);
  if (sums.length === 0) return null;
  return (
    <Box className="panel nextinvoices" component="section" aria-label={t('plan.effect')}>
      <Text size="sm" fw={600}>
        {t('plan.next')}
      </Text>
      {sums.map(([currency, sum]) => (
        <Text key={currency} size="sm" component="span" className="figure">
          <span className="hidden">{t('plan.before')} </span>
          {money(sum.next_invoice_before, currency)} <span aria-hidden>→</span>{' '}
          <span className="hidden">{t('plan.after')} </span>
          <b>{money(sum.next_invoice_after, currency)}</b> <span className="hidden">{t('plan.delta')} </span>
          <span className={toneOf(sum.delta)}>({change(sum.delta, currency)})</span>
        </Text>
      ))}
    </Box>
  );
}

/** The next invoices before and after, each currency on its own. */
export function Effect({ plan, narrow }: { plan: Plan; narrow?: boolean }) {
  const { t } = useWords();
  const { money, change, count } = useFormats();
  const { totals } = plan;
  const counts = (['create', 'update', 'cancel', 'delete', 'keep'] as const).filter((key) => totals[key] > 0);
  return (
    <SimpleGrid cols={{ base: 1, md: narrow === true ? 1 : 2 }} spacing={narrow === true ? 'sm' : 'lg'}>
      <Panel title={t('plan.effect')}>
        {Object.keys(totals.by_currency).length === 0 ? (
          <Text size="sm" c="dimmed">
            {t('plan.effect.none')}
          </Text>
        ) : (
          <table className="sums stacked">
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
                  <td className="num" data-label={t('plan.before')}>
                    {money(sums.next_invoice_before, currency)}
                  </td>
                  <td className="num" data-label={t('plan.after')}>
                    {money(sums.next_invoice_after, currency)}
                  </td>
                  <td className={`num ${toneOf(sums.delta)}`} data-label={t('plan.delta')}>
                    <b>{change(sums.delta, currency)}</b>
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
      </Panel>
      <Panel title={t('plan.counts')}>
        {counts.length === 0 ? (
          <Text size="sm" c="dimmed">
            {t(plan.findings.some(stands) ? 'plan.held' : 'plan.nothing')}
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
