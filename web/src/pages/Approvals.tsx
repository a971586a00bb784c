// Plans that wait for people, and what became of those that did.
import { Badge, Box, Group, SegmentedControl, Stack, Text } from '@mantine/core';
import { IconCircleCheck } from '@tabler/icons-react';
import { keepPreviousData } from '@tanstack/react-query';
import { Link, useSearchParams } from 'react-router';
import type { Approval } from '../api/approvals';
import { queries } from '../api/client';
import { useFormats } from '../format';
import { useWords } from '../i18n';
import { useOrg } from '../session';
import { ApprovalState, useWord } from '../ui/Badges';
import { DataTable, Pager, type Column } from '../ui/DataTable';
import { Empty, Page } from '../ui/Page';
import { usePages } from '../ui/usePages';
import { useActor, useSaid } from '../ui/said';

export default function ApprovalsPage() {
  const { t } = useWords();
  const org = useOrg();
  const [params, setParams] = useSearchParams();
  const all = params.get('which') === 'all';
  const pages = usePages(`${org} ${all}`);
  const query = {
    limit: 30,
    ...(all ? { all } : {}),
    ...(pages.cursor === undefined ? {} : { cursor: pages.cursor }),
  };
  const list = queries.useQuery(
    'get',
    '/api/v1/organizations/{org}/approvals',
    { params: { path: { org }, query } },
    { placeholderData: keepPreviousData },
  );
  const next = list.data?.next_cursor;
  return (
    <Page title={t('approvals.title')} lead={t('approvals.lead')}>
      <Box className="panel">
        <Group p="md" className="line">
          <SegmentedControl
            aria-label={t('approvals.which')}
            value={all ? 'all' : 'open'}
            onChange={(which) => setParams(which === 'all' ? { which } : {}, { replace: true })}
            data={[
              { value: 'open', label: t('approvals.open') },
              { value: 'all', label: t('approvals.all') },
            ]}
          />
        </Group>
        <DataTable
          label={t('approvals.title')}
          columns={useColumns(org)}
          rows={list.data?.items}
          id={(row) => row.approval_id}
          error={list.error}
          retry={() => void list.refetch()}
          busy={list.isPlaceholderData}
          empty={
            <Empty
              icon={<IconCircleCheck size={32} stroke={1.4} color="var(--trueup-gain)" aria-hidden />}
              title={t(all ? 'approvals.none.all' : 'approvals.none')}
              detail={t(all ? 'approvals.none.all.detail' : 'approvals.none.detail')}
            />
          }
          footer={
            <Pager
              page={pages.page}
              hasNext={next != null}
              onPrevious={pages.previous}
              onNext={() => next != null && pages.next(next)}
            />
          }
        />
      </Box>
    </Page>
  );
}

function useColumns(org: string): Column<Approval>[] {
  const who = useActor();
  const { said } = useSaid();
  const { t, tn } = useWords();
  const { instant, count } = useFormats();
  const say = useWord();
  return [
    {
      key: 'asked',
      header: t('approvals.col.asked'),
      bare: true,
      cell: (row) => (
        <Link
          to={`/o/${org}/approvals/${encodeURIComponent(row.approval_id)}`}
          aria-label={t('approval.of', { when: instant(row.asked_at) })}
          className="nowrap"
        >
          {instant(row.asked_at)}
        </Link>
      ),
    },
    {
      key: 'why',
      header: t('approvals.col.why'),
      bare: true,
      cell: (row) => (
        <Stack gap={4}>
          <Group gap={6}>
            {[...new Set(row.reasons.map((reason) => reason.limit))].map((limit) => (
              <Badge key={limit} variant="light" color="gray" tt="none" fw={500} radius="sm" className="badge">
                {say('approval.limit', limit)}
              </Badge>
            ))}
          </Group>
          {row.reasons[0] !== undefined && (
            <Text size="xs" c="dimmed" maw="28rem">
              {said(row.reasons[0].message)}
              {row.reasons.length > 1 && ` … ${tn('approval.more', row.reasons.length - 1)}`}
            </Text>
          )}
        </Stack>
      ),
    },
    { key: 'maker', header: t('approvals.col.maker'), cell: (row) => who(row.made_by) },
    {
      key: 'people',
      header: t('approvals.col.people'),
      numeric: true,
      cell: (row) =>
        t('approval.people.count', { given: count(row.persons - row.missing), asked: count(row.persons) }),
    },
    { key: 'state', header: t('approvals.col.state'), cell: (row) => <ApprovalState state={row.state} /> },
  ];
}
