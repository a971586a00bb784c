// The jobs of an organization, and the way to a new one.
import { Button } from '@mantine/core';
import { IconFileUpload } from '@tabler/icons-react';
import { keepPreviousData } from '@tanstack/react-query';
import { Link } from 'react-router';
import { queries } from '../api/client';
import { useFormats } from '../format';
import { useWords } from '../i18n';
import { useMay, useOrg } from '../session';
import { JobState, useWord } from '../ui/Badges';
import type { Column } from '../ui/DataTable';
import { ListPanel } from '../ui/ListPanel';
import { Empty, Page } from '../ui/Page';
import { usePages } from '../ui/usePages';
import { useActor } from '../ui/said';
import { JOBS, isRunning, type Job } from './jobs/data';

export default function JobsPage() {
  const { t } = useWords();
  const who = useActor();
  const { instant, ago, took } = useFormats();
  const say = useWord();
  const org = useOrg();
  const mayPlan = useMay('plans.write');
  const pages = usePages(org);
  const query = { limit: 30, ...(pages.cursor === undefined ? {} : { cursor: pages.cursor }) };
  const list = queries.useQuery(
    'get',
    JOBS,
    { params: { path: { org }, query } },
    {
      placeholderData: keepPreviousData,
      refetchInterval: ({ state }) => (state.data?.items.some(isRunning) ? 2_000 : false),
    },
  );
  const columns: Column<Job>[] = [
    {
      key: 'kind',
      header: t('jobs.col.kind'),
      bare: true,
      cell: (job) => (
        <Link
          to={`/o/${org}/jobs/${encodeURIComponent(job.job_id)}`}
          aria-label={t('jobs.open', { kind: say('job.kind', job.kind), when: instant(job.created_at) })}
        >
          {say('job.kind', job.kind)}
        </Link>
      ),
    },
    {
      key: 'asked',
      header: t('jobs.col.asked'),
      cell: (job) => <span title={ago(job.created_at)}>{instant(job.created_at)}</span>,
    },
    { key: 'actor', header: t('jobs.col.actor'), cell: (job) => who(job.actor) },
    {
      key: 'took',
      header: t('jobs.col.took'),
      numeric: true,
      cell: (job) =>
        job.started_at == null || job.finished_at == null ? '–' : took(job.started_at, job.finished_at),
    },
    { key: 'state', header: t('jobs.col.state'), cell: (job) => <JobState state={job.state} /> },
  ];
  const begin = mayPlan && (
    <Button component={Link} to={`/o/${org}/jobs/new`}>
      {t('jobs.new')}
    </Button>
  );
  return (
    <Page title={t('jobs.title')} lead={t('jobs.lead')} actions={begin}>
      <ListPanel
        label={t('jobs.title')}
        columns={columns}
        list={list}
        pages={pages}
        id={(job) => job.job_id}
        empty={
          <Empty
            icon={<IconFileUpload size={32} stroke={1.4} aria-hidden />}
            title={t('jobs.none')}
            detail={t('jobs.none.detail')}
          />
        }
      />
    </Page>
  );
}
