// What went on, the newest first; of an entry a rule can be made.
import { Box, Button, Group, Modal, Select, Stack, Text } from '@mantine/core';
import { IconHistory } from '@tabler/icons-react';
import { useState, type ReactNode, type SubmitEvent } from 'react';
import { Link, useNavigate, useSearchParams } from 'react-router';
import { NO_NAMES, type Names } from '../../api/names';
import { useFormats } from '../../format';
import { useWords } from '../../i18n';
import { useMay, useOrg } from '../../session';
import { useWord } from '../../ui/Badges';
import { DataTable, Pager, type Column } from '../../ui/DataTable';
import { Empty, Waiting } from '../../ui/Page';
import { ProblemNote, sentence } from '../../ui/Problem';
import { usePages } from '../../ui/usePages';
import { setRule, useActivity, useAlertWrite, usePlaces, type Entry } from './data';
import { AlertSeverity, TicketLink } from './Marks';
import { useAlertWords } from './words';

const ABOUT = ['alert', 'ticket', 'quantity', 'finding'] as const;

export function ActivityTab() {
  const { t } = useWords();
  const org = useOrg();
  const [params, setParams] = useSearchParams();
  const about = params.get('about') ?? '';
  const query: Record<string, string | number> = { limit: 50 };
  if (about !== '') query['about'] = about;
  const pages = usePages(JSON.stringify([org, query]));
  if (pages.cursor !== undefined) query['cursor'] = pages.cursor;
  const list = useActivity(query);
  const next = list.data?.page.next_cursor;
  return (
    <Box className="panel">
      <Group p="md" gap="sm" align="flex-end" className="line" role="search">
        <Select
          label={t('alerts.log.about')}
          w={240}
          allowDeselect={false}
          value={about}
          onChange={(value) =>
            setParams(value === null || value === '' ? { tab: 'log' } : { tab: 'log', about: value }, { replace: true })
          }
          data={[
            { value: '', label: t('alerts.log.all') },
            ...ABOUT.map((one) => ({ value: one, label: t(`alerts.log.about.${one}`) })),
          ]}
        />
      </Group>
      <LogTable
        rows={list.data?.page.items}
        names={list.data?.names ?? NO_NAMES}
        error={list.error}
        retry={() => void list.refetch()}
        busy={list.isPlaceholderData}
        empty={
          <Empty
            icon={<IconHistory size={32} stroke={1.4} aria-hidden />}
            title={t(about === '' ? 'alerts.log.none' : 'alerts.empty')}
            {...(about === '' ? { detail: t('alerts.log.none.detail') } : {})}
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

export function LogTable(props: {
  rows: Entry[] | undefined;
  names: Names;
  /** Whether the entries are those of one alert. */
  alone?: boolean;
  error?: unknown;
  retry?: () => void;
  busy?: boolean;
  empty: ReactNode;
  footer?: ReactNode;
}) {
  const { t } = useWords();
  const org = useOrg();
  const say = useWord();
  const { instant } = useFormats();
  const mayRule = useMay('settings.write');
  const [ruling, setRuling] = useState<Entry | null>(null);
  const { names, alone } = props;
  const columns: Column<Entry>[] = [
    { key: 'when', header: t('audit.col.when'), width: '12rem', cell: (row) => instant(row.at) },
    {
      key: 'what',
      header: t('alerts.log.what'),
      bare: true,
      cell: (row) => (
        <>
          <Text size="sm" fw={500} component="span" display="block">
            {say(`alerts.log.${row.about}`, row.action)}
          </Text>
          <Text size="sm" component="span" display="block" lang="en">
            {row.alert_id != null && alone !== true ? (
              <Link className="plain" to={`/o/${org}/alerts/${encodeURIComponent(row.alert_id)}`}>
                {sentence(row.text)}
              </Link>
            ) : (
              sentence(row.text)
            )}
          </Text>
          {row.why != null && (
            <Text size="xs" c="dimmed" component="span" display="block" lang="en">
              {sentence(row.why)}
            </Text>
          )}
        </>
      ),
    },
    {
      key: 'severity',
      header: t('alerts.col.severity'),
      cell: (row) => (row.severity == null ? '–' : <AlertSeverity severity={row.severity} />),
    },
    {
      key: 'ticket',
      header: t('alerts.col.ticket'),
      cell: (row) => (row.ticket_id == null ? '–' : <TicketLink ticket={row.ticket_id} />),
    },
  ];
  if (alone !== true) {
    columns.splice(2, 0, {
      key: 'customer',
      header: t('tasks.col.customer'),
      cell: (row) => (row.customer_id == null || row.customer_id === '' ? '–' : names.customer(row.source ?? '', row.customer_id)),
    });
    if (mayRule) {
      columns.push({
        key: 'do',
        header: t('mapping.col.do'),
        bare: true,
        width: '9rem',
        cell: (row) =>
          row.rule_kind != null && (
            <Button
              size="compact-sm"
              variant="default"
              onClick={() => setRuling(row)}
              aria-label={t('alerts.log.rule.of', { n: row.entry })}
            >
              {t('alerts.log.rule')}
            </Button>
          ),
      });
    }
  }
  return (
    <>
      <DataTable
        label={t('alerts.tab.log')}
        columns={columns}
        rows={props.rows}
        id={(row) => String(row.entry)}
        error={props.error}
        {...(props.retry === undefined ? {} : { retry: props.retry })}
        busy={props.busy ?? false}
        empty={props.empty}
        footer={props.footer}
      />
      <FromEntry entry={ruling} close={() => setRuling(null)} />
    </>
  );
}

/** A rule for the like of an entry: it makes tickets, on which board. The rest is inherited. */
function FromEntry({ entry, close }: { entry: Entry | null; close: () => void }) {
  const { t } = useWords();
  const words = useAlertWords();
  return (
    <Modal
      opened={entry !== null}
      onClose={close}
      title={entry === null ? '' : t('alerts.log.rule.title', { kind: words.kind(entry.rule_kind ?? '') })}
    >
      {entry !== null && <FromEntryForm entry={entry} close={close} />}
    </Modal>
  );
}

function FromEntryForm({ entry, close }: { entry: Entry; close: () => void }) {
  const { t } = useWords();
  const org = useOrg();
  const navigate = useNavigate();
  const [board, setBoard] = useState<string | null>(null);
  const places = usePlaces('');
  const write = useAlertWrite(setRule, (made) => {
    close();
    void navigate(`/o/${org}/alerts?${new URLSearchParams({ tab: 'rules', kind: made.kind }).toString()}`);
  });
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    write.mutate({ from_entry: entry.entry, values: { psa: 'on', ...(board === null ? {} : { board }) } });
  };
  if (places.data === undefined && places.error === null) return <Waiting rows={3} />;
  return (
    <form onSubmit={submit}>
      <Stack>
        <Text size="sm">{t('alerts.log.rule.lead')}</Text>
        {places.error !== null && <ProblemNote error={places.error} retry={() => void places.refetch()} />}
        <Select
          label={t('alerts.field.board')}
          description={t('alerts.log.rule.board')}
          clearable
          value={board}
          onChange={setBoard}
          data={(places.data?.boards ?? [])
            .filter((one) => !one.inactive)
            .map((one) => ({ value: String(one.id), label: one.name }))}
        />
        {write.error !== null && <ProblemNote error={write.error} />}
        <Group justify="flex-end">
          <Button variant="default" onClick={close}>
            {t('action.cancel')}
          </Button>
          <Button type="submit" loading={write.isPending}>
            {t('action.save')}
          </Button>
        </Group>
      </Stack>
    </form>
  );
}
