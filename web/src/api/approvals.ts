// What waits for people.
import { queries, type Schemas } from './client';

export type Approval = Schemas['ApprovalDoc'];

const PAGE = 100;

/** The open ones; a page of them is more than anybody keeps waiting. */
export function useOpenApprovals(org: string, enabled: boolean) {
  return queries.useQuery(
    'get',
    '/api/v1/organizations/{org}/approvals',
    { params: { path: { org }, query: { limit: PAGE } } },
    { enabled, refetchInterval: 60_000 },
  );
}
