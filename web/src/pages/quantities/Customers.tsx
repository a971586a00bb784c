// For whom something is counted: their agreement, whether they are billed, and for which services.
import { Alert, Badge, Box, Button, Checkbox, Group, Modal, Stack, Switch, Text, TextInput } from '@mantine/core';
import { IconSearch, IconUsers } from '@tabler/icons-react';
import { useState, type SubmitEvent } from 'react';
import { Link } from 'react-router';
import { answer, api } from '../../api/client';
import { useFormats } from '../../format';
import { useWords } from '../../i18n';
import { useMay, useOrg } from '../../session';
import { DataTable, Pager, type Column } from '../../ui/DataTable';
import { Empty } from '../../ui/Page';
import { Picker, type Choice } from '../../ui/Picker';
import { ProblemNote } from '../../ui/Problem';
import { useSlices } from '../../ui/useSlices';
import { useSave } from '../mapping/data';
import { BASE, setTicks, useCounted, useQuantityWrite, type Counted, type Customer } from './data';

type Asked = { what: 'ticks' | 'agreement'; customer: Customer };

const MOST_LEVELS = 4;

export function Customers() {
  const { t } = useWords();
  const found = useCounted();
  const [search, setSearch] = useState('');
  const [onlyOpen, setOnlyOpen] = useState(false);
  const [asked, setAsked] = useState<Asked | null>(null);
  const close = () => setAsked(null);
  const wanted = search.trim().toLocaleLowerCase();
  const rows = found.data?.customers.filter(
    (row) =>
      (!onlyOpen || !row.complete) &&
      (wanted === '' || row.name.toLocaleLowerCase().includes(wanted) || row.customer_id.toLocaleLowerCase().includes(wanted)),
  );
  const slices = useSlices(rows, `${wanted}/${onlyOpen}`);
  const columns = useColumns(found.data, setAsked);
  const none = found.data?.customers.length === 0;
  return (
    <>
      <Box className="panel">
        {!none && (
          <Group p="md" gap="sm" align="flex-end" className="line" role="search">
            <TextInput
              flex="1 1 14rem"
              label={t('tasks.search')}
              leftSection={<IconSearch size={16} aria-hidden />}
              value={search}
              onChange={(event) => setSearch(event.currentTarget.value)}
            />
            <Switch
              label={t('quantities.customers.onlyOpen')}
              checked={onlyOpen}
              onChange={(event) => setOnlyOpen(event.currentTarget.checked)}
              mb={8}
            />
          </Group>
        )}
        <DataTable
          label={t('quantities.tab.customers')}
          columns={columns}
          rows={slices.rows}
          id={(row) => `${row.source}/${row.customer_id}`}
          error={found.error}
          retry={() => void found.refetch()}
          empty={
            none ? (
              <Empty
                icon={<IconUsers size={32} stroke={1.4} aria-hidden />}
                title={t('quantities.customers.none')}
                detail={t('quantities.services.none.detail')}
              />
            ) : (
              <Empty title={t(onlyOpen && wanted === '' ? 'quantities.customers.allComplete' : 'mapping.nothing')} />
            )
          }
          footer={<Pager {...slices.pager} />}
        />
      </Box>
      {found.data !== undefined && (
        <TicksDialog customer={asked?.what === 'ticks' ? asked.customer : null} counted={found.data} close={close} />
      )}
      <AgreementDialog customer={asked?.what === 'agreement' ? asked.customer : null} close={close} />
    </>
  );
}

function useColumns(counted: Counted | undefined, ask: (asked: Asked) => void): Column<Customer>[] {
  const { t } = useWords();
  const org = useOrg();
  const mayMap = useMay('mappings.write');
  const columns: Column<Customer>[] = [
    {
      key: 'customer',
      header: t('tasks.col.customer'),
      bare: true,
      cell: (row) => (
        <>
          <Text size="sm" fw={500} component="span" display="block">
            {row.name}
          </Text>
          <Link
            className="plain"
            to={`/o/${org}/quantities?${new URLSearchParams({ tab: 'lines', customer: row.customer_id }).toString()}`}
          >
            {t('quantities.toLines')}
          </Link>
        </>
      ),
    },
    {
      key: 'agreement',
      header: t('quantities.col.agreement'),
      cell: (row) => <On row={row} counted={counted} />,
    },
    {
      key: 'levels',
      header: t('quantities.col.counted'),
      bare: true,
      cell: (row) => <Levels row={row} counted={counted} />,
    },
    {
      key: 'state',
      header: t('tasks.col.state'),
      cell: (row) => (
        <Badge
          className="badge"
          variant="light"
          tt="none"
          fw={500}
          radius="sm"
          color={!row.billing ? 'gray' : row.complete ? 'green' : 'yellow'}
        >
          {t(`quantities.customer.${!row.billing ? 'off' : row.complete ? 'on' : 'open'}`)}
        </Badge>
      ),
    },
  ];
  if (mayMap) {
    columns.push({
      key: 'do',
      header: t('mapping.col.do'),
      bare: true,
      width: '14rem',
      cell: (row) => (
        <Group gap="xs">
          {row.company_id == null ? (
            <Button
              size="compact-sm"
              component={Link}
              to={`/o/${org}/mapping?${new URLSearchParams({ search: row.customer_id }).toString()}`}
              aria-label={t('mapping.map.of', { name: row.name })}
            >
              {t('mapping.map')}
            </Button>
          ) : (
            <Button
              size="compact-sm"
              variant={row.agreement_id == null ? 'filled' : 'default'}
              onClick={() => ask({ what: 'agreement', customer: row })}
              aria-label={t(row.agreement_id == null ? 'quantities.agreement.of' : 'quantities.agreement.change.of', { name: row.name })}
            >
              {t(row.agreement_id == null ? 'quantities.agreement' : 'quantities.agreement.change')}
            </Button>
          )}
          <Button
            size="compact-sm"
            variant="default"
            onClick={() => ask({ what: 'ticks', customer: row })}
            aria-label={t('quantities.ticks.of', { name: row.name })}
          >
            {t('quantities.ticks')}
          </Button>
        </Group>
      ),
    });
  }
  return columns;
}

function On({ row, counted }: { row: Customer; counted: Counted | undefined }) {
  const { t } = useWords();
  if (row.company_id == null) return t('quantities.noCompany');
  return (
    <>
      <Text size="sm" component="span" display="block">
        {counted?.names.company(row.company_id)}
      </Text>
      <Text size="xs" c="dimmed" component="span">
        {row.agreement_id == null ? t('quantities.noAgreement') : counted?.names.agreement(row.agreement_id)}
      </Text>
    </>
  );
}

function Levels({ row, counted }: { row: Customer; counted: Counted | undefined }) {
  const { t } = useWords();
  const { level: shown, instant } = useFormats();
  const nameOf = (service: string) =>
    counted?.services.find((one) => one.source === row.source && one.service === service)?.name ?? service;
  const rest = row.levels.length - MOST_LEVELS;
  return (
    <Stack gap={0}>
      {row.levels.slice(0, MOST_LEVELS).map((level) => (
        <Text key={`${level.service} ${level.unit ?? ''}`} size="sm" component="span" title={instant(level.as_of)}>
          {nameOf(level.service)}: {shown(level.value, level.unit)}{' '}
          {!level.billed && (
            <Text span size="xs" c="dimmed">
              ({t('mapping.notBilled')})
            </Text>
          )}
        </Text>
      ))}
      {rest > 0 && (
        <Text size="xs" c="dimmed" component="span">
          {t('quantities.more', { n: rest })}
        </Text>
      )}
    </Stack>
  );
}

/** Whether a customer is billed, and for which services: one of them at least. */
function TicksDialog(props: { customer: Customer | null; counted: Counted; close: () => void }) {
  const { t } = useWords();
  const { customer } = props;
  return (
    <Modal
      opened={customer !== null}
      onClose={props.close}
      title={customer === null ? '' : t('quantities.ticks.title', { name: customer.name })}
    >
      {customer !== null && <TicksForm {...props} customer={customer} />}
    </Modal>
  );
}

function TicksForm({ customer, counted, close }: { customer: Customer; counted: Counted; close: () => void }) {
  const { t } = useWords();
  const [billing, setBilling] = useState(customer.billing);
  const [some, setSome] = useState(customer.ticked != null);
  const [ticked, setTicked] = useState<string[]>(customer.ticked ?? []);
  const write = useQuantityWrite(setTicks, close);
  const services = counted.services.filter(
    (one) =>
      one.source === customer.source &&
      (one.state === 'assigned' ||
        ticked.includes(one.service) ||
        customer.levels.some((level) => level.service === one.service)),
  );
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    write.mutate({ source: customer.source, customer: customer.customer_id, billing, ticked: some ? ticked : null });
  };
  return (
    <form onSubmit={submit}>
      <Stack>
        <Switch
          label={t('quantities.ticks.billing')}
          description={t('quantities.ticks.billing.help')}
          checked={billing}
          onChange={(event) => setBilling(event.currentTarget.checked)}
        />
        {billing && (
          <Switch
            label={t('quantities.ticks.some')}
            description={t('quantities.ticks.some.help')}
            checked={some}
            onChange={(event) => setSome(event.currentTarget.checked)}
          />
        )}
        {billing && some && (
          <Checkbox.Group value={ticked} onChange={setTicked} label={t('quantities.ticks.services')}>
            <Stack gap="xs" mt={4}>
              {services.map((one) => (
                <Checkbox
                  key={one.service}
                  value={one.service}
                  label={one.name}
                  description={one.state === 'assigned' ? undefined : t(`quantities.state.${one.state === 'open' ? 'open' : 'not_assigned'}`)}
                />
              ))}
            </Stack>
          </Checkbox.Group>
        )}
        {!billing && customer.billing && (
          <Alert color="yellow" variant="light" title={t('quantities.ticks.off')}>
            {t('quantities.ticks.off.detail')}
          </Alert>
        )}
        {write.error !== null && <ProblemNote error={write.error} />}
        <Group justify="flex-end">
          <Button variant="default" onClick={close}>
            {t('action.cancel')}
          </Button>
          <Button type="submit" loading={write.isPending} disabled={billing && some && ticked.length === 0}>
            {t('action.save')}
          </Button>
        </Group>
      </Stack>
    </form>
  );
}

function AgreementDialog({ customer, close }: { customer: Customer | null; close: () => void }) {
  const { t } = useWords();
  return (
    <Modal
      opened={customer !== null}
      onClose={close}
      title={customer === null ? '' : t('quantities.agreement.title', { name: customer.name })}
    >
      {customer !== null && <AgreementForm customer={customer} close={close} />}
    </Modal>
  );
}

/** The active agreements of the customer's own company. */
async function findAgreements(org: string, company: number, search: string): Promise<Choice[]> {
  const query = { company, limit: 50, ...(search === '' ? {} : { search }) };
  const page = await answer(api.GET(`${BASE}/agreements`, { params: { path: { org }, query } }));
  return page.items
    .filter((one) => one.status === 'active')
    .map((one) => ({ value: String(one.agreement_id), label: `${one.name} (#${one.agreement_id})` }));
}

function AgreementForm({ customer, close }: { customer: Customer; close: () => void }) {
  const { t } = useWords();
  const org = useOrg();
  const [target, setTarget] = useState<Choice | null>(null);
  const save = useSave(close);
  const company = customer.company_id ?? 0;
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    if (target === null) return;
    save.mutate({
      kind: 'agreement',
      source: customer.source,
      source_id: `customer:${customer.customer_id}`,
      psa_id: parseInt(target.value, 10),
    });
  };
  return (
    <form onSubmit={submit}>
      <Stack>
        <Text size="sm">{t('quantities.agreement.lead')}</Text>
        <Picker
          label={t('mapping.target.agreement')}
          of={[org, 'agreement', company]}
          find={(search) => findAgreements(org, company, search)}
          value={target}
          choose={setTarget}
        />
        {save.error !== null && <ProblemNote error={save.error} />}
        <Group justify="flex-end">
          <Button variant="default" onClick={close}>
            {t('action.cancel')}
          </Button>
          <Button type="submit" loading={save.isPending} disabled={target === null}>
            {t('action.save')}
          </Button>
        </Group>
      </Stack>
    </form>
  );
}
