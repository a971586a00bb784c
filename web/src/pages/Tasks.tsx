// The work list: filtered, sorted and cut by the server; what is selected is decided or planned together.
import { Box, Button, Group, Modal, Select, Stack, Text, Textarea, TextInput } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { notifications } from '@mantine/notifications';
import { IconListCheck, IconRefresh, IconSearch } from '@tabler/icons-react';
import { keepPreviousData, useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useEffect, useState, type SubmitEvent } from 'react';
import { Link, useNavigate, useSearchParams } from 'react-router';
import { answer, api, type Schemas } from '../api/client';
import { fetchNames, type Names } from '../api/names';
import { useStart } from '../api/runs';
import { useFormats } from '../format';
import { useWords } from '../i18n';
import { useMay, useOrg } from '../session';
import { TaskState, useWord } from '../ui/Badges';
import { DataTable, Pager, type Column } from '../ui/DataTable';
import { Empty, Page } from '../ui/Page';
import { ProblemNote, sentence } from '../ui/Problem';
import { RunProgress } from '../ui/RunProgress';
import { usePages } from '../ui/usePages';

type Task = Schemas['TaskDoc'];
type Decision = 'ignore' | 'unignore' | 'retry';

const BASE = '/api/v1/organizations/{org}';
const OPEN = 'new,needs_mapping,ready,planned,applying,failed,in_doubt,blocked';
const STATES = [
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
const KINDS = ['sales', 'change', 'billing', 'cancellation', 'renewal', 'transfer', 'reconciliation'];
const SORTS = ['-completed', 'completed', '-moved', 'customer', 'state'] as const;

async function load(org: string, query: Record<string, string | number>) {
  const page = await answer(api.GET(`${BASE}/tasks`, { params: { path: { org }, query } }));
  const customers = page.items.map((task) => ({ source: task.source, id: task.customer_id }));
  return { page, names: await fetchNames(org, { customers }) };
}

export default function TasksPage() {
  const { t } = useWords();
  const org = useOrg();
  const [params, setParams] = useSearchParams();
  const [search, setSearch] = useState(params.get('search') ?? '');
  const [wanted] = useDebouncedValue(search, 250);
  const state = params.get('state') ?? 'open';
  const kind = params.get('kind') ?? '';
  const sort = params.get('sort') ?? '-completed';
  const set = (name: string, value: string | null) =>
    setParams(
      (now) => {
        if (value === null || value === '') now.delete(name);
        else now.set(name, value);
        return now;
      },
      { replace: true },
    );
  useEffect(() => {
    if (wanted !== (params.get('search') ?? '')) set('search', wanted);
    // Only what was typed moves the address.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [wanted]);

  const filter: Record<string, string | number> = { limit: 50, sort };
  if (state !== 'all') filter['state'] = state === 'open' ? OPEN : state;
  if (kind !== '') filter['kind'] = kind;
  if (wanted !== '') filter['search'] = wanted;
  const pages = usePages(JSON.stringify([org, filter]));
  if (pages.cursor !== undefined) filter['cursor'] = pages.cursor;

  const list = useQuery({
    queryKey: ['tasks', org, filter],
    queryFn: () => load(org, filter),
    placeholderData: keepPreviousData,
  });
  const [chosen, setChosen] = useState<Set<string>>(new Set());
  useEffect(() => setChosen(new Set()), [org, state, kind, wanted, pages.page]);
  const rows = list.data?.page.items;
  const names = list.data?.names;
  const isFiltered = state !== 'open' || kind !== '' || wanted !== '';

  return (
    <Page title={t('tasks.title')} lead={t('tasks.lead')} actions={<Actions chosen={chosen} />}>
      <Box className="panel">
        <Group p="md" gap="sm" align="flex-end" className="line" role="search">
          <TextInput
            flex="1 1 14rem"
            label={t('tasks.search')}
            placeholder={t('tasks.search.placeholder')}
            leftSection={<IconSearch size={16} aria-hidden />}
            value={search}
            onChange={(event) => setSearch(event.currentTarget.value)}
          />
          <Filters state={state} kind={kind} sort={sort} set={set} />
        </Group>
        <Selected chosen={chosen} rows={rows ?? []} done={() => setChosen(new Set())} />
        <DataTable
          label={t('tasks.title')}
          columns={useColumns(org, names)}
          rows={rows}
          id={(task) => task.task_id}
          error={list.error}
          retry={() => void list.refetch()}
          busy={list.isPlaceholderData}
          selection={{
            ids: chosen,
            change: setChosen,
            all: t('tasks.selectAll'),
            label: (task) => t('tasks.selectOne', { customer: customerOf(names, task) }),
          }}
          empty={
            isFiltered ? (
              <Empty
                title={t('tasks.empty')}
                detail={t('tasks.empty.detail')}
                action={
                  <Button
                    variant="default"
                    size="xs"
                    onClick={() => {
                      setSearch('');
                      setParams({ state: 'all' }, { replace: true });
                    }}
                  >
                    {t('action.clear')}
                  </Button>
                }
              />
            ) : (
              <Empty
                icon={<IconListCheck size={32} stroke={1.4} aria-hidden />}
                title={t('tasks.none')}
                detail={t('tasks.none.detail')}
              />
            )
          }
          footer={
            <Pager
              page={pages.page}
              hasNext={list.data?.page.next_cursor != null}
              onPrevious={pages.previous}
              onNext={() => list.data?.page.next_cursor != null && pages.next(list.data.page.next_cursor)}
            />
          }
        />
      </Box>
    </Page>
  );
}

function customerOf(names: Names | undefined, task: Task): string {
  return names?.customer(task.source, task.customer_id) ?? task.customer_id;
}

function useColumns(org: string, names: Names | undefined): Column<Task>[] {
  const { t } = useWords();
  const { instant, dayOf } = useFormats();
  const say = useWord();
  return [
    {
      key: 'customer',
      header: t('tasks.col.customer'),
      bare: true,
      cell: (task) => (
        <>
          <Link to={`/o/${org}/tasks/${encodeURIComponent(task.task_id)}`}>{customerOf(names, task)}</Link>
          {task.reason != null && (
            <Text size="xs" c="dimmed" maw="28rem" component="span" display="block">
              {sentence(task.reason)}
            </Text>
          )}
        </>
      ),
    },
    { key: 'kind', header: t('tasks.col.kind'), cell: (task) => say('kind', task.kind) },
    { key: 'subscription', header: t('tasks.col.subscription'), cell: (task) => task.subscription_id },
    { key: 'order', header: t('tasks.col.order'), cell: (task) => task.order_id ?? '–' },
    {
      key: 'completed',
      header: t('tasks.col.completed'),
      cell: (task) =>
        task.completed_at == null ? (
          '–'
        ) : (
          <span className="nowrap" title={instant(task.completed_at)}>
            {dayOf(task.completed_at)}
          </span>
        ),
    },
    { key: 'state', header: t('tasks.col.state'), cell: (task) => <TaskState state={task.state} /> },
  ];
}

function Filters(props: {
  state: string;
  kind: string;
  sort: string;
  set: (name: string, value: string | null) => void;
}) {
  const { t } = useWords();
  const say = useWord();
  return (
    <>
      <Select
        label={t('tasks.filter.state')}
        w={190}
        allowDeselect={false}
        value={props.state}
        onChange={(value) => props.set('state', value === 'open' ? null : value)}
        data={[
          { value: 'open', label: t('tasks.filter.state.open') },
          ...STATES.map((state) => ({ value: state, label: say('state', state) })),
          { value: 'all', label: t('tasks.filter.state.all') },
        ]}
      />
      <Select
        label={t('tasks.filter.kind')}
        w={170}
        allowDeselect={false}
        value={props.kind}
        onChange={(value) => props.set('kind', value)}
        data={[
          { value: '', label: t('tasks.filter.kind.all') },
          ...KINDS.map((kind) => ({ value: kind, label: say('kind', kind) })),
        ]}
      />
      <Select
        label={t('tasks.sort')}
        w={170}
        allowDeselect={false}
        value={props.sort}
        onChange={(value) => props.set('sort', value === '-completed' ? null : value)}
        data={SORTS.map((sort) => ({ value: sort, label: t(`tasks.sort.${sort}`) }))}
      />
    </>
  );
}

/** Check for changes with its progress, and a plan of what is open or selected. */
function Actions({ chosen }: { chosen: Set<string> }) {
  const { t, tn } = useWords();
  const org = useOrg();
  const navigate = useNavigate();
  const mayRun = useMay('runs.write');
  const mayPlan = useMay('plans.write');
  const start = useStart(org);
  const [run, setRun] = useState<string | null>(null);
  const [syncing, setSyncing] = useState(false);
  const sync = useStart(org);
  const plan = useMutation({
    mutationFn: () => {
      const body = chosen.size > 0 ? { tasks: [...chosen] } : {};
      return answer(api.POST(`${BASE}/plans`, { params: { path: { org } }, body }));
    },
    onSuccess: (made) => void navigate(`/o/${org}/plans/${encodeURIComponent(made.plan_id)}`),
  });
  return (
    <Stack gap="sm" align="flex-end">
      <Group gap="sm">
        {mayRun && (
          <Button
            variant="default"
            leftSection={<IconRefresh size={16} aria-hidden />}
            loading={start.isPending}
            onClick={() => start.mutate({ kind: 'check' }, { onSuccess: (begun) => setRun(begun.run_id) })}
          >
            {t('tasks.check')}
          </Button>
        )}
        {mayRun && chosen.size === 0 && (
          <Button variant="default" onClick={() => setSyncing(true)}>
            {t('sync.all')}
          </Button>
        )}
        {mayPlan && (
          <Button loading={plan.isPending} onClick={() => plan.mutate()}>
            {chosen.size > 0 ? tn('tasks.plan.selected', chosen.size) : t('tasks.plan')}
          </Button>
        )}
      </Group>
      {run !== null && <RunProgress id={run} onClose={() => setRun(null)} />}
      {start.error !== null && <ProblemNote error={start.error} />}
      {plan.error !== null && <ProblemNote error={plan.error} />}
      <Modal opened={syncing} onClose={() => setSyncing(false)} title={t('sync.all.title')}>
        <Stack>
          <Text size="sm">{t('sync.all.lead')}</Text>
          {sync.error !== null && <ProblemNote error={sync.error} />}
          <Group justify="flex-end">
            <Button variant="default" onClick={() => setSyncing(false)}>
              {t('action.cancel')}
            </Button>
            <Button
              loading={sync.isPending}
              data-autofocus
              onClick={() =>
                sync.mutate(
                  { kind: 'sync', changed: true },
                  { onSuccess: (begun) => void navigate(`/o/${org}/runs/${encodeURIComponent(begun.run_id)}`) },
                )
              }
            >
              {t('sync.all')}
            </Button>
          </Group>
        </Stack>
      </Modal>
    </Stack>
  );
}

function Selected({ chosen, rows, done }: { chosen: Set<string>; rows: Task[]; done: () => void }) {
  const { t, tn } = useWords();
  const mayDecide = useMay('tasks.write');
  const [ignoring, setIgnoring] = useState(false);
  const decide = useDecide();
  if (chosen.size === 0 || !mayDecide) return null;
  const tasks = rows.filter((task) => chosen.has(task.task_id));
  const some = (...states: string[]) => tasks.some((task) => states.includes(task.state));
  const act = (decision: Decision, reason?: string) =>
    decide.mutate(
      { ids: [...chosen], decision, reason },
      {
        onSuccess: () => {
          setIgnoring(false);
          done();
        },
      },
    );
  return (
    <Stack gap="xs" px="md" py="sm" className="line">
      <Group gap="sm" role="toolbar" aria-label={tn('tasks.selected', chosen.size)}>
        <Text size="sm" fw={500} aria-live="polite">
          {tn('tasks.selected', chosen.size)}
        </Text>
        <Button size="xs" variant="default" onClick={() => setIgnoring(true)}>
          {t('tasks.ignore')}
        </Button>
        {some('ignored') && (
          <Button size="xs" variant="default" loading={decide.isPending} onClick={() => act('unignore')}>
            {t('tasks.unignore')}
          </Button>
        )}
        {some('failed', 'in_doubt', 'blocked', 'needs_mapping') && (
          <Button size="xs" variant="default" loading={decide.isPending} onClick={() => act('retry')}>
            {t('tasks.retry')}
          </Button>
        )}
      </Group>
      {decide.error !== null && !ignoring && <ProblemNote error={decide.error} />}
      <IgnoreDialog
        count={chosen.size}
        opened={ignoring}
        close={() => setIgnoring(false)}
        working={decide.isPending}
        error={decide.error}
        ignore={(reason) => act('ignore', reason)}
      />
    </Stack>
  );
}

export function useDecide() {
  const { t, tn } = useWords();
  const org = useOrg();
  const client = useQueryClient();
  return useMutation({
    mutationFn: (wish: { ids: string[]; decision: Decision; reason?: string | undefined }) => {
      const body = { ids: wish.ids, decision: wish.decision, reason: wish.reason ?? null };
      return answer(api.POST(`${BASE}/tasks/decide`, { params: { path: { org } }, body }));
    },
    onSuccess: (done) => {
      void client.invalidateQueries();
      if (done.tasks.length > 0) {
        notifications.show({ color: 'green', message: tn('tasks.decided', done.tasks.length) });
      }
      if (done.refused.length > 0) {
        notifications.show({
          color: 'yellow',
          title: t('tasks.refused'),
          message: [...new Set(done.refused.map((one) => sentence(one.detail)))].slice(0, 3).join(' '),
          autoClose: 10_000,
        });
      }
    },
  });
}

export function IgnoreDialog(props: {
  count: number;
  opened: boolean;
  close: () => void;
  working: boolean;
  error: unknown;
  ignore: (reason: string) => void;
}) {
  const { t, tn } = useWords();
  const [reason, setReason] = useState('');
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    props.ignore(reason);
  };
  return (
    <Modal
      opened={props.opened}
      onClose={props.close}
      title={tn('tasks.ignore.title', props.count)}
      closeButtonProps={{ 'aria-label': t('action.close') }}
    >
      <form onSubmit={submit}>
        <Stack>
          <Text size="sm">{t('tasks.ignore.lead')}</Text>
          <Textarea
            label={t('tasks.reason')}
            value={reason}
            onChange={(event) => setReason(event.currentTarget.value)}
            autosize
            minRows={2}
            maxLength={500}
            required
            data-autofocus
          />
          {props.error != null && <ProblemNote error={props.error} />}
          <Group justify="flex-end">
            <Button variant="default" onClick={props.close}>
              {t('action.cancel')}
            </Button>
            <Button type="submit" loading={props.working} disabled={reason.trim() === ''}>
              {t('tasks.ignore')}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}

