// What the tabs of the quantities share: what is counted, what people set, and the writes.
import { notifications } from '@mantine/notifications';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { answer, api, type Schemas } from '../../api/client';
import { fetchNames } from '../../api/names';
import { useWords } from '../../i18n';
import { useOrg } from '../../session';

export type Service = Schemas['CountedServiceDoc'];
export type Customer = Schemas['CountedCustomerDoc'];
export type Line = Schemas['QuantityLineDoc'];
export type Preview = Schemas['QuantityPreviewDoc'];

export const BASE = '/api/v1/organizations/{org}';

export interface Exclusion {
  reason: string;
  quantity?: string;
  service?: string;
}

/** How levels become a quantity; the API's own form of it. */
export interface Rule {
  add_up: boolean;
  combine: 'sum' | 'smallest' | 'largest';
  unit?: 'GB' | 'GiB' | 'TB' | 'TiB';
  exclude?: Exclusion[];
  included: string;
  minimum?: string;
  maximum?: string;
  rounding: 'auto' | 'up' | 'down' | 'nearest';
  decimals: number;
  pack?: { size: string; bill: 'packs' | 'units' };
  tiers?: { from: string; bill: string }[];
  ratio?: { of: string; per: string };
}

export const PLAIN: Rule = { add_up: false, combine: 'sum', included: '0', rounding: 'auto', decimals: 0 };

interface Set {
  source: string;
  /** The organization that set it. */
  from: string;
}
export type ServiceEntry = Set & {
  kind: 'service';
  service: string;
  customer: string | null;
  target: 'not_assigned' | { item: { id: number; identifier: string } };
};
export type RuleEntry = Set & { kind: 'product'; identifier: string; customer: string | null; rule: Rule };
type CustomerEntry = Set & { kind: 'customer'; customer: string };
type LineEntry = Set & { kind: 'line'; customer: string; item: number };
export type Entry = ServiceEntry | RuleEntry | CustomerEntry | LineEntry;

async function load(org: string) {
  const found = await answer(api.GET(`${BASE}/quantity`, { params: { path: { org } } }));
  const entries = found.entries as unknown as Entry[];
  const items = entries.flatMap((entry) =>
    entry.kind === 'service' && entry.target !== 'not_assigned' ? [entry.target.item.id] : [],
  );
  const names = await fetchNames(org, {
    catalog_items: [...items, ...found.services.flatMap((one) => one.catalog_item_id ?? [])],
    companies: found.customers.flatMap((one) => one.company_id ?? []),
    agreements: found.customers.flatMap((one) => one.agreement_id ?? []),
  });
  return { ...found, entries, names };
}

export type Counted = Awaited<ReturnType<typeof load>>;

/** What is counted, as what it is billed, and for whom. */
export function useCounted() {
  const org = useOrg();
  return useQuery({ queryKey: ['quantity', org], queryFn: () => load(org) });
}

/** The names of what lines are about. */
export function namesOfLines(org: string, lines: Line[]) {
  return fetchNames(org, {
    customers: lines.map((line) => ({ source: line.source, id: line.customer_id })),
    agreements: lines.map((line) => line.agreement_id),
    catalog_items: lines.map((line) => line.catalog_item_id),
  });
}

/** A write; what stands on it is read anew. */
export function useQuantityWrite<T, R>(write: (org: string, wish: T) => Promise<R>, done: () => void) {
  const { t } = useWords();
  const org = useOrg();
  const client = useQueryClient();
  return useMutation({
    mutationFn: (wish: T) => write(org, wish),
    onSuccess: () => {
      done();
      notifications.show({ color: 'green', message: t('quantities.saved') });
      void client.invalidateQueries();
    },
  });
}

export const assign = (org: string, body: Schemas['NewServiceAssignment']) =>
  answer(api.PUT(`${BASE}/quantity/assignments`, { params: { path: { org } }, body }));
export const setTicks = (org: string, body: Schemas['NewQuantityTicks']) =>
  answer(api.PUT(`${BASE}/quantity/customers`, { params: { path: { org } }, body }));
export const setPick = (org: string, body: Schemas['NewQuantityPick']) =>
  answer(api.PUT(`${BASE}/quantity/picks`, { params: { path: { org } }, body }));
export const setRule = (org: string, body: Schemas['NewQuantityRule']) =>
  answer(api.PUT(`${BASE}/quantity/rules`, { params: { path: { org } }, body }));

export interface Which {
  source: string;
  kind: Entry['kind'];
  id: string;
  customer: string | null;
}

/** Takes what this organization set away, so that the level above counts again. */
export const unset = (org: string, { source, kind, id, customer }: Which) =>
  answer(
    api.DELETE(`${BASE}/quantity/entries`, {
      params: { path: { org }, query: { source, kind, id, ...(customer === null ? {} : { customer }) } },
    }),
  );
