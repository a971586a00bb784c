// What the tabs of the mapping share: the rows with the names of what they are mapped to, and the writes.
import { notifications } from '@mantine/notifications';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { answer, api, type Schemas } from '../../api/client';
import { fetchNames } from '../../api/names';
import { useWords } from '../../i18n';
import { useOrg } from '../../session';
import type { Choice } from '../../ui/Picker';

export type MappingDoc = Schemas['MappingDoc'];
export type RecordDoc = Schemas['RecordDoc'];
export type Kind = 'customer' | 'product';

const BASE = '/api/v1/organizations/{org}';

/** The one fee that has no product of its own. */
export const FEE = 'cancellation';

/** One side of a mapping, as the dialogs name it. */
export interface Subject {
  kind: 'customer' | 'product' | 'fee' | 'agreement';
  source: string;
  source_id: string;
  name: string;
  scope?: string;
}

export async function loadRecords(org: string, kind: Kind, query: Record<string, string | number | boolean>) {
  const params = { path: { org }, query };
  const page = await answer(
    kind === 'customer' ? api.GET(`${BASE}/customers`, { params }) : api.GET(`${BASE}/products`, { params }),
  );
  const ids = page.items.flatMap((row) => (row.psa_id == null ? [] : [row.psa_id]));
  const names = await fetchNames(org, kind === 'customer' ? { companies: ids } : { catalog_items: ids });
  return { page, names };
}

export async function loadMappings(org: string, query: Record<string, string | number>) {
  const page = await answer(api.GET(`${BASE}/mappings`, { params: { path: { org }, query } }));
  const ids = (kind: string) =>
    page.items.flatMap((row) => (row.kind === kind && row.psa_id != null ? [row.psa_id] : []));
  const names = await fetchNames(org, {
    agreements: ids('agreement'),
    catalog_items: [...ids('fee'), ...ids('product')],
    companies: ids('customer'),
  });
  return { page, names };
}

export async function findTargets(org: string, kind: Subject['kind'], search: string): Promise<Choice[]> {
  const query = { limit: 30, ...(search === '' ? {} : { search }) };
  const params = { path: { org }, query };
  if (kind === 'customer') {
    const page = await answer(api.GET(`${BASE}/companies/search`, { params }));
    return page.items
      .filter((one) => one.usable)
      .map((one) => ({ value: String(one.company_id), label: `${one.name} (${one.identifier})` }));
  }
  if (kind === 'agreement') {
    const page = await answer(api.GET(`${BASE}/agreements`, { params }));
    const { companies } = await namesOf(org, page.items.map((one) => one.company_id));
    return page.items
      .filter((one) => one.status === 'active')
      .map((one) => ({
        value: String(one.agreement_id),
        label: `${companies(one.company_id)}: ${one.name} (#${one.agreement_id})`,
      }));
  }
  const page = await answer(api.GET(`${BASE}/catalog`, { params }));
  return page.items
    .filter((one) => one.usable)
    .map((one) => ({ value: String(one.catalog_item_id), label: `${one.description} (${one.identifier})` }));
}

async function namesOf(org: string, ids: number[]) {
  const names = await fetchNames(org, { companies: ids });
  return { companies: (id: number) => names.company(id) };
}

/** Saves one mapping; everything that stands on it is read anew. */
export function useSave(done: () => void) {
  const { t } = useWords();
  const org = useOrg();
  const client = useQueryClient();
  return useMutation({
    mutationFn: (body: Schemas['NewMapping']) =>
      answer(api.PUT(`${BASE}/mappings`, { params: { path: { org } }, body })),
    onSuccess: () => {
      done();
      notifications.show({ color: 'green', message: t('mapping.saved') });
      void client.invalidateQueries();
    },
  });
}

export function useCreate(done: () => void) {
  const { t } = useWords();
  const org = useOrg();
  const client = useQueryClient();
  return useMutation({
    mutationFn: (body: Schemas['NewCounterpart']) =>
      answer(api.POST(`${BASE}/mappings/create`, { params: { path: { org } }, body })),
    onSuccess: (made) => {
      done();
      notifications.show({ color: 'green', message: t(made.created ? 'mapping.made' : 'mapping.wasThere') });
      void client.invalidateQueries();
    },
  });
}
