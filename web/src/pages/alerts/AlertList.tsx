// The alerts, those told last first: what is wrong, how it stands, and its ticket.
import { Box, Button, Group, Select, Text } from '@mantine/core';
import { IconBell } from '@tabler/icons-react';
import { Link, useSearchParams } from 'react-router';
import { NO_NAMES } from '../../api/names';
import { useFormats } from '../../format';
import { useWords } from '../../i18n';
import { useOrg } from '../../session';
import { DataTable, Pager, type Column } from '../../ui/DataTable';
import { Empty } from '../../ui/Page';
import { usePages } from '../../ui/usePages';
import { useAlerts, type Alert } from './data';
import { AlertSeverity, AlertState, TicketCell } from './Marks';
import { useAlertWords } from './words';

const STATES = ['open', 'acknowledged', 'cleared', 'all'] as const;

export function AlertList() {
  const { t } = useWords();
  const org = useOrg();
  const words = useAlertWords();
  const { ago, instant } = useFormats();
  const [params, setParams] = useSearchParams();
  const state = params.get('state') ?? '';
  const kind = params.get('kind') ?? '';
  const query: Record<string, string | number> = { limit: 50 };
  if (state !== '') query['state'] = state;
  if (kind !== '') query['kind'] = kind;
  const pages = usePages(JSON.stringify([org, query]));
  if (pages.cursor !== undefined) query['cursor'] = pages.cursor;
  const list = useAlerts(query);
  const names = list.data?.names ?? NO_NAMES;
  const set = (name: string, value: string | null) =>
    setParams(
      (now) => {
        if (value === null || value === '') now.delete(name);
        else now.set(name, value);
        return now;
      },
      { replace: true },
    );
  const columns: Column<Alert>[] = [
    {
      key: 'what',
      header: t('alerts.col.alert'),
      bare: true,
      cell: (row) => (
        <>
          <Link className="plain" to={`/o/${org}/alerts/${encodeURIComponent(row.alert_id)}`}>
            {row.summary}
          </Link>
          <Text size="xs" c="dimmed" component="span" display="block">
            {[words.kind(row.kind), row.subject, names.customer(row.source, row.customer_id)]
              .filter((text) => text != null && text !== '')
              .join(' · ')}
          </Text>
        </>
      ),
    },
    { key: 'severity', header: t('alerts.col.severity'), cell: (row) => <AlertSeverity severity={row.severity} /> },
    {
      key: 'state',
      header: t('tasks.col.state'),
      cell: (row) => (
        <>
          <AlertState state={row.state} />
          <Text size="xs" c="dimmed" component="span" display="block" title={instant(row.opened_at)}>
            {row.cleared_at == null
              ? t('alerts.since', { when: ago(row.opened_at) })
              : t('alerts.clearedAt', { when: ago(row.cleared_at) })}
          </Text>
        </>
      ),
    },
    { key: 'ticket', header: t('alerts.col.ticket'), cell: (row) => <TicketCell alert={row} /> },
  ];
  const next = list.data?.page.next_cursor;
  const isFiltered = state !== '' || kind !== '';
  return (
    <Box className="panel">
      <Group p="md" gap="sm" align="flex-end" className="line" role="search">
        <Select
          label={t('alerts.filter.state')}
          w={220}
          allowDeselect={false}
          value={state}
          onChange={(value) => set('state', value)}
          data={[
            { value: '', label: t('alerts.filter.notOver') },
            ...STATES.map((one) => ({ value: one, label: t(one === 'all' ? 'alerts.filter.all' : `alerts.state.${one}`) })),
          ]}
        />
        {kind !== '' && (
          <Text size="sm" mb={8}>
            {t('alerts.filter.kind', { kind: words.kind(kind) })}
          </Text>
        )}
        {isFiltered && (
          <Button variant="subtle" onClick={() => setParams({}, { replace: true })}>
            {t('action.clear')}
          </Button>
        )}
      </Group>
      <DataTable
        label={t('alerts.title')}
        columns={columns}
        rows={list.data?.page.items}
        id={(row) => row.alert_id}
        error={list.error}
        retry={() => void list.refetch()}
        busy={list.isPlaceholderData}
        empty={
          <Empty
            icon={<IconBell size={32} stroke={1.4} aria-hidden />}
            title={t(isFiltered ? 'alerts.empty' : 'alerts.none')}
            {...(isFiltered ? {} : { detail: t('alerts.none.detail') })}
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
  );
}
