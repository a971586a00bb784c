import { Button, Group } from '@mantine/core';
import { IconClipboardList } from '@tabler/icons-react';
import { keepPreviousData } from '@tanstack/react-query';
import { Link } from 'react-router';
import { queries, type Schemas } from '../api/client';
import { useFormats } from '../format';
import { useWords } from '../i18n';
import { useOrg } from '../session';
import { PlanState } from '../ui/Badges';
import type { Column } from '../ui/DataTable';
import { ListPanel } from '../ui/ListPanel';
import { Empty, Page } from '../ui/Page';
import { usePages } from '../ui/usePages';
import { useActor } from '../ui/said';

type Row = Schemas['PlanRowDoc'];

export default function PlansPage() {
  const who = useActor();
  const { t } = useWords();
  const { instant, count } = useFormats();
  const org = useOrg();
  const pages = usePages(org);
  const query = pages.cursor === undefined ? {} : { cursor: pages.cursor };
  const list = queries.useQuery(
    'get',
    '/api/v1/organizations/{org}/plans',
    { params: { path: { org }, query: { limit: 30, ...query } } },
    { placeholderData: keepPreviousData },
  );
  const amount = (key: 'create' | 'update' | 'cancel' | 'delete' | 'keep'): Column<Row> => ({
    key,
    header: t(`plans.col.${key}`),
    numeric: true,
    cell: (row) => (row[key] === 0 ? '–' : count(row[key])),
  });
  const columns: Column<Row>[] = [
    {
      key: 'made',
      header: t('plans.col.made'),
      bare: true,
      cell: (row) => <Link to={`/o/${org}/plans/${encodeURIComponent(row.plan_id)}`}>{instant(row.created_at)}</Link>,
    },
    { key: 'actor', header: t('plans.col.actor'), cell: (row) => who(row.actor) },
    amount('create'),
    amount('update'),
    amount('cancel'),
    amount('delete'),
    amount('keep'),
    { key: 'state', header: t('plans.col.state'), cell: (row) => <PlanState state={row.state} /> },
  ];
  return (
    <Page title={t('plans.title')} lead={t('plans.lead')}>
      <ListPanel
        label={t('plans.title')}
        columns={columns}
        list={list}
        pages={pages}
        id={(row) => row.plan_id}
        empty={
          <Empty
            icon={<IconClipboardList size={32} stroke={1.4} aria-hidden />}
            title={t('plans.none')}
            detail={t('plans.none.detail')}
            action={
              <Group justify="center">
                <Button component={Link} to={`/o/${org}/tasks`} variant="light" size="xs">
                  {t('plans.none.do')}
                </Button>
              </Group>
            }
          />
        }
      />
    </Page>
  );
}
