// The lines of what is counted: what ConnectWise holds, what should be billed, and how that came about.
import { Box, Button, Code, Group, Select, Stack, Text, TextInput } from '@mantine/core';
import { IconChevronDown, IconChevronRight, IconSearch, IconStack2 } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { Link, useSearchParams } from 'react-router';
import { answer, api } from '../../api/client';
import { NO_NAMES, type Names } from '../../api/names';
import { useFormats } from '../../format';
import { useWords } from '../../i18n';
import { useMay, useOrg } from '../../session';
import { useWord, Verdict } from '../../ui/Badges';
import { DataTable, Pager, type Column } from '../../ui/DataTable';
import { Empty } from '../../ui/Page';
import { useSlices } from '../../ui/useSlices';
import { Chain } from './Chain';
import { BASE, namesOfLines, type Line } from './data';
import { PickDialog } from './PickDialog';

const VERDICTS = ['refused', 'held', 'create', 'update', 'end', 'adopt', 'equal'];
/** Where a person has to say which addition it is. */
const ASKS_WHICH = ['TU3007', 'TU3008'];

/** The only open line of the product, which trueup did not write: somebody takes it over, or says otherwise. */
const isThere = (line: Line) => line.code === 'TU3007' && line.verdict === 'held' && line.addition_id != null;

const idOf = (line: Line) => `${line.source}/${line.customer_id}/${line.agreement_id}/${line.catalog_item_id}`;

async function load(org: string) {
  const { items } = await answer(api.GET(`${BASE}/quantity/lines`, { params: { path: { org } } }));
  return { lines: items, names: await namesOfLines(org, items) };
}

/** As the last runs saw them. */
export function Lines() {
  const { t } = useWords();
  const org = useOrg();
  const found = useQuery({ queryKey: ['quantity-lines', org], queryFn: () => load(org) });
  return (
    <LineTable
      lines={found.data?.lines}
      names={found.data?.names ?? NO_NAMES}
      error={found.error}
      retry={() => void found.refetch()}
      none={
        <Empty
          icon={<IconStack2 size={32} stroke={1.4} aria-hidden />}
          title={t('quantities.lines.none')}
          detail={t('quantities.lines.none.detail')}
        />
      }
    />
  );
}

export function LineTable(props: {
  lines: Line[] | undefined;
  names: Names;
  error?: unknown;
  retry?: () => void;
  none: React.ReactNode;
}) {
  const { t } = useWords();
  const say = useWord();
  const { lines, names } = props;
  const [params, setParams] = useSearchParams();
  const [search, setSearch] = useState('');
  const [picking, setPicking] = useState<Line | null>(null);
  const [open, setOpen] = useState<ReadonlySet<string>>(new Set());
  const verdict = params.get('verdict') ?? '';
  const customer = params.get('customer');
  const set = (name: string, value: string | null) =>
    setParams(
      (now) => {
        if (value === null || value === '') now.delete(name);
        else now.set(name, value);
        return now;
      },
      { replace: true },
    );
  const wanted = search.trim().toLocaleLowerCase();
  const fits = (line: Line) =>
    (verdict === '' || line.verdict === verdict) &&
    (customer === null || line.customer_id === customer) &&
    (wanted === '' ||
      [names.customer(line.source, line.customer_id), names.item(line.catalog_item_id), line.customer_id].some((text) =>
        text.toLocaleLowerCase().includes(wanted),
      ));
  const found = lines?.filter(fits);
  const slices = useSlices(found, `${verdict}/${customer ?? ''}/${wanted}`);
  const toggle = (line: Line) =>
    setOpen((now) => {
      const next = new Set(now);
      if (!next.delete(idOf(line))) next.add(idOf(line));
      return next;
    });
  const columns = useColumns(names, open, toggle, setPicking);
  const counts = new Map<string, number>();
  for (const line of lines ?? []) counts.set(line.verdict, (counts.get(line.verdict) ?? 0) + 1);
  return (
    <>
      <Box className="panel">
        {lines !== undefined && lines.length > 0 && (
          <Group p="md" gap="sm" align="flex-end" className="line" role="search">
            <TextInput
              flex="1 1 14rem"
              label={t('tasks.search')}
              placeholder={t('quantities.search')}
              leftSection={<IconSearch size={16} aria-hidden />}
              value={search}
              onChange={(event) => setSearch(event.currentTarget.value)}
            />
            <Select
              label={t('quantities.verdict')}
              w={240}
              allowDeselect={false}
              value={verdict}
              onChange={(value) => set('verdict', value)}
              data={[
                { value: '', label: `${t('quantities.verdict.all')} (${lines.length})` },
                ...VERDICTS.filter((one) => counts.has(one) || one === verdict).map((one) => ({
                  value: one,
                  label: `${say('verdict', one)} (${counts.get(one) ?? 0})`,
                })),
              ]}
            />
            {customer !== null && (
              <Button variant="default" onClick={() => set('customer', null)}>
                {t('quantities.everybody')}
              </Button>
            )}
          </Group>
        )}
        <DataTable
          label={t('quantities.tab.lines')}
          columns={columns}
          rows={slices.rows}
          id={idOf}
          error={props.error}
          {...(props.retry === undefined ? {} : { retry: props.retry })}
          detail={(line) => (open.has(idOf(line)) ? <Chain line={line} /> : null)}
          empty={lines?.length === 0 ? props.none : <Empty title={t('mapping.nothing')} />}
          footer={<Pager {...slices.pager} />}
        />
      </Box>
      <PickDialog line={picking} names={names} close={() => setPicking(null)} />
    </>
  );
}

function useColumns(
  names: Names,
  open: ReadonlySet<string>,
  toggle: (line: Line) => void,
  pick: (line: Line) => void,
): Column<Line>[] {
  const { t } = useWords();
  const { quantity } = useFormats();
  const say = useWord();
  const org = useOrg();
  const mayMap = useMay('mappings.write');
  const mayAsk = useMay('audit.read');
  return [
    {
      key: 'what',
      header: t('quantities.col.line'),
      bare: true,
      cell: (line) => {
        const isOpen = open.has(idOf(line));
        const More = isOpen ? IconChevronDown : IconChevronRight;
        return (
          <Stack gap={2} align="flex-start">
            <Text size="sm" fw={500}>
              {names.customer(line.source, line.customer_id)}
            </Text>
            <Text size="sm">{names.item(line.catalog_item_id)}</Text>
            <Text size="xs" c="dimmed">
              {names.agreement(line.agreement_id)}
            </Text>
            <Button
              variant="subtle"
              size="compact-xs"
              px={0}
              leftSection={<More size={14} aria-hidden />}
              onClick={() => toggle(line)}
              aria-expanded={isOpen}
            >
              {line.wanted == null ? t('change.why') : t('agreements.why', { n: quantity(line.wanted) })}
            </Button>
          </Stack>
        );
      },
    },
    {
      key: 'has',
      header: t('quantities.col.has'),
      numeric: true,
      cell: (line) => (line.observed == null ? '–' : quantity(line.observed)),
    },
    {
      key: 'should',
      header: t('quantities.col.should'),
      numeric: true,
      cell: (line) => <b>{line.wanted == null ? '–' : quantity(line.wanted)}</b>,
    },
    {
      key: 'verdict',
      header: t('quantities.col.verdict'),
      bare: true,
      width: '22rem',
      cell: (line) => (
        <Stack gap={4} align="flex-start">
          <Verdict verdict={line.verdict} />
          {line.code != null && (
            <Text size="sm">
              {isThere(line) ? t('quantities.isThere') : say('code', line.code)} <Code>{line.code}</Code>
            </Text>
          )}
          <Group gap="sm">
            {mayMap && line.code != null && ASKS_WHICH.includes(line.code) && (
              <Button size="compact-sm" variant="light" onClick={() => pick(line)}>
                {t('quantities.pick')}
              </Button>
            )}
            {line.verdict === 'held' && (
              <Link className="plain" to={`/o/${org}/approvals`}>
                {t('quantities.toApprovals')}
              </Link>
            )}
            {mayAsk && line.addition_id != null && !isThere(line) && (
              <Link className="plain" to={`/o/${org}/additions/${line.addition_id}`}>
                {t('change.explain', { id: line.addition_id })}
              </Link>
            )}
          </Group>
        </Stack>
      ),
    },
  ];
}
