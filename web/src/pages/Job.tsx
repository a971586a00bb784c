// One job: how far it is, what would be written or was, what stands in the way, and what can be done next.
import { Alert, Badge, Box, Button, Group, Modal, Stack, Text } from '@mantine/core';
import { IconAlertTriangle, IconCircleCheck, IconUserExclamation } from '@tabler/icons-react';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { Link, useParams } from 'react-router';
import { useOpenApprovals } from '../api/approvals';
import { answer, api, isProblem, queries } from '../api/client';
import type { Names } from '../api/names';
import { useFormats } from '../format';
import { useWords } from '../i18n';
import { useMay, useOrg } from '../session';
import { JobState, useWord } from '../ui/Badges';
import { DataTable, type Column } from '../ui/DataTable';
import { Empty, Page, Panel, Waiting } from '../ui/Page';
import { Effect, usePlan } from '../ui/PlanView';
import { ProblemNote } from '../ui/Problem';
import { RunProgress } from '../ui/RunProgress';
import { Steps } from '../ui/Steps';
import { useActor } from '../ui/said';
import { Grid } from './jobs/Grid';
import { isRunning, JOBS, loadJob, useBegin, type Job } from './jobs/data';
import { useJobSteps } from './jobs/steps';

type Customer = Job['customers'][number];

export default function JobPage() {
  const { t } = useWords();
  const who = useActor();
  const { instant } = useFormats();
  const say = useWord();
  const org = useOrg();
  const { job: id = '' } = useParams();
  const found = useQuery({
    queryKey: ['job', org, id],
    queryFn: () => loadJob(org, id),
    // The stream tells of the end; this is for streams that break.
    refetchInterval: ({ state }) => (state.data !== undefined && isRunning(state.data.job) ? 3_000 : false),
  });
  const job = found.data?.job;
  const asked = useAsked(job);
  const steps = useJobSteps(job?.kind === 'upload' ? 'upload' : 'validate', job?.state === 'success');
  if (found.data === undefined || job === undefined) {
    return (
      <Page title={t('jobs.title')}>
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
  // What waits for an approval was not tried: its rows would only say so, line by line.
  const waits = asked !== undefined && job.rows.every((row) => row.detail === 'skipped' || row.code === 'TU7007');
  const errors = job.rows.filter((row) => row.severity === 'error').length;
  const title =
    job.kind === 'upload' ? 'job.grid.upload' : errors > 0 || job.state === 'error' ? 'job.grid' : 'job.grid.notices';
  return (
    <Page
      title={say('job.kind', job.kind)}
      lead={
        <Group gap="xs">
          <JobState state={job.state} />
          <span>{t('job.asked', { when: instant(job.created_at), actor: who(job.actor) })}</span>
        </Group>
      }
      actions={<Actions job={job} />}
    >
      <Steps label={t('job.steps')} steps={steps} />
      {isRunning(job) ? (
        <Stack gap="xs">
          <Text size="sm" c="dimmed">
            {t(job.kind === 'upload' ? 'job.running.upload' : 'job.running.validate')}
          </Text>
          <RunProgress id={job.job_id} />
        </Stack>
      ) : (
        <Outcome job={job} errors={errors} asked={asked} />
      )}
      <Customers job={job} names={found.data.names} />
      {!waits && <Grid key={job.job_id} job={job} names={found.data.names} title={t(title)} />}
      <Relatives job={job} />
    </Page>
  );
}

/** The approval for which an upload waits. */
function useAsked(job: Job | undefined) {
  const open = useOpenApprovals(useOrg(), job?.kind === 'upload' && job.state === 'error');
  return open.data?.items.find((one) => one.plan_id === job?.plan_id);
}

/** In one sentence, how it ended. */
function Outcome({ job, errors, asked }: { job: Job; errors: number; asked: ReturnType<typeof useAsked> }) {
  const { t, tn } = useWords();
  const org = useOrg();
  const isUpload = job.kind === 'upload';
  if (isProblem(job.problem)) return <ProblemNote error={job.problem} />;
  if (job.problem != null) {
    // A cancelled job says so without the form of a problem.
    const { title, detail } = job.problem as { title?: string; detail?: string };
    return (
      <Alert color="gray" variant="light" title={title}>
        <Text size="sm">{detail}</Text>
      </Alert>
    );
  }
  if (job.state === 'success') {
    const nothing = !isUpload && job.customers.every((one) => one.lines === 0);
    return (
      <Alert color="green" variant="light" icon={<IconCircleCheck aria-hidden />} role="status">
        <Text size="sm">{t(isUpload ? 'job.done.upload' : nothing ? 'job.done.nothing' : 'job.done.validate')}</Text>
      </Alert>
    );
  }
  if (asked !== undefined) {
    return (
      <Alert color="yellow" variant="light" icon={<IconUserExclamation aria-hidden />} title={t('job.waits')} role="status">
        <Group justify="space-between" gap="sm">
          <Text size="sm">{t('job.waits.detail')}</Text>
          <Button
            component={Link}
            to={`/o/${org}/approvals/${encodeURIComponent(asked.approval_id)}`}
            size="xs"
            variant="default"
          >
            {t('approval.look')}
          </Button>
        </Group>
      </Alert>
    );
  }
  return (
    <Alert color="red" variant="light" icon={<IconAlertTriangle aria-hidden />} role="status">
      <Text size="sm">{isUpload ? t('job.failed.upload') : tn('job.failed.validate', errors)}</Text>
      {isUpload && job.next === 'retry' && <Text size="sm">{t('job.retry.detail')}</Text>}
      {isPartly(job) && <Text size="sm">{t('job.clean.detail')}</Text>}
    </Alert>
  );
}

/** Whether some customers of a failed validation can go on without the others. */
function isPartly(job: Job): boolean {
  return job.kind === 'validate' && job.state === 'error' && job.customers.some((c) => !c.failing) && job.customers.some((c) => c.failing);
}

function Customers({ job, names }: { job: Job; names: Names }) {
  const { t } = useWords();
  const { money, count } = useFormats();
  const org = useOrg();
  if (job.customers.length === 0) return null;
  const columns: Column<Customer>[] = [
    {
      key: 'name',
      header: t('mapping.col.customer'),
      bare: true,
      cell: (row) => <Text size="sm">{names.customer(row.source, row.customer_id)}</Text>,
    },
    {
      key: 'lines',
      header: t('job.customers.lines'),
      numeric: true,
      cell: (row) => (row.lines === 0 ? '–' : count(row.lines)),
    },
    {
      key: 'amount',
      header: t('job.customers.amount'),
      numeric: true,
      cell: (row) =>
        Object.keys(row.amounts).length === 0
          ? '–'
          : Object.entries(row.amounts).map(([currency, amount]) => (
              <Text key={currency} size="sm" component="span" display="block">
                {money(amount, currency)}
              </Text>
            )),
    },
    {
      key: 'state',
      header: t('job.customers.state'),
      cell: (row) => (
        <Badge
          color={row.failing ? 'red' : row.lines > 0 ? 'green' : 'gray'}
          variant="light"
          tt="none"
          fw={500}
          radius="sm"
          className="badge"
        >
          {t(row.failing ? 'job.customers.failing' : row.lines > 0 ? 'job.customers.ready' : 'job.customers.nothing')}
        </Badge>
      ),
    },
  ];
  return (
    <Panel
      title={t('job.customers')}
      flush
      aside={
        job.plan_id != null && (
          <Link to={`/o/${org}/plans/${encodeURIComponent(job.plan_id)}`} className="plain">
            {t('job.plan')}
          </Link>
        )
      }
    >
      <DataTable
        label={t('job.customers')}
        columns={columns}
        rows={job.customers}
        id={(row) => `${row.source}/${row.customer_id}`}
        empty={<Empty title={t('job.customers.nothing')} />}
      />
    </Panel>
  );
}

/** The job that it goes back to, and those that came of it. */
function Relatives({ job }: { job: Job }) {
  const { t } = useWords();
  const { instant } = useFormats();
  const say = useWord();
  const org = useOrg();
  const list = queries.useQuery('get', JOBS, { params: { path: { org }, query: { limit: 100 } } });
  const all = list.data?.items ?? [];
  const before = all.find((one) => one.job_id === job.of);
  const after = all.filter((one) => one.of === job.job_id);
  if (before === undefined && after.length === 0) return null;
  const to = (one: Job) => (
    <Group key={one.job_id} gap="sm">
      <Link className="plain" to={`/o/${org}/jobs/${encodeURIComponent(one.job_id)}`}>
        {t('jobs.open', { kind: say('job.kind', one.kind), when: instant(one.created_at) })}
      </Link>
      <JobState state={one.state} />
    </Group>
  );
  const from =
    job.kind === 'validate'
      ? 'job.from.clean'
      : before?.kind === 'upload'
        ? 'job.from.upload'
        : 'job.from.validation';
  return (
    <Stack gap="sm">
      {before !== undefined && (
        <Box>
          <Text size="sm" c="dimmed">
            {t(from)}
          </Text>
          {to(before)}
        </Box>
      )}
      {after.length > 0 && (
        <Box>
          <Text size="sm" c="dimmed">
            {t('job.next')}
          </Text>
          <Stack gap={4}>{after.map(to)}</Stack>
        </Box>
      )}
    </Stack>
  );
}

function Actions({ job }: { job: Job }) {
  const { t, tn } = useWords();
  const mayRun = useMay('runs.write');
  const mayPlan = useMay('plans.write');
  const { validate, upload } = useBegin();
  const [asking, setAsking] = useState<'upload' | 'cancel' | null>(null);
  const waits = useAsked(job) !== undefined;
  const clean = job.customers.filter((one) => !one.failing);
  const failed = job.kind === 'validate' && job.state === 'error';
  const again = job.kind === 'validate' && !isRunning(job) && job.customers.length > 0;
  const customers = job.customers.map((one) => ({ source: one.source, id: one.customer_id }));
  const writes = job.customers.some((one) => one.lines > 0);
  const partly = isPartly(job);
  return (
    <Stack gap="sm" align="flex-end">
      <Group gap="sm">
        {isRunning(job) && mayRun && (
          <Button variant="default" onClick={() => setAsking('cancel')}>
            {t('job.cancel')}
          </Button>
        )}
        {again && mayPlan && (
          <Button
            variant={failed && !partly ? 'filled' : 'default'}
            loading={validate.isPending && validate.variables.customers != null}
            onClick={() => validate.mutate({ customers })}
          >
            {t('job.again')}
          </Button>
        )}
        {partly && mayPlan && (
          <Button
            loading={validate.isPending && validate.variables.clean_of != null}
            onClick={() => validate.mutate({ clean_of: job.job_id })}
          >
            {tn('job.clean', clean.length)}
          </Button>
        )}
        {job.next === 'upload' && writes && mayRun && (
          <Button onClick={() => setAsking('upload')}>{t('job.upload')}</Button>
        )}
        {job.next === 'retry' && !waits && mayRun && (
          <Button loading={upload.isPending} onClick={() => upload.mutate(job.job_id)}>
            {t('job.retry')}
          </Button>
        )}
      </Group>
      {validate.error !== null && <ProblemNote error={validate.error} />}
      {upload.error !== null && asking === null && <ProblemNote error={upload.error} />}
      <Modal
        opened={asking === 'upload'}
        onClose={() => setAsking(null)}
        title={t('job.upload.title')}
        size="lg"
      >
        <Stack>
          <Text size="sm">{t('job.upload.lead')}</Text>
          {job.plan_id != null && <EffectOf plan={job.plan_id} />}
          {upload.error !== null && <ProblemNote error={upload.error} />}
          <Group justify="flex-end">
            <Button variant="default" onClick={() => setAsking(null)}>
              {t('action.cancel')}
            </Button>
            <Button loading={upload.isPending} onClick={() => upload.mutate(job.job_id)} data-autofocus>
              {t('job.upload')}
            </Button>
          </Group>
        </Stack>
      </Modal>
      <CancelDialog job={job} opened={asking === 'cancel'} close={() => setAsking(null)} />
    </Stack>
  );
}

function EffectOf({ plan }: { plan: string }) {
  const found = usePlan(useOrg(), plan, false);
  if (found.data === undefined) return found.error === null ? <Waiting rows={3} /> : null;
  return <Effect plan={found.data.plan} narrow />;
}

function CancelDialog({ job, opened, close }: { job: Job; opened: boolean; close: () => void }) {
  const { t } = useWords();
  const org = useOrg();
  const client = useQueryClient();
  const cancel = useMutation({
    mutationFn: () =>
      answer(api.POST(`${JOBS}/{job}/cancel`, { params: { path: { org, job: job.job_id } } })),
    onSuccess: () => {
      close();
      void client.invalidateQueries({ predicate: (query) => query.queryKey[0] !== 'session' });
    },
  });
  return (
    <Modal opened={opened} onClose={close} title={t('job.cancel.title')}>
      <Stack>
        <Text size="sm">{t(job.kind === 'upload' ? 'job.cancel.upload' : 'job.cancel.validate')}</Text>
        {cancel.error !== null && <ProblemNote error={cancel.error} />}
        <Group justify="flex-end">
          <Button variant="default" onClick={close} data-autofocus>
            {t('job.cancel.keep')}
          </Button>
          <Button loading={cancel.isPending} onClick={() => cancel.mutate()}>
            {t('job.cancel')}
          </Button>
        </Group>
      </Stack>
    </Modal>
  );
}
