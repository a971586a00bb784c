import { queries } from './client';

/** The names of what hands records in; none before the list is there. */
export function useSources(org: string): string[] | undefined {
  const found = queries.useQuery('get', '/api/v1/organizations/{org}/sources', { params: { path: { org } } });
  return found.data?.items.map((one) => one.source);
}
