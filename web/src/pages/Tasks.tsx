// The work list: filtered, sorted and cut by the server; what is selected is decided or planned together.
import { Box, Button, Group, Modal, Stack, Text, TextInput } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { IconListCheck, IconRefresh, IconSearch } from '@tabler/icons-react';
import { keepPreviousData, useMutation, useQuery } from '@tanstack/react-query';
import { useEffect, useRef, useState } from 'react';
import { Link, useNavigate, useSearchParams } from 'react-router';
import { answer, api, type Schemas } from '../api/client';
import { fetchNames, type Names } from '../api/names';
import { useStart } from '../api/runs';
import { useFormats } from '../format';
import { useWords } from '../i18n';
import { useMay, useOrg } from '../session';
import { TaskState, useWord } from '../ui/Badges';
import { DataTable, Pager, type Column } from '../ui/DataTable';
import { useReason } from '../ui/Findings';
import { Empty, Page } from '../ui/Page';
import { ProblemNote } from '../ui/Problem';
import { RunProgress } from '../ui/RunProgress';
import { usePages } from '../ui/usePages';
import { Selected } from './tasks/decide';
import { AGES, Filters, isAge, OPEN } from './tasks/Filters';
import { Views } from './tasks/Views';

type Task = Schemas['TaskDoc'];

const BASE = '/api/v1/organizations/{org}';

async function load(org: string, query: Record<string, string | number>) {
  const page = await answer(api.GET(`${BASE}/tasks`, { params: { path: { org }, query } }));
  const customers = page.items.map((task) => ({ source: task.source, id: task.customer_id }));
  return { page, names: await fetchNames(org, { customers }) };
}

export default function TasksPage() {
  const { t } = useWords();
  const org = useOrg();
  const [params, setParams] = useSearchParams();
  const wanted = params.get('search') ?? '';
  const [search, setSearch] = useState(wanted);
  const [typed] = useDebouncedValue(search, 250);
  const state = params.get('state') ?? 'open';
  const kind = params.get('kind') ?? '';
  const sort = params.get('sort') ?? '-completed';
  const customer = params.get('customer');
  const source = params.get('source');
  const asked = params.get('age') ?? '';
  const age = isAge(asked) ? asked : '';
  const set = (values: Record<string, string | null>) =>
    setParams(
      (now) => {
        for (const [name, value] of Object.entries(values)) {
          if (value === null || value === '') now.delete(name);
          else now.set(name, value);
        }
        return now;
      },
      { replace: true },
    );
  // The address is what is searched for: what was typed goes there, and who comes by a link, a view or the way back finds
  // the field as the address has it.
  const shown = useRef(wanted);
  useEffect(() => {
    if (typed === search && typed !== shown.current) {
      shown.current = typed;
      set({ search: typed });
    }
    // Only what was typed moves the address.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [typed, search]);
  useEffect(() => {
    if (wanted === shown.current) return;
    shown.current = wanted;
    setSearch(wanted);
  }, [wanted]);

  const filter: Record<string, string | number> = { limit: 50, sort };
  if (state !== 'all') filter['state'] = state === 'open' ? OPEN : state;
  if (kind !== '') filter['kind'] = kind;
  if (customer !== null) filter['customer'] = customer;
  if (source !== null) filter['source'] = source;
  Object.assign(filter, AGES[age]);
  if (wanted !== '') filter['search'] = wanted;
  const pages = usePages(JSON.stringify([org, filter]));
  if (pages.cursor !== undefined) filter['cursor'] = pages.cursor;

  const list = useQuery({
    queryKey: ['tasks', org, filter],
    queryFn: () => load(org, filter),
    placeholderData: keepPreviousData,
  });
  const [chosen, setChosen] = useState<Set<string>>(new Set());
  useEffect(() => setChosen(new Set()), [org, state, kind, sort, customer, source, age, wanted, pages.page]);
  const rows = list.data?.page.items;
  const names = list.data?.names;
  const isFiltered =
    state !== 'open' || kind !== '' || wanted !== '' || customer !== null || source !== null || age !== '';

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
          <Filters
            state={state}
            kind={kind}
            sort={sort}
            age={age}
            source={source ?? ''}
            customer={customer === null ? null : { id: customer, source: source ?? 'default' }}
            set={set}
          />
          <Views />
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
                    onClick={() => setParams({ state: 'all' }, { replace: true })}
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
  const why = useReason();
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
              {why(task.reason)}
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
