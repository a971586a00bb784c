// Connections of an organization, its own and those of the levels above.
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { answer, api, queries, type Schemas } from '../../api/client';

export type Connection = Schemas['ConnectionDoc'];
export type Tested = Schemas['TestDoc'];
export type Right = Schemas['RightDoc'];

export const BASE = '/api/v1/organizations/{org}/connections';

export function useConnections(org: string) {
  return queries.useQuery('get', BASE, { params: { path: { org } } });
}

const same = (a: Connection, b: Connection) => a.name === b.name && a.created_at === b.created_at;

/** Those that a level above looks after: whatever the organization above has as well. */
export function useInherited(org: string): (connection: Connection) => boolean {
  const own = queries.useQuery('get', '/api/v1/organizations/{org}', { params: { path: { org } } });
  const parent = own.data?.parent ?? '';
  const params = { params: { path: { org: parent } } };
  const above = queries.useQuery('get', BASE, params, { enabled: parent !== '' });
  return (connection) => (above.data?.items ?? []).some((one) => same(one, connection));
}

export function useTest(org: string) {
  return useMutation({
    mutationFn: (name: string): Promise<Tested> =>
      answer(api.POST(`${BASE}/{connection}/test`, { params: { path: { org, connection: name } } })),
  });
}

export function useAdd(org: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (body: Schemas['NewConnection']): Promise<Tested> =>
      answer(api.POST(BASE, { params: { path: { org } }, body })),
    onSuccess: () => void client.invalidateQueries(),
  });
}
