// How the organization stands: what waits for somebody first, and how much money hangs on it.
import { Anchor, Box, Button, Group, SimpleGrid, Stack, Text } from '@mantine/core';
import { IconCircleCheck } from '@tabler/icons-react';
import type { ReactNode } from 'react';
import { lazy, Suspense, useState } from 'react';
import { Link } from 'react-router';
import { useOpenApprovals } from '../api/approvals';
import { queries, type Schemas } from '../api/client';
import { useStart, type Run } from '../api/runs';
import { useFormats } from '../format';
import { useWords, type Key } from '../i18n';
import { useMay, useOrg } from '../session';
import { RunState, SeverityBadge, TaskState, useWord } from '../ui/Badges';
import { Empty, Page, Panel, Waiting } from '../ui/Page';
import { ProblemNote } from '../ui/Problem';
import { RunProgress } from '../ui/RunProgress';
import { useActor } from '../ui/said';

/** Below what is urgent, and loaded after it. */
const Figures = lazy(() => import('./Figures'));
/** Asked once for the charts and for what is at risk. */
const MONTHS = { months: 12 };

type Overview = Schemas['OverviewDoc'];

const BASE = '/api/v1/organizations/{org}';

export default function OverviewPage() {
  const { t } = useWords();
  const { day } = useFormats();
  const org = useOrg();
  const params = { params: { path: { org } } };
  const overview = queries.useQuery('get', `${BASE}/overview`, params, { refetchInterval: 30_000 });
  const now = overview.data;
  return (
    <Page
      title={t('overview.title')}
      lead={now === undefined ? undefined : t('overview.asOf', { date: day(now.today) })}
    >
      {now === undefined ? (
        overview.error === null ? (
          <Placeholder />
        ) : (
          <ProblemNote error={overview.error} retry={() => void overview.refetch()} />
        )
      ) : (
        <>
          <NeedsYou now={now} />
          <SimpleGrid cols={{ base: 1, md: 2 }} spacing="lg">
            <Stack gap="lg">
              <Risk />
              <Exceptions now={now} />
            </Stack>
            <Stack gap="lg">
              <Tasks now={now} />
              <NextRuns />
              <LastRuns />
            </Stack>
          </SimpleGrid>
          <Suspense fallback={null}>
            <Figures />
          </Suspense>
          <Picture now={now} />
        </>
      )}
    </Page>
  );
}

function Placeholder() {
  return (
    <>
      <Box className="panel">
        <Waiting rows={4} />
      </Box>
      <SimpleGrid cols={{ base: 1, md: 2 }} spacing="lg">
        <Box className="panel" mih={240}>
          <Waiting rows={3} />
        </Box>
        <Box className="panel" mih={240}>
          <Waiting rows={3} />
        </Box>
      </SimpleGrid>
    </>
  );
}

interface Item {
  key: string;
  title: string;
  detail: string;
  action?: ReactNode;
}

const LAST_RUNS = (org: string) => ({ params: { path: { org }, query: { limit: 5 } } });

/** Of each kind the last run, where it failed or stopped for somebody: what ran since has looked at the same again. */
export function leftToPeople(runs: Run[]): Run[] {
  const newest = new Map<string, Run>();
  for (const run of runs) {
    const known = newest.get(run.kind);
    if (known === undefined || known.created_at < run.created_at) newest.set(run.kind, run);
  }
  return [...newest.values()].filter((run) => run.state === 'needs_person' || run.state === 'failed');
}

/** What waits for a person, the most pressing first. */
function NeedsYou({ now }: { now: Overview }) {
  const { t, tn } = useWords();
  const { ago } = useFormats();
  const say = useWord();
  const org = useOrg();
  const mayConnect = useMay('connections.write');
  const mayRun = useMay('runs.write');
  const [reading, setReading] = useState<string | null>(null);
  const start = useStart(org);
  const to = (path: string, label: Key) => (
    <Button component={Link} to={`/o/${org}/${path}`} variant="light" size="xs">
      {t(label)}
    </Button>
  );
  const items: Item[] = [];
  const counted = (what: 'failed' | 'doubt' | 'mapping' | 'ready', n: number, path: string) => {
    if (n === 0) return;
    const base = `overview.now.${what}` as const;
    items.push({
      key: what,
      title: tn(base, n),
      detail: t(`${base}.detail`),
      action: to(path, `${base}.do`),
    });
  };
  if (now.picture == null) {
    const action = mayConnect ? { action: to('connections', 'overview.now.connect.do') } : {};
    items.push({
      key: 'connect',
      title: t('overview.now.connect'),
      detail: t('overview.now.connect.detail'),
      ...action,
    });
  } else if (now.picture.read_at == null) {
    items.push({
      key: 'read',
      title: t('overview.now.read'),
      detail: t('overview.now.read.detail'),
      action: mayRun && (
        <Button
          size="xs"
          variant="light"
          loading={start.isPending}
          onClick={() => start.mutate({ kind: 'pull' }, { onSuccess: (run) => setReading(run.run_id) })}
        >
          {t('overview.now.read.do')}
        </Button>
      ),
    });
  }
  if (now.customers === 0) {
    items.push({ key: 'feed', title: t('overview.now.feed'), detail: t('overview.now.feed.detail') });
  }
  const tasks = (state: string) => now.tasks[state] ?? 0;
  counted('doubt', tasks('in_doubt'), 'tasks?state=in_doubt');
  counted('failed', tasks('failed'), 'tasks?state=failed');
  counted('mapping', tasks('needs_mapping'), 'tasks?state=needs_mapping');
  const errors = now.findings.filter((group) => group.severity === 'error');
  const n = errors.reduce((sum, group) => sum + group.count, 0);
  if (n > 0) {
    items.push({
      key: 'errors',
      title: tn('overview.now.errors', n),
      detail: t('overview.now.errors.detail'),
      action: to('exceptions?severity=error', 'overview.now.errors.do'),
    });
  }
  const runs = queries.useQuery('get', `${BASE}/runs`, LAST_RUNS(org));
  const open = useOpenApprovals(org, true);
  const asked = (open.data?.items ?? []).filter((one) => one.state === 'waiting');
  if (asked[0] !== undefined) {
    const one = asked.length === 1 ? `/${encodeURIComponent(asked[0].approval_id)}` : '';
    items.push({
      key: 'approvals',
      title: tn('overview.now.approvals', asked.length),
      detail: t('overview.now.approvals.detail'),
      action: to(`approvals${one}`, 'overview.now.approvals.do'),
    });
  }
  const plans = queries.useQuery('get', `${BASE}/plans`, { params: { path: { org }, query: { limit: 1 } } });
  const newest = plans.data?.items[0];
  if (newest?.state === 'proposed' && !asked.some((one) => one.plan_id === newest.plan_id) && newest.create + newest.update + newest.cancel + newest.delete > 0) {
    items.push({
      key: 'planned',
      title: tn('overview.now.planned', 1),
      detail: t('overview.now.planned.detail'),
      action: to(`plans/${encodeURIComponent(newest.plan_id)}`, 'overview.now.planned.do'),
    });
  }
  const looks = now.findings.filter((group) => group.severity === 'warning').reduce((sum, group) => sum + group.count, 0);
  if (looks > 0) {
    items.push({
      key: 'looks',
      title: tn('overview.now.looks', looks),
      detail: t('overview.now.looks.detail'),
      action: to('exceptions?severity=warning', 'overview.now.looks.do'),
    });
  }
  counted('ready', tasks('ready'), 'tasks?state=ready');
  // What a run left to people is told here as well, unless what it stopped for is told above already.
  for (const run of items.length === 0 ? leftToPeople(runs.data?.items ?? []) : []) {
    items.push({
      key: run.run_id,
      title: t(run.state === 'failed' ? 'overview.now.run.failed' : 'overview.now.run.stopped', { run: say('run', run.kind), when: ago(run.created_at) }),
      detail: t('overview.now.run.detail'),
      action: to(`runs/${encodeURIComponent(run.run_id)}`, 'overview.now.run.do'),
    });
  }
  return (
    <Panel title={t('overview.now')} flush>
      {reading !== null && (
        <Box px="lg">
          <RunProgress id={reading} />
        </Box>
      )}
      {start.error !== null && (
        <Box px="lg">
          <ProblemNote error={start.error} />
        </Box>
      )}
      {items.length === 0 ? (
        <Empty
          icon={<IconCircleCheck size={32} stroke={1.4} color="var(--trueup-gain)" aria-hidden />}
          title={t('overview.now.none')}
          detail={t('overview.now.none.detail')}
        />
      ) : (
        items.map((item) => (
          <Group key={item.key} className="line" px="lg" py="sm" justify="space-between" gap="sm">
            <Box flex="1 1 16rem">
              <Text fw={500} size="sm">
                {item.title}
              </Text>
              <Text size="sm" c="dimmed">
                {item.detail}
              </Text>
            </Box>
            {item.action}
          </Group>
        ))
      )}
    </Panel>
  );
}

/** Where what is at risk is looked at and put right. */
const RISKS: Record<string, string> = {
  unmapped: 'tasks?state=needs_mapping',
  failed: 'tasks?state=failed',
  ended_but_billed: 'reconcile',
  below_cost: 'exceptions?code=TU6004',
  changed_by_hand: 'exceptions?code=TU7002',
};

/** What is not billed, or billed wrong, each currency on its own: they are never added. */
function Risk() {
  const { t, tn } = useWords();
  const say = useWord();
  const { money } = useFormats();
  const org = useOrg();
  const found = queries.useQuery('get', `${BASE}/figures`, { params: { path: { org }, query: MONTHS } });
  const rows = found.data?.risk ?? [];
  return (
    <Panel title={t('overview.risk')}>
      {found.data === undefined && found.error === null ? (
        <Waiting rows={3} />
      ) : found.error !== null ? (
        <ProblemNote error={found.error} retry={() => void found.refetch()} />
      ) : rows.length === 0 ? (
        <Text size="sm" c="dimmed">
          {t('overview.risk.none')}
        </Text>
      ) : (
        <Stack gap={6}>
          <Text size="sm" c="dimmed">
            {t('overview.risk.detail')}
          </Text>
          {rows.map((row) => (
            <Group key={`${row.kind} ${row.currency}`} justify="space-between" wrap="nowrap" gap="md">
              <Box>
                <Anchor component={Link} to={`/o/${org}/${RISKS[row.kind] ?? 'exceptions'}`} size="sm" c="inherit">
                  {say('risk', row.kind)}
                </Anchor>
                <Text size="xs" c="dimmed">
                  {tn(row.kind === 'unmapped' || row.kind === 'failed' ? 'risk.orders' : 'risk.lines', row.count)}
                </Text>
              </Box>
              <Text size="sm" fw={600} className="num">
                {money(row.amount, row.currency)}
              </Text>
            </Group>
          ))}
        </Stack>
      )}
    </Panel>
  );
}

function Exceptions({ now }: { now: Overview }) {
  const { t } = useWords();
  const say = useWord();
  const { ago, count, money } = useFormats();
  const org = useOrg();
  return (
    <Panel title={t('overview.exceptions')} flush>
      {now.findings.length === 0 ? (
        <Empty title={t('overview.exceptions.none')} />
      ) : (
        now.findings.map((group) => (
          <Group key={`${group.code} ${group.severity}`} className="line" px="lg" py="xs" gap="sm" wrap="nowrap">
            <Box flex={1} miw={0}>
              <Anchor component={Link} to={`/o/${org}/exceptions?code=${group.code}`} size="sm" c="inherit">
                {say('code', group.code)}
              </Anchor>
              <Text size="xs" c="dimmed">
                {[
                  t('overview.exceptions.since', { when: ago(group.since) }),
                  ...Object.entries(group.amounts).map(([currency, amount]) => money(amount, currency)),
                ].join(' · ')}
              </Text>
            </Box>
            <SeverityBadge severity={group.severity} />
            <Text size="sm" fw={600} className="num" w={36}>
              {count(group.count)}
            </Text>
          </Group>
        ))
      )}
    </Panel>
  );
}

const ORDER = [
  'needs_mapping',
  'ready',
  'planned',
  'applying',
  'failed',
  'in_doubt',
  'blocked',
  'new',
  'ignored',
  'done',
];

function Tasks({ now }: { now: Overview }) {
  const { t } = useWords();
  const { count } = useFormats();
  const org = useOrg();
  const states = ORDER.filter((state) => (now.tasks[state] ?? 0) > 0);
  return (
    <Panel title={t('overview.tasks')}>
      {states.length === 0 ? (
        <Text size="sm" c="dimmed">
          {t('overview.tasks.none')}
        </Text>
      ) : (
        <Group gap="sm">
          {states.map((state) => (
            <Anchor
              key={state}
              component={Link}
              to={`/o/${org}/tasks?state=${state}`}
              underline="never"
              c="inherit"
              className="tile"
            >
              <Text fz={22} fw={600} className="figure">
                {count(now.tasks[state] ?? 0)}
              </Text>
              <TaskState state={state} />
            </Anchor>
          ))}
        </Group>
      )}
    </Panel>
  );
}

function NextRuns() {
  const { t } = useWords();
  const { instant, ago } = useFormats();
  const say = useWord();
  const org = useOrg();
  const found = queries.useQuery('get', `${BASE}/schedules`, { params: { path: { org } } });
  const planned = (found.data?.items ?? []).filter((one) => one.next_at != null || one.paused);
  return (
    <Panel title={t('overview.next')}>
      {found.error !== null && found.data === undefined ? (
        <ProblemNote error={found.error} retry={() => void found.refetch()} />
      ) : found.data === undefined ? (
        <Waiting rows={2} />
      ) : planned.length === 0 ? (
        <Text size="sm" c="dimmed">
          {t('overview.next.none')}
        </Text>
      ) : (
        <Stack gap={6}>
          {planned.map((one) => (
            <Group key={one.kind} justify="space-between" gap="sm">
              <Text size="sm">{say('schedule', one.kind)}</Text>
              {one.paused || one.next_at == null ? (
                <Text size="sm" c="dimmed">
                  {t('overview.next.paused')}
                </Text>
              ) : (
                <Text size="sm" className="num" title={instant(one.next_at)}>
                  {ago(one.next_at)}
                </Text>
              )}
            </Group>
          ))}
        </Stack>
      )}
    </Panel>
  );
}

function LastRuns() {
  const { t } = useWords();
  const who = useActor();
  const { ago, instant } = useFormats();
  const say = useWord();
  const org = useOrg();
  const found = queries.useQuery('get', `${BASE}/runs`, LAST_RUNS(org));
  return (
    <Panel
      title={t('overview.last')}
      aside={
        <Link to={`/o/${org}/runs`} className="plain">
          {t('runs.all')}
        </Link>
      }
    >
      {found.error !== null && found.data === undefined ? (
        <ProblemNote error={found.error} retry={() => void found.refetch()} />
      ) : found.data === undefined ? (
        <Waiting rows={3} />
      ) : found.data.items.length === 0 ? (
        <Text size="sm" c="dimmed">
          {t('overview.last.none')}
        </Text>
      ) : (
        <Stack gap={8}>
          {found.data.items.map((run) => (
            <Group key={run.run_id} justify="space-between" gap="sm">
              <Box>
                <Anchor
                  component={Link}
                  to={`/o/${org}/runs/${encodeURIComponent(run.run_id)}`}
                  size="sm"
                  c="inherit"
                  aria-label={t('runs.open', { kind: say('run', run.kind), when: instant(run.created_at) })}
                >
                  {say('run', run.kind)}
                </Anchor>
                <Text size="xs" c="dimmed" title={instant(run.created_at)}>
                  {ago(run.created_at)} {run.scheduled ? t('run.bySchedule') : t('run.by', { actor: who(run.actor) })}
                </Text>
              </Box>
              <RunState state={run.state} />
            </Group>
          ))}
        </Stack>
      )}
    </Panel>
  );
}

function Picture({ now }: { now: Overview }) {
  const { t } = useWords();
  const { ago } = useFormats();
  const org = useOrg();
  const mayRun = useMay('runs.write');
  const start = useStart(org);
  const [run, setRun] = useState<string | null>(null);
  if (now.picture?.read_at == null) return null;
  return (
    <Stack gap="sm">
      <Group gap="sm">
        <Text size="sm" c="dimmed">
          {t('overview.picture', { when: ago(now.picture.read_at) })}
        </Text>
        {mayRun && (
          <Anchor
            component="button"
            type="button"
            size="sm"
            disabled={start.isPending}
            onClick={() => start.mutate({ kind: 'pull' }, { onSuccess: (begun) => setRun(begun.run_id) })}
          >
            {t('overview.picture.read')}
          </Anchor>
        )}
      </Group>
      {start.error !== null && <ProblemNote error={start.error} />}
      {run !== null && <RunProgress id={run} onClose={() => setRun(null)} />}
    </Stack>
  );
}
