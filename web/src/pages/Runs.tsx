// What was done: every run, by people and by schedules.
import { Text } from '@mantine/core';
import { IconHistory } from '@tabler/icons-react';
import { keepPreviousData } from '@tanstack/react-query';
import { Link } from 'react-router';
import { queries } from '../api/client';
import { isOver, type Run } from '../api/runs';
import { useFormats } from '../format';
import { useWords } from '../i18n';
import { useOrg } from '../session';
import { RunState, useWord } from '../ui/Badges';
import type { Column } from '../ui/DataTable';
import { ListPanel } from '../ui/ListPanel';
import { Empty, Page } from '../ui/Page';
import { usePages } from '../ui/usePages';
import { useActor } from '../ui/said';

export default function RunsPage() {
  const { t } = useWords();
  const who = useActor();
  const { instant, took } = useFormats();
  const say = useWord();
  const org = useOrg();
  const pages = usePages(org);
  const query = { limit: 30, ...(pages.cursor === undefined ? {} : { cursor: pages.cursor }) };
  const list = queries.useQuery(
    'get',
    '/api/v1/organizations/{org}/runs',
    { params: { path: { org }, query } },
    {
      placeholderData: keepPreviousData,
      refetchInterval: ({ state }) => (state.data?.items.some((run) => !isOver(run)) ? 2_000 : false),
    },
  );
  const columns: Column<Run>[] = [
    {
      key: 'kind',
      header: t('runs.col.kind'),
      bare: true,
      cell: (run) => (
        <Link
          to={`/o/${org}/runs/${encodeURIComponent(run.run_id)}`}
          aria-label={t('runs.open', { kind: say('run', run.kind), when: instant(run.created_at) })}
        >
          {say('run', run.kind)}
        </Link>
      ),
    },
    { key: 'asked', header: t('runs.col.asked'), cell: (run) => instant(run.created_at) },
    {
      key: 'actor',
      header: t('runs.col.actor'),
      cell: (run) =>
        run.scheduled ? (
          <Text size="sm" c="dimmed" component="span">
            {t('run.bySchedule')}
          </Text>
        ) : (
          who(run.actor)
        ),
    },
    {
      key: 'took',
      header: t('runs.col.took'),
      numeric: true,
      cell: (run) => (run.started_at == null || run.finished_at == null ? '–' : took(run.started_at, run.finished_at)),
    },
    { key: 'state', header: t('runs.col.state'), cell: (run) => <RunState state={run.state} /> },
  ];
  return (
    <Page title={t('runs.title')} lead={t('runs.lead')}>
      <ListPanel
        label={t('runs.title')}
        columns={columns}
        list={list}
        pages={pages}
        id={(run) => run.run_id}
        empty={
          <Empty
            icon={<IconHistory size={32} stroke={1.4} aria-hidden />}
            title={t('runs.none')}
            detail={t('runs.none.detail')}
          />
        }
      />
    </Page>
  );
}
