// The audit: who did what and when, with what was before and what is after.
import { Anchor, Box, Button, Code, Group, Modal, NumberInput, Select, Stack, Text, TextInput, Title } from '@mantine/core';
import { IconHistory } from '@tabler/icons-react';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { Link, useSearchParams } from 'react-router';
import { answer, api } from '../api/client';
import { fetchNames, NO_NAMES, type Names } from '../api/names';
import { useFormats } from '../format';
import { useWords, type Key } from '../i18n';
import { useMay, useOrg } from '../session';
import { useWord } from '../ui/Badges';
import { Facts } from '../ui/Changes';
import { DataTable, Pager, type Column } from '../ui/DataTable';
import { Empty, Page } from '../ui/Page';
import { usePages } from '../ui/usePages';
import { fieldsOf, objectOf, useEntryWords, wishOf, type Entry } from './audit/words';
import { useActor } from '../ui/said';

const PATH = '/api/v1/organizations/{org}/audit';

const GROUPS = [
  'addition',
  'mapping',
  'task',
  'finding',
  'approval',
  'run',
  'feed',
  'setting',
  'schedule',
  'connection',
  'organization',
  'user',
  'token',
  'webhook',
  'session',
  'access',
] as const;

/** The instant at which a day begins where the reader is, so many days later; nothing where it is no day. */
function startOf(day: string, later: number): string | undefined {
  const [year, month, date] = day.split('-').map(Number);
  if (year === undefined || month === undefined || date === undefined) return undefined;
  const at = new Date(year, month - 1, date + later);
  return Number.isNaN(at.getTime()) ? undefined : at.toISOString();
}

async function load(org: string, query: Record<string, string | number>) {
  const page = await answer(api.GET(PATH, { params: { path: { org }, query } }));
  return { page, names: await fetchNames(org, wishOf(page.items)) };
}

export default function AuditPage() {
  const { t } = useWords();
  const { instant } = useFormats();
  const say = useWord();
  const org = useOrg();
  const [params, setParams] = useSearchParams();
  const [shown, setShown] = useState<Entry | null>(null);
  const action = params.get('what') ?? '';
  const actor = params.get('who') ?? '';
  const addition = params.get('line') ?? '';
  const search = params.get('search') ?? '';
  const [from, to] = [params.get('from') ?? '', params.get('to') ?? ''];
  const set = (name: string, value: string) =>
    setParams(
      (now) => {
        if (value === '') now.delete(name);
        else now.set(name, value);
        return now;
      },
      { replace: true },
    );
  const filter: Record<string, string | number> = { limit: 50 };
  if (action !== '') filter['action'] = `${action}.`;
  if (actor !== '') filter['actor'] = actor;
  if (/^\d+$/.test(addition)) filter['addition'] = addition;
  if (search !== '') filter['search'] = search;
  const [since, until] = [startOf(from, 0), startOf(to, 1)];
  if (since !== undefined) filter['since'] = since;
  if (until !== undefined) filter['until'] = until;
  const isFiltered = [action, actor, addition, search, from, to].some((one) => one !== '');
  const pages = usePages(JSON.stringify([org, filter]));
  if (pages.cursor !== undefined) filter['cursor'] = pages.cursor;
  const list = useQuery({
    queryKey: ['audit', org, filter],
    queryFn: () => load(org, filter),
    placeholderData: keepPreviousData,
  });
  const names = list.data?.names ?? NO_NAMES;
  const words = useEntryWords(names);
  const who = useActor();
  const columns: Column<Entry>[] = [
    { key: 'when', header: t('audit.col.when'), width: '12rem', cell: (row) => instant(row.at) },
    { key: 'what', header: t('audit.col.what'), cell: (row) => say('audit', row.action) },
    { key: 'subject', header: t('audit.col.subject'), cell: (row) => words.about(row) },
    {
      key: 'who',
      header: t('audit.col.who'),
      cell: (row) =>
        row.actor === actor ? (
          who(row.actor)
        ) : (
          <Anchor
            component="button"
            type="button"
            size="sm"
            ta="inherit"
            title={t('audit.only', { actor: who(row.actor) })}
            onClick={() => set('who', row.actor)}
          >
            {who(row.actor)}
          </Anchor>
        ),
    },
    {
      key: 'do',
      header: t('audit.col.do'),
      bare: true,
      width: '8rem',
      cell: (row) => (
        <Button
          size="compact-sm"
          variant="default"
          onClick={() => setShown(row)}
          aria-label={t('audit.details.of', { what: say('audit', row.action), n: row.number })}
        >
          {t('audit.details')}
        </Button>
      ),
    },
  ];
  const next = list.data?.page.next_cursor;
  return (
    <Page title={t('audit.title')} lead={t('audit.lead')}>
      <Box className="panel">
        <Group p="md" gap="sm" align="flex-end" className="line" role="search">
          <TextInput
            label={t('audit.filter.search')}
            placeholder={t('audit.filter.search.hint')}
            flex="1 1 16rem"
            maw={360}
            defaultValue={search}
            key={`search ${search}`}
            onBlur={(event) => set('search', event.currentTarget.value.trim())}
            onKeyDown={(event) => event.key === 'Enter' && set('search', event.currentTarget.value.trim())}
          />
          <TextInput
            type="date"
            label={t('audit.filter.from')}
            w={150}
            value={from}
            onChange={(event) => set('from', event.currentTarget.value)}
          />
          <TextInput
            type="date"
            label={t('audit.filter.to')}
            w={150}
            value={to}
            onChange={(event) => set('to', event.currentTarget.value)}
          />
          <Select
            label={t('audit.filter.what')}
            w={220}
            allowDeselect={false}
            maxDropdownHeight={420}
            value={action}
            onChange={(value) => set('what', value ?? '')}
            data={[
              { value: '', label: t('audit.filter.all') },
              ...GROUPS.map((group) => ({ value: group, label: t(`audit.group.${group}`) })),
            ]}
          />
          <TextInput
            label={t('audit.filter.who')}
            placeholder={t('audit.filter.who.hint')}
            flex="1 1 16rem"
            maw={360}
            defaultValue={actor}
            key={`who ${actor}`}
            onBlur={(event) => set('who', event.currentTarget.value.trim())}
            onKeyDown={(event) => event.key === 'Enter' && set('who', event.currentTarget.value.trim())}
          />
          <NumberInput
            label={t('audit.filter.line')}
            w={150}
            hideControls
            allowDecimal={false}
            allowNegative={false}
            defaultValue={addition}
            key={`line ${addition}`}
            onBlur={(event) => set('line', event.currentTarget.value.trim())}
            onKeyDown={(event) => event.key === 'Enter' && set('line', event.currentTarget.value.trim())}
          />
          {isFiltered && (
            <Button variant="subtle" onClick={() => setParams({}, { replace: true })}>
              {t('action.clear')}
            </Button>
          )}
        </Group>
        <DataTable
          label={t('audit.title')}
          columns={columns}
          rows={list.data?.page.items}
          id={(row) => String(row.number)}
          error={list.error}
          retry={() => void list.refetch()}
          busy={list.isPlaceholderData}
          empty={
            <Empty
              icon={<IconHistory size={32} stroke={1.4} aria-hidden />}
              title={t(isFiltered ? 'audit.empty' : 'audit.none')}
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
      <Modal
        opened={shown !== null}
        onClose={() => setShown(null)}
        title={shown === null ? '' : `${say('audit', shown.action)} · ${t('audit.entry', { n: shown.number })}`}
        size="xl"
      >
        {shown !== null && <Details entry={shown} names={names} />}
      </Modal>
    </Page>
  );
}

function Details({ entry, names }: { entry: Entry; names: Names }) {
  const { t } = useWords();
  const who = useActor();
  const { instant } = useFormats();
  const words = useEntryWords(names);
  const changes = words.changes(entry);
  const others = words.others(entry);
  return (
    <Stack>
      <Facts
        facts={[
          [t('audit.col.when'), instant(entry.at)],
          [t('audit.col.who'), who(entry.actor)],
          [t('audit.col.subject'), words.about(entry)],
        ]}
      />
      <Ways entry={entry} />
      {changes.length > 0 && (
        <Box component="section">
          <Title order={3} mb="xs">
            {t('audit.changes')}
          </Title>
          <Box className="panel">
            <DataTable
              label={t('audit.changes')}
              columns={[
                { key: 'field', header: t('audit.col.field'), width: '30%', cell: (row) => row.label },
                {
                  key: 'before',
                  header: t('audit.col.before'),
                  cell: (row) => (
                    <Text size="sm" component="span" c="dimmed">
                      {row.before === '' ? t('audit.nothing') : row.before}
                    </Text>
                  ),
                },
                {
                  key: 'after',
                  header: t('audit.col.after'),
                  cell: (row) => (
                    <Text size="sm" component="span" fw={row.before === row.after ? 400 : 600}>
                      {row.after === '' ? t('audit.nothing') : row.after}
                    </Text>
                  ),
                },
              ]}
              rows={changes}
              id={(row) => row.field}
              empty={null}
            />
          </Box>
        </Box>
      )}
      {others.length > 0 &&
        (changes.length > 0 ? (
          <details className="inputs">
            <summary>{t('audit.more')}</summary>
            <Facts facts={others} />
          </details>
        ) : (
          <Facts facts={others} />
        ))}
      <details className="inputs">
        <summary>{t('audit.seal')}</summary>
        <Facts
          facts={[
            [t('audit.seal.own'), <Code key="own">{entry.hash}</Code>],
            [t('audit.seal.before'), <Code key="before">{entry.previous_hash}</Code>],
          ]}
        />
        <Text size="xs" c="dimmed" pl="md">
          {t('audit.seal.note')}
        </Text>
      </details>
    </Stack>
  );
}

/** Where what it is about can be looked at. */
function Ways({ entry }: { entry: Entry }) {
  const { t } = useWords();
  const org = useOrg();
  const mayPeople = useMay('users.read');
  const { family, id } = objectOf(entry);
  const detail = fieldsOf(entry.detail);
  const plan = detail['plan_id'];
  const ways: [string, Key][] = [];
  if (family === 'addition' && /^\d+$/.test(id)) ways.push([`additions/${id}`, 'audit.toLine']);
  if (typeof plan === 'string') ways.push([`plans/${encodeURIComponent(plan)}`, 'audit.toPlan']);
  if (family === 'task') ways.push([`tasks/${encodeURIComponent(id)}`, 'audit.toTask']);
  if (family === 'mapping') ways.push(['mapping', 'audit.toMapping']);
  if (family === 'setting') ways.push(['settings', 'audit.toSettings']);
  if (family === 'user' && mayPeople) ways.push(['settings?tab=people', 'audit.toPeople']);
  if (ways.length === 0) return null;
  return (
    <Group gap="xs">
      {ways.map(([to, label]) => (
        <Button key={to} size="xs" variant="light" component={Link} to={`/o/${encodeURIComponent(org)}/${to}`}>
          {t(label)}
        </Button>
      ))}
    </Group>
  );
}
