// What the wizard of one task knows and does.
import { useMutation } from '@tanstack/react-query';
import { answer, api, type Schemas } from '../../api/client';
import { fetchNames, type Names } from '../../api/names';
import type { Change } from '../../ui/Changes';
import { namesOfPlan, type Plan } from '../../ui/PlanView';
import { FEE, type Subject } from '../mapping/data';

const BASE = '/api/v1/organizations/{org}';

type Detail = Schemas['TaskDetailDoc'];
export type Agreement = Schemas['AgreementDoc'];
/** A line set by hand; what is missing stays as it is. */
export type Edit = Schemas['LineEditDoc'];

/** What may be set of a line: a new one is ours alone, and of one that ends only its last day is. */
export function editable(change: Change): readonly Field[] {
  if (change.op === 'create') return FIELDS;
  if (change.op === 'update') return FIELDS.filter((name) => name !== 'effective');
  return change.op === 'cancel' ? ['cancelled'] : [];
}

export const FIELDS = [
  'quantity',
  'unit_price',
  'unit_cost',
  'effective',
  'cancelled',
  'bill',
  'taxable',
  'description',
  'invoice_description',
] as const;
export type Field = (typeof FIELDS)[number];

/** The key by which a line is edited: that of the line as it was computed. */
export function editKey(change: Change): string {
  return change.edited?.proposal_key ?? change.key;
}

interface Line {
  product?: string | null;
  charge?: string;
  quantity?: string | null;
  unit_price?: string | null;
  amount?: string | null;
}
interface Order {
  currency?: string;
  lines?: Line[];
}

/** A fee for cancelling is billed as what the fee is mapped to, whatever product the source names with it. */
const isFee = (line: Line) => line.charge === 'cancellation';
/** One that costs nothing needs no mapping. */
const costs = (line: Line) => /[1-9]/.test(line.amount ?? line.unit_price ?? '');

export function orderOf(detail: Detail): Order | null {
  return (detail.order as { record?: Order } | null | undefined)?.record ?? null;
}

/**
 * What something is mapped to, asked for by its exact id: a search finds short ids within others, more than fit a page. Of what
 * an order names, its source need not have told more than the id, so its record is not asked for.
 */
async function mappingOf(org: string, kind: 'customer' | 'product' | 'agreement' | 'fee', source: string, id: string) {
  const query = { kind, source, source_id: id, limit: 1 };
  const page = await answer(api.GET(`${BASE}/mappings`, { params: { path: { org }, query } }));
  return page.items[0];
}

/** Whether something that an order names is mapped, and to what. */
async function standingOf(org: string, kind: 'customer' | 'product', source: string, id: string) {
  const mapping = await mappingOf(org, kind, source, id);
  return { id, mapped: mapping !== undefined, psa_id: mapping?.psa_id ?? null };
}

export interface Known {
  detail: Detail;
  names: Names;
  company: number | null;
  customer: Subject & { mapped: boolean };
  products: (Subject & { mapped: boolean })[];
  /** Chosen by a person, or kept from an earlier order. */
  agreement: number | null;
}

export async function loadKnown(org: string, task: string): Promise<Known> {
  const detail = await answer(api.GET(`${BASE}/tasks/{task}`, { params: { path: { org, task } } }));
  const { source, customer_id, subscription_id } = detail.task;
  const lines = orderOf(detail)?.lines ?? [];
  const ids = [
    ...new Set(lines.flatMap((line) => (line.product == null || isFee(line) ? [] : [line.product]))),
  ];
  const [customer, chosen, fee, ...products] = await Promise.all([
    standingOf(org, 'customer', source, customer_id),
    mappingOf(org, 'agreement', source, subscription_id),
    lines.some((line) => isFee(line) && costs(line)) ? mappingOf(org, 'fee', source, FEE).then((one) => one !== undefined) : null,
    ...ids.map((id) => standingOf(org, 'product', source, id)),
  ]);
  const agreement = chosen?.psa_id ?? null;
  const names = await fetchNames(org, {
    customers: [{ source, id: customer_id }],
    products: ids.map((id) => ({ source, id })),
    companies: customer.psa_id === null ? [] : [customer.psa_id],
    agreements: agreement === null ? [] : [agreement],
  });
  const subject = (kind: 'customer' | 'product', id: string, mapped: boolean) => ({
    kind,
    source,
    source_id: id,
    name: kind === 'customer' ? names.customer(source, id) : names.product(source, id),
    mapped,
  });
  return {
    detail,
    names,
    agreement,
    company: customer.psa_id,
    customer: subject('customer', customer_id, customer.mapped),
    products: [
      ...products.map((row) => subject('product', row.id, row.mapped)),
      ...(fee === null ? [] : [{ kind: 'fee' as const, source, source_id: FEE, name: FEE, mapped: fee }]),
    ],
  };
}

async function agreementsOf(org: string, plan: Plan): Promise<Agreement[]> {
  const ids = [...new Set(plan.changes.map((change) => change.agreement_id))].slice(0, 20);
  const found = await Promise.all(
    ids.map(async (agreement) => {
      const { data } = await api.GET(`${BASE}/agreements/{agreement}`, { params: { path: { org, agreement } } });
      return data === undefined ? [] : [data.agreement];
    }),
  );
  return found.flat();
}

export interface Review {
  plan: Plan;
  names: Names;
  agreements: Agreement[];
}

/** Computes the lines of a task, with what was set by hand. Nothing is written by it. */
export function useReview(org: string, task: string) {
  return useMutation({
    mutationFn: async (wish: { prices: string; edits?: Edit[] }): Promise<Review> => {
      const body = {
        tasks: [task],
        price_source: wish.prices === '' ? null : wish.prices,
        ...(wish.edits === undefined ? {} : { edits: wish.edits }),
      };
      const made = await answer(api.POST(`${BASE}/plans`, { params: { path: { org } }, body }));
      // What stays as it is belongs to what is there before and after.
      const whole = { path: { org, plan: made.plan_id }, query: { all_lines: true } };
      const plan =
        made.totals.keep === 0 ? made : await answer(api.GET(`${BASE}/plans/{plan}`, { params: whole }));
      const [names, agreements] = await Promise.all([
        namesOfPlan(org, { ...plan, changes: [...plan.changes, ...(plan.left_out ?? [])] }),
        agreementsOf(org, plan),
      ]);
      return { plan, names, agreements };
    },
  });
}
