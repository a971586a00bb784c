// The filters of the work list; all of them stand in the address.
import { Select } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { answer, api } from '../../api/client';
import { fetchNames } from '../../api/names';
import { useSources } from '../../api/sources';
import { useWords } from '../../i18n';
import { useOrg } from '../../session';
import { useWord } from '../../ui/Badges';
import { Picker, type Choice } from '../../ui/Picker';

export const OPEN = 'new,needs_mapping,ready,planned,applying,failed,in_doubt,blocked';
const STATES = [
  'needs_mapping',
  'ready',
  'planned',
  'applying',
  'failed',
  'in_doubt',
  'blocked',
  'new',
  'ignored',
  'done',
];
const KINDS = ['sales', 'change', 'billing', 'cancellation', 'renewal', 'transfer', 'reconciliation'];
const SORTS = ['-completed', 'completed', '-moved', 'customer', 'state'] as const;

/** Days since the order was completed, as the address has them and as the service wants them. */
export const AGES: Record<string, { min_age: number } | { max_age: number }> = {
  '-7': { max_age: 7 },
  '-30': { max_age: 30 },
  '7': { min_age: 7 },
  '30': { min_age: 30 },
  '90': { min_age: 90 },
};
const IN_ORDER = ['-7', '-30', '7', '30', '90'] as const;
export const isAge = (age: string) => Object.hasOwn(AGES, age);

export interface Customer {
  source: string;
  id: string;
}

const asValue = ({ source, id }: Customer) => JSON.stringify([source, id]);

async function findCustomers(org: string, search: string): Promise<Choice[]> {
  const query = { limit: 30, ...(search === '' ? {} : { search }) };
  const page = await answer(api.GET('/api/v1/organizations/{org}/customers', { params: { path: { org }, query } }));
  return page.items.map((row) => ({ value: asValue(row), label: row.name }));
}

/** One customer, chosen by name. */
function OfCustomer({ customer, choose }: { customer: Customer | null; choose: (customer: Customer | null) => void }) {
  const { t } = useWords();
  const org = useOrg();
  const known = useQuery({
    queryKey: ['customer-name', org, customer],
    queryFn: () => fetchNames(org, { customers: customer === null ? [] : [customer] }),
    enabled: customer !== null,
  });
  return (
    <Picker
      key={customer === null ? '' : asValue(customer)}
      label={t('tasks.col.customer')}
      of={[org, 'customer-filter']}
      find={(search) => findCustomers(org, search)}
      value={
        customer === null
          ? null
          : { value: asValue(customer), label: known.data?.customer(customer.source, customer.id) ?? customer.id }
      }
      choose={(choice) => {
        if (choice === null) choose(null);
        else {
          const [source = '', id = ''] = JSON.parse(choice.value) as string[];
          choose({ source, id });
        }
      }}
      inputProps={{ placeholder: t('tasks.filter.customer.all'), flex: '1 1 12rem' }}
    />
  );
}

/** Where the orders came from; what is chosen stays to be seen while the list is read. */
function OfSource({ source, choose }: { source: string; choose: (source: string | null) => void }) {
  const { t } = useWords();
  const org = useOrg();
  const known = useSources(org) ?? [];
  const names = source === '' || known.includes(source) ? known : [source, ...known];
  return (
    <Select
      label={t('tasks.filter.source')}
      flex="1 1 9rem"
      allowDeselect={false}
      value={source}
      onChange={choose}
      data={[{ value: '', label: t('tasks.filter.source.all') }, ...names.map((name) => ({ value: name, label: name }))]}
    />
  );
}

export function Filters(props: {
  state: string;
  kind: string;
  sort: string;
  age: string;
  source: string;
  customer: Customer | null;
  set: (values: Record<string, string | null>) => void;
}) {
  const { t } = useWords();
  const say = useWord();
  return (
    <>
      <OfCustomer
        customer={props.customer}
        choose={(one) => props.set({ customer: one?.id ?? null, source: one?.source ?? null })}
      />
      <Select
        label={t('tasks.filter.state')}
        flex="1 1 9rem"
        allowDeselect={false}
        value={props.state}
        onChange={(value) => props.set({ state: value === 'open' ? null : value })}
        data={[
          { value: 'open', label: t('tasks.filter.state.open') },
          ...STATES.map((state) => ({ value: state, label: say('state', state) })),
          { value: 'all', label: t('tasks.filter.state.all') },
        ]}
      />
      <Select
        label={t('tasks.filter.kind')}
        flex="1 1 9rem"
        allowDeselect={false}
        value={props.kind}
        onChange={(value) => props.set({ kind: value })}
        data={[
          { value: '', label: t('tasks.filter.kind.all') },
          ...KINDS.map((kind) => ({ value: kind, label: say('kind', kind) })),
        ]}
      />
      <OfSource
        source={props.source}
        choose={(source) => props.set({ source, customer: null })}
      />
      <Select
        label={t('tasks.filter.age')}
        flex="1 1 9rem"
        allowDeselect={false}
        value={props.age}
        onChange={(value) => props.set({ age: value })}
        data={[
          { value: '', label: t('tasks.filter.age.all') },
          ...IN_ORDER.map((age) => ({ value: age, label: t(`tasks.filter.age.${age}`) })),
        ]}
      />
      <Select
        label={t('tasks.sort')}
        flex="1 1 9rem"
        allowDeselect={false}
        value={props.sort}
        onChange={(value) => props.set({ sort: value === '-completed' ? null : value })}
        data={SORTS.map((sort) => ({ value: sort, label: t(`tasks.sort.${sort}`) }))}
      />
    </>
  );
}

