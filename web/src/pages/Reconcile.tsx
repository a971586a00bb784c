// What a customer has against what ConnectWise bills for a period, classed by cause, and put right as a plan.
import { Alert, Badge, Box, Button, Checkbox, Group, SegmentedControl, Select, Stack, Text, TextInput } from '@mantine/core';
import { IconCircleCheck } from '@tabler/icons-react';
import { useMutation } from '@tanstack/react-query';
import { useState, type SubmitEvent } from 'react';
import { Link, useNavigate, useParams } from 'react-router';
import { answer, api, queries } from '../api/client';
import type { Names } from '../api/names';
import { useFormats } from '../format';
import { useWords } from '../i18n';
import { useMay, useOrg } from '../session';
import { PlanState } from '../ui/Badges';
import { Changes, type Change } from '../ui/Changes';
import { FindingText } from '../ui/Findings';
import { Empty, Page, Panel, Waiting } from '../ui/Page';
import { Picker, type Choice } from '../ui/Picker';
import { AsksPeople, PlanActions } from '../ui/PlanActions';
import { Effect, usePlan, type Plan } from '../ui/PlanView';
import { ProblemNote } from '../ui/Problem';
import { loadRecords } from './mapping/data';
import { useActor } from '../ui/said';

const ADOPT = ['propose', 'take_single', 'create_beside'] as const;
type Adopt = (typeof ADOPT)[number];
type Span = 'this' | 'last' | 'other';

/** Days as text: the first of a month, that many months from `today`. */
function firstOf(today: string, months: number): string {
  const [year = 1970, month = 1] = today.split('-').map(Number);
  return new Date(Date.UTC(year, month - 1 + months, 1)).toISOString().slice(0, 10);
}

/** The last day that has one after it: days are written with four digits of the year. */
const LAST_DAY = '9999-12-30';

/** Whether a day can be asked about: a browser also lets years be typed that no calendar here has. */
function isAskable(day: string): boolean {
  return /^\d{4}-\d{2}-\d{2}$/.test(day) && day <= LAST_DAY;
}

function dayAfter(day: string): string {
  const date = new Date(`${day}T00:00:00Z`);
  date.setUTCDate(date.getUTCDate() + 1);
  return date.toISOString().slice(0, 10);
}

export default function ReconcilePage() {
  const { plan } = useParams();
  return plan === undefined ? <Ask /> : <Differences key={plan} id={plan} />;
}

function Ask() {
  const { t } = useWords();
  const org = useOrg();
  const navigate = useNavigate();
  const mayPlan = useMay('plans.write');
  const [customer, setCustomer] = useState<Choice | null>(null);
  const [span, setSpan] = useState<Span>('this');
  const [from, setFrom] = useState('');
  const [until, setUntil] = useState('');
  const [invoiced, setInvoiced] = useState(false);
  const [adopt, setAdopt] = useState<Adopt>('propose');
  const overview = queries.useQuery('get', '/api/v1/organizations/{org}/overview', { params: { path: { org } } });
  const today = overview.data?.today;
  const wrong = span === 'other' && from !== '' && until !== '' && until < from;
  const ready =
    customer !== null && today !== undefined && !wrong && (span !== 'other' || (isAskable(from) && isAskable(until)));
  const far = (day: string) => (day !== '' && !isAskable(day) ? t('reconcile.far') : undefined);
  const compare = useMutation({
    mutationFn: () => {
      const months = span === 'last' ? -1 : 0;
      const [start, end] =
        span === 'other' ? [from, dayAfter(until)] : [firstOf(today ?? '', months), firstOf(today ?? '', months + 1)];
      const at = customer?.value.indexOf('/') ?? -1;
      const reconcile = {
        source: customer?.value.slice(0, at) ?? null,
        customer: customer?.value.slice(at + 1) ?? '',
        start,
        end,
        confirm_invoiced: invoiced,
      };
      return answer(
        api.POST('/api/v1/organizations/{org}/plans', { params: { path: { org } }, body: { reconcile, adopt } }),
      );
    },
    onSuccess: (made) => void navigate(`/o/${org}/reconcile/${encodeURIComponent(made.plan_id)}`),
  });
  const find = async (search: string): Promise<Choice[]> => {
    const { page } = await loadRecords(org, 'customer', { limit: 30, ...(search === '' ? {} : { search }) });
    return page.items.map((row) => ({
      value: `${row.source}/${row.id}`,
      label: row.name === '' ? row.id : `${row.name} (${row.id})`,
    }));
  };
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    if (ready) compare.mutate();
  };
  return (
    <Page title={t('reconcile.title')} lead={t('reconcile.lead')}>
      <Box className="panel" p="lg" maw={640}>
        <form onSubmit={submit}>
          <Stack>
            <Picker
              label={t('reconcile.customer')}
              of={[org, 'customers']}
              find={find}
              value={customer}
              choose={setCustomer}
            />
            <Stack gap={4}>
              <Text size="sm" fw={500} component="span">
                {t('reconcile.period')}
              </Text>
              <SegmentedControl
                className="narrow"
                aria-label={t('reconcile.period')}
                value={span}
                onChange={(value) => setSpan(value)}
                data={[
                  { value: 'this', label: t('reconcile.period.this') },
                  { value: 'last', label: t('reconcile.period.last') },
                  { value: 'other', label: t('reconcile.period.other') },
                ]}
              />
            </Stack>
            {span === 'other' && (
              <Group grow align="flex-start">
                <TextInput
                  type="date"
                  label={t('reconcile.from')}
                  max={LAST_DAY}
                  value={from}
                  error={far(from)}
                  onChange={(event) => setFrom(event.currentTarget.value)}
                />
                <TextInput
                  type="date"
                  label={t('reconcile.until')}
                  max={LAST_DAY}
                  value={until}
                  onChange={(event) => setUntil(event.currentTarget.value)}
                  error={far(until) ?? (wrong ? t('reconcile.order') : undefined)}
                />
              </Group>
            )}
            <Select
              label={t('reconcile.adopt')}
              allowDeselect={false}
              value={adopt}
              onChange={(value) => setAdopt(ADOPT.find((one) => one === value) ?? 'propose')}
              data={ADOPT.map((value) => ({ value, label: t(`reconcile.adopt.${value}`) }))}
            />
            <Checkbox
              label={t('reconcile.invoiced')}
              description={t('reconcile.invoiced.hint')}
              checked={invoiced}
              onChange={(event) => setInvoiced(event.currentTarget.checked)}
            />
            {overview.error !== null && <ProblemNote error={overview.error} retry={() => void overview.refetch()} />}
            {compare.error !== null && <ProblemNote error={compare.error} />}
            {mayPlan && (
              <Group justify="flex-end">
                {compare.isPending && (
                  <Text size="sm" c="dimmed" role="status" className="late">
                    {t('reconcile.comparing')}
                  </Text>
                )}
                <Button type="submit" loading={compare.isPending} disabled={!ready}>
                  {t('reconcile.do')}
                </Button>
              </Group>
            )}
          </Stack>
        </form>
      </Box>
    </Page>
  );
}

type Class = 'missing' | 'level' | 'ended' | 'right';
const CLASSES: Class[] = ['missing', 'level', 'ended', 'right'];

/** A product of a subscription whose line ends while another begins is billed at another level. */
export function classed(changes: Change[]): Record<Class, Change[]> {
  const of = (change: Change) => `${change.source}/${change.subscription_id}/${change.product_id}`;
  const ends = new Set(changes.filter((c) => c.op === 'cancel' || c.op === 'delete').map(of));
  const begins = new Set(changes.filter((c) => c.op === 'create').map(of));
  const found: Record<Class, Change[]> = { missing: [], level: [], ended: [], right: [] };
  for (const change of changes) {
    if (change.op === 'keep') found.right.push(change);
    else if (change.op === 'update' || (ends.has(of(change)) && begins.has(of(change)))) found.level.push(change);
    else if (change.op === 'create') found.missing.push(change);
    else found.ended.push(change);
  }
  return found;
}

/** What the lines say already needs no decision. */
const TOLD = ['TU5001'];

function Differences({ id }: { id: string }) {
  const who = useActor();
  const { t } = useWords();
  const { instant } = useFormats();
  const org = useOrg();
  const found = usePlan(org, id, true);
  const plan = found.data?.plan;
  return (
    <Page
      title={t('reconcile.title')}
      lead={
        plan === undefined ? undefined : (
          <Group gap="xs">
            <PlanState state={plan.state} />
            <span>{t('plan.made', { when: instant(plan.created_at), actor: who(plan.actor) })}</span>
          </Group>
        )
      }
      actions={
        <>
          <Button component={Link} to={`/o/${org}/reconcile`} variant="default">
            {t('reconcile.again')}
          </Button>
          {plan !== undefined && <PlanActions plan={plan} />}
        </>
      }
    >
      {found.data === undefined || plan === undefined ? (
        found.error === null ? (
          <Box className="panel">
            <Waiting rows={8} what={t('reconcile.comparing')} />
          </Box>
        ) : (
          <ProblemNote error={found.error} retry={() => void found.refetch()} />
        )
      ) : (
        <Result plan={plan} names={found.data.names} />
      )}
    </Page>
  );
}

function Result({ plan, names }: { plan: Plan; names: Names }) {
  const { t } = useWords();
  const { count } = useFormats();
  const by = classed(plan.changes);
  const open = plan.findings.filter((finding) => !TOLD.includes(finding.code));
  const differs = by.missing.length + by.level.length + by.ended.length > 0;
  return (
    <>
      <AsksPeople plan={plan} />
      {!differs && open.length === 0 ? (
        <Alert
          color="green"
          variant="light"
          icon={<IconCircleCheck aria-hidden />}
          title={t('reconcile.none')}
          role="status"
        >
          <Text size="sm">{t('reconcile.none.detail')}</Text>
        </Alert>
      ) : (
        differs && <Effect plan={plan} />
      )}
      {open.length > 0 && (
        <Panel title={t('reconcile.class.person')} flush>
          <Text size="sm" c="dimmed" px="lg" pb="xs">
            {t('reconcile.class.person.detail')}
          </Text>
          {open.map((finding, at) => (
            <Box key={`${finding.code} ${at}`} className="line" px="lg" py="sm">
              <FindingText finding={finding} names={names} />
            </Box>
          ))}
        </Panel>
      )}
      {CLASSES.filter((one) => by[one].length > 0).map((one) => (
        <Stack key={one} gap="xs" component="section" aria-label={t(`reconcile.class.${one}`)}>
          <Group gap="xs">
            <Text component="h2" fw={600} m={0}>
              {t(`reconcile.class.${one}`)}
            </Text>
            <Badge variant="light" color="gray" radius="sm" className="badge">
              {count(by[one].length)}
            </Badge>
          </Group>
          <Text size="sm" c="dimmed">
            {t(`reconcile.class.${one}.detail`)}
          </Text>
          <Changes changes={by[one]} names={names} />
        </Stack>
      ))}
      {plan.changes.length === 0 && open.length > 0 && (
        <Box className="panel">
          <Empty title={t('plan.nothing')} />
        </Box>
      )}
    </>
  );
}
