// The agreements of ConnectWise as last read, and the lines on each: the way to "why is this 8?".
import { Box, Group, Text, TextInput } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { IconFileInvoice, IconSearch } from '@tabler/icons-react';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { Link, useParams } from 'react-router';
import { answer, api, queries, type Schemas } from '../api/client';
import { fetchNames } from '../api/names';
import { useFormats } from '../format';
import { useWords } from '../i18n';
import { useMay, useOrg } from '../session';
import { useWord } from '../ui/Badges';
import { DataTable, Pager, type Column } from '../ui/DataTable';
import { Empty, Page, Waiting } from '../ui/Page';
import { PictureAge } from '../ui/Picture';
import { ProblemNote } from '../ui/Problem';
import { usePages } from '../ui/usePages';

type Agreement = Schemas['AgreementDoc'];
type Addition = Schemas['AdditionDoc'];

const BASE = '/api/v1/organizations/{org}';

async function load(org: string, query: Record<string, string | number>) {
  const page = await answer(api.GET(`${BASE}/agreements`, { params: { path: { org }, query } }));
  return { page, names: await fetchNames(org, { companies: page.items.map((one) => one.company_id) }) };
}

export default function AgreementsPage() {
  const { t } = useWords();
  const { day } = useFormats();
  const say = useWord();
  const org = useOrg();
  const [search, setSearch] = useState('');
  const [wanted] = useDebouncedValue(search, 250);
  const filter: Record<string, string | number> = { limit: 50 };
  if (wanted !== '') filter['search'] = wanted;
  const pages = usePages(JSON.stringify([org, filter]));
  if (pages.cursor !== undefined) filter['cursor'] = pages.cursor;
  const list = useQuery({
    queryKey: ['agreements', org, filter],
    queryFn: () => load(org, filter),
    placeholderData: keepPreviousData,
  });
  const overview = queries.useQuery('get', `${BASE}/overview`, { params: { path: { org } } });
  const names = list.data?.names;
  const columns: Column<Agreement>[] = [
    {
      key: 'company',
      header: t('mapping.target.customer'),
      bare: true,
      cell: (row) => (
        <>
          <Link to={`/o/${org}/agreements/${row.agreement_id}`}>{names?.company(row.company_id)}</Link>
          <Text size="xs" c="dimmed" component="span" display="block">
            {row.name} #{row.agreement_id}
          </Text>
        </>
      ),
    },
    { key: 'type', header: t('agreements.type'), cell: (row) => row.agreement_type },
    { key: 'currency', header: t('plan.currency'), cell: (row) => row.currency ?? '–' },
    {
      key: 'next',
      header: t('agreements.next'),
      cell: (row) => (row.next_invoice == null ? '–' : day(row.next_invoice)),
    },
    { key: 'status', header: t('tasks.col.state'), cell: (row) => say('agreement', row.status) },
  ];
  const next = list.data?.page.next_cursor;
  return (
    <Page title={t('agreements.title')} lead={t('agreements.lead')}>
      <PictureAge readAt={overview.data?.picture?.read_at} />
      <Box className="panel">
        <Group p="md" className="line" role="search">
          <TextInput
            flex="1 1 14rem"
            label={t('tasks.search')}
            leftSection={<IconSearch size={16} aria-hidden />}
            value={search}
            onChange={(event) => setSearch(event.currentTarget.value)}
          />
        </Group>
        <DataTable
          label={t('agreements.title')}
          columns={columns}
          rows={list.data?.page.items}
          id={(row) => String(row.agreement_id)}
          error={list.error}
          retry={() => void list.refetch()}
          busy={list.isPlaceholderData}
          empty={
            <Empty
              icon={<IconFileInvoice size={32} stroke={1.4} aria-hidden />}
              title={t(wanted === '' ? 'agreements.none' : 'mapping.nothing')}
              {...(wanted === '' ? { detail: t('agreements.none.detail') } : {})}
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

async function loadOne(org: string, agreement: number) {
  const found = await answer(api.GET(`${BASE}/agreements/{agreement}`, { params: { path: { org, agreement } } }));
  const catalog_items = found.additions.map((one) => one.catalog_item_id);
  return { found, names: await fetchNames(org, { catalog_items }) };
}

export function AgreementPage() {
  const { t } = useWords();
  const { day, money, quantity } = useFormats();
  const org = useOrg();
  const mayAsk = useMay('audit.read');
  const { agreement: id = '' } = useParams();
  const one = useQuery({ queryKey: ['agreement', org, id], queryFn: () => loadOne(org, parseInt(id, 10)) });
  if (one.data === undefined) {
    return (
      <Page title={t('agreements.one')}>
        {one.error === null ? (
          <Box className="panel">
            <Waiting rows={8} />
          </Box>
        ) : (
          <ProblemNote error={one.error} retry={() => void one.refetch()} />
        )}
      </Page>
    );
  }
  const { found, names } = one.data;
  const currency = found.agreement.currency ?? '';
  const amount = (value: string) => (currency === '' ? value : money(value, currency));
  const columns: Column<Addition>[] = [
    {
      key: 'what',
      header: t('change.what'),
      bare: true,
      cell: (row) => (
        <>
          <Text size="sm" fw={500} component="span" display="block">
            {row.description ?? names.item(row.catalog_item_id)}
          </Text>
          {mayAsk && row.ours && (
            <Link className="plain" to={`/o/${org}/additions/${row.addition_id}`}>
              {t('agreements.why', { n: quantity(row.quantity) })}
            </Link>
          )}
        </>
      ),
    },
    { key: 'quantity', header: t('change.quantity'), numeric: true, cell: (row) => quantity(row.quantity) },
    { key: 'price', header: t('change.price'), numeric: true, cell: (row) => amount(row.unit_price) },
    { key: 'cost', header: t('field.unitCost'), numeric: true, cell: (row) => amount(row.unit_cost) },
    { key: 'from', header: t('agreements.from'), cell: (row) => <span className="nowrap">{day(row.effective)}</span> },
    {
      key: 'until',
      header: t('agreements.until'),
      cell: (row) => (row.cancelled == null ? t('change.open') : <span className="nowrap">{day(row.cancelled)}</span>),
    },
  ];
  return (
    <Page
      title={found.company ?? found.agreement.name}
      lead={[
        `${found.agreement.name} #${found.agreement.agreement_id}`,
        found.agreement.next_invoice == null
          ? null
          : t('agreements.nextInvoice', { day: day(found.agreement.next_invoice) }),
      ]
        .filter((text) => text !== null)
        .join(' · ')}
    >
      <PictureAge readAt={found.read_at} />
      <Box className="panel">
        <DataTable
          label={t('change.title')}
          columns={columns}
          rows={found.additions}
          id={(row) => String(row.addition_id)}
          empty={<Empty title={t('agreements.empty')} />}
        />
      </Box>
    </Page>
  );
}
