// What waits for people.
import { queries, type Schemas } from './client';

type Listed = Schemas['ApprovalDoc'];

export interface Reason {
  /** `amount`, `percent`, `new`, `decrease`, `cancel`, `two_above` or `brake`. */
  limit: string;
  message: string;
}
export type Approval = Omit<Listed, 'reasons'> & { reasons: Reason[] };

/** The document names the reasons of suggestions here; what arrives are those of approvals. */
export function approvalOf(listed: Listed): Approval {
  return listed as unknown as Approval;
}

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
