import { queries } from './client';

const PATH = '/api/v1/organizations/{org}/sources';

/** The names of what hands records in; none before the list is there. */
export function useSources(org: string): string[] | undefined {
  return useSourceList(org).sources;
}

/** The same, with what went wrong in reading it. */
export function useSourceList(org: string) {
  const found = queries.useQuery('get', PATH, { params: { path: { org } } });
  return { sources: found.data?.items.map((one) => one.source), error: found.error, retry: () => void found.refetch() };
}
