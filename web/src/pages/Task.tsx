// One task: the order behind it, what it changes in ConnectWise, what is in its way, and what can be done.
import { Box, Button, Group, SimpleGrid, Stack, Text } from '@mantine/core';
import { useMutation, useQuery } from '@tanstack/react-query';
import { useState, type ReactNode } from 'react';
import { Link, useNavigate, useParams } from 'react-router';
import { answer, api, type Schemas } from '../api/client';
import { fetchNames, type Names } from '../api/names';
import { useFormats } from '../format';
import { useWords } from '../i18n';
import { useMay, useOrg } from '../session';
import { FindingState, TaskState, useWord } from '../ui/Badges';
import { Changes, Facts, namesOfChanges, type Change } from '../ui/Changes';
import { FindingText, namesOfFindings, subjectOf, useReason } from '../ui/Findings';
import { Empty, Page, Panel, Waiting } from '../ui/Page';
import { ProblemNote } from '../ui/Problem';
import { useActor } from '../ui/said';
import { TakeBack } from '../ui/TakeBack';
import type { Subject } from './mapping/data';
import { MapDialog } from './mapping/MapDialog';
import { mappingFor } from './mapping/solve';
import { IgnoreDialog, useDecide } from './tasks/decide';

const BASE = '/api/v1/organizations/{org}';

type Detail = Schemas['TaskDetailDoc'];

/** The order as the source told it. */
interface OrderLine {
  id: string;
  charge: string;
  product: string;
  quantity: string | null;
  unit_price: string | null;
  amount: string | null;
}
interface Order {
  currency: string;
  lines: OrderLine[];
}

function orderOf(detail: Detail): Order | null {
  const order = detail.order as { record?: Order } | null | undefined;
  return order?.record ?? null;
}

async function load(org: string, task: string) {
  const detail = await answer(api.GET(`${BASE}/tasks/{task}`, { params: { path: { org, task } } }));
  let changes: Change[] = [];
  if (detail.plan_id != null) {
    const params = { path: { org, plan: detail.plan_id }, query: { all_lines: true } };
    const plan = await answer(api.GET(`${BASE}/plans/{plan}`, { params }));
    changes = plan.changes.filter((change) => change.task_id === task);
  }
  const { source, customer_id } = detail.task;
  const known = namesOfChanges(changes);
  const products = (orderOf(detail)?.lines ?? []).map((line) => ({ source, id: line.product }));
  const about = namesOfFindings(detail.findings);
  const names = await fetchNames(org, {
    ...known,
    customers: [...known.customers, { source, id: customer_id }, ...about.customers],
    products: [...known.products, ...products, ...about.products],
  });
  return { detail, changes, names };
}

export default function TaskPage() {
  const { t } = useWords();
  const org = useOrg();
  const say = useWord();
  const why = useReason();
  const who = useActor();
  const { instant } = useFormats();
  const { task: id = '' } = useParams();
  const found = useQuery({ queryKey: ['task', org, id], queryFn: () => load(org, id) });
  if (found.data === undefined) {
    return (
      <Page title={t('task.title')}>
        {found.error === null ? (
          <Box className="panel">
            <Waiting rows={8} />
          </Box>
        ) : (
          <ProblemNote error={found.error} retry={() => void found.refetch()} />
        )}
      </Page>
    );
  }
  const { detail, changes, names } = found.data;
  const { task } = detail;
  const facts: [string, ReactNode][] = [
    [t('tasks.col.subscription'), task.subscription_id],
    [t('tasks.col.order'), task.order_id ?? '–'],
    [t('task.source'), task.source],
  ];
  if (task.completed_at != null) facts.push([t('tasks.col.completed'), instant(task.completed_at)]);
  if (task.price_source != null) facts.push([t('task.prices'), say('prices', task.price_source)]);
  if (task.decided_by != null) facts.push([t('task.decidedBy'), who(task.decided_by)]);
  for (const edit of task.edits ?? []) facts.push([t('change.edited.by'), `${who(edit.by)} · ${instant(edit.at)}`]);
  return (
    <Page
      title={names.customer(task.source, task.customer_id)}
      lead={
        <Group gap="xs">
          <TaskState state={task.state} />
          <span>{say('kind', task.kind)}</span>
        </Group>
      }
      actions={<Actions detail={detail} />}
    >
      {task.reason != null && (
        <Box className="panel" p="md">
          <Text size="sm">
            {why(task.reason)}
          </Text>
        </Box>
      )}
      <Obstacles detail={detail} names={names} />
      <SimpleGrid cols={{ base: 1, md: 2 }} spacing="lg">
        <Panel title={t('task.order')}>
          <Facts facts={facts} />
        </Panel>
        <OrderLines detail={detail} product={(product) => names.product(task.source, product)} />
      </SimpleGrid>
      <Stack gap="sm">
        <Group justify="space-between">
          <Text component="h2" fw={600} m={0}>
            {t('task.lines')}
          </Text>
          {detail.plan_id != null && (
            <Link to={`/o/${org}/plans/${encodeURIComponent(detail.plan_id)}`} className="plain">
              {t('run.toPlan')}
            </Link>
          )}
        </Group>
        {changes.length === 0 ? (
          <Box className="panel">
            <Empty title={t('task.lines.none')} detail={t('task.lines.none.detail')} />
          </Box>
        ) : (
          <Changes changes={changes} names={names} />
        )}
      </Stack>
    </Page>
  );
}

/** What is in its way, and the way to solve it. */
function Obstacles({ detail, names }: { detail: Detail; names: Names }) {
  const { t } = useWords();
  const [mapping, setMapping] = useState<Subject | null>(null);
  const open = detail.findings.filter((finding) => finding.state === 'open' || finding.state === 'recurred');
  if (open.length === 0) return null;
  const over = detail.task.state === 'done' || detail.task.state === 'ignored';
  return (
    <Panel title={t(over ? 'task.noted' : 'task.obstacles')} flush>
      {over && (
        <Text size="sm" c="dimmed" px="lg" pb="xs">
          {t(detail.task.state === 'done' ? 'task.noted.done' : 'task.noted.ignored')}
        </Text>
      )}
      {open.map((finding) => (
        <Box key={finding.finding_id} className="line" px="lg" py="sm">
          <FindingText finding={finding} names={names} />
          <Group gap="sm" mt="xs">
            <FindingState state={finding.state} />
            <Solve finding={finding} names={names} map={setMapping} />
          </Group>
        </Box>
      ))}
      <MapDialog subject={mapping} close={() => setMapping(null)} />
    </Panel>
  );
}

/** The mapping that a finding misses is made right here. */
function Solve(props: {
  finding: Schemas['StoredFindingDoc'];
  names: Names;
  map: (subject: Subject) => void;
}) {
  const { t } = useWords();
  const org = useOrg();
  const mayMap = useMay('mappings.write');
  const subject = mappingFor({ code: props.finding.code, ...subjectOf(props.finding) }, props.names);
  if (subject !== null && mayMap) {
    return (
      <Button size="xs" onClick={() => props.map(subject)}>
        {t(`task.map.${subject.kind}`)}
      </Button>
    );
  }
  if (!props.finding.code.startsWith('TU2')) return null;
  return (
    <Button component={Link} to={`/o/${org}/mapping`} size="xs" variant="light">
      {t('task.toMapping')}
    </Button>
  );
}

function OrderLines({ detail, product }: { detail: Detail; product: (id: string) => string }) {
  const { t } = useWords();
  const { money, quantity } = useFormats();
  const say = useWord();
  const order = orderOf(detail);
  const lines = order?.lines ?? [];
  const currency = order?.currency ?? '';
  const amount = (value: string | null) => (value === null ? '–' : money(value, currency));
  const named = lines.some((line) => line.amount !== null);
  return (
    <Panel title={t('task.sold')}>
      {lines.length === 0 ? (
        <Text size="sm" c="dimmed">
          {t('task.sold.none')}
        </Text>
      ) : (
        <Box>
          <table className="sums stacked">
            <thead>
              <tr>
                <th scope="col">{t('change.product')}</th>
                <th scope="col" className="num">
                  {t('change.quantity')}
                </th>
                <th scope="col" className="num">
                  {t('change.price')}
                </th>
                {named && (
                  <th scope="col" className="num">
                    {t('task.amount')}
                  </th>
                )}
              </tr>
            </thead>
            <tbody>
              {lines.map((line) => (
                <tr key={line.id}>
                  <td className="bare">
                    <Text size="sm">{product(line.product)}</Text>
                    <Text size="xs" c="dimmed">
                      {say('charge', line.charge)}
                    </Text>
                  </td>
                  <td className="num" data-label={t('change.quantity')}>{line.quantity === null ? '–' : quantity(line.quantity)}</td>
                  <td className="num" data-label={t('change.price')}>{amount(line.unit_price)}</td>
                  {named && (
                    <td className="num" data-label={t('task.amount')}>
                      {amount(line.amount)}
                    </td>
                  )}
                </tr>
              ))}
            </tbody>
          </table>
        </Box>
      )}
    </Panel>
  );
}

function Actions({ detail }: { detail: Detail }) {
  const { t } = useWords();
  const org = useOrg();
  const navigate = useNavigate();
  const mayPlan = useMay('plans.write');
  const mayDecide = useMay('tasks.write');
  const [ignoring, setIgnoring] = useState(false);
  const decide = useDecide();
  const { task } = detail;
  const plan = useMutation({
    mutationFn: () => {
      const body = { tasks: [task.task_id] };
      return answer(api.POST(`${BASE}/plans`, { params: { path: { org } }, body }));
    },
    onSuccess: (made) => void navigate(`/o/${org}/plans/${encodeURIComponent(made.plan_id)}`),
  });
  const over = task.state === 'done' || task.state === 'ignored';
  const act = (decision: 'ignore' | 'unignore' | 'retry', reason?: string) =>
    decide.mutate({ ids: [task.task_id], decision, reason }, { onSuccess: () => setIgnoring(false) });
  return (
    <Stack gap="sm" align="flex-end">
      <Group gap="sm">
        {mayDecide && !over && (
          <Button variant="default" onClick={() => setIgnoring(true)}>
            {t('tasks.ignore')}
          </Button>
        )}
        {mayDecide && task.state === 'ignored' && (
          <Button variant="default" loading={decide.isPending} onClick={() => act('unignore')}>
            {t('tasks.unignore')}
          </Button>
        )}
        {mayDecide && task.state === 'failed' && (
          <Button variant="default" loading={decide.isPending} onClick={() => act('retry')}>
            {t('tasks.retry')}
          </Button>
        )}
        {task.state === 'done' && <TakeBack wish={{ tasks: [task.task_id] }} />}
        {mayPlan && !over && (
          <Button variant="default" loading={plan.isPending} onClick={() => plan.mutate()}>
            {t('task.plan')}
          </Button>
        )}
        {mayPlan && !over && (
          <Button component={Link} to={`/o/${org}/tasks/${encodeURIComponent(task.task_id)}/sync`}>
            {t('sync.start')}
          </Button>
        )}
      </Group>
      {[plan.error, ignoring ? null : decide.error]
        .filter((error) => error !== null)
        .map((error, at) => (
          <ProblemNote key={at} error={error} />
        ))}
      <IgnoreDialog
        count={1}
        opened={ignoring}
        close={() => setIgnoring(false)}
        working={decide.isPending}
        error={decide.error}
        ignore={(reason) => act('ignore', reason)}
      />
    </Stack>
  );
}
