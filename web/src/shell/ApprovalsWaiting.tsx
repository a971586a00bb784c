import { Badge } from '@mantine/core';
import { useOpenApprovals } from '../api/approvals';
import { useFormats } from '../format';
import { useWords } from '../i18n';
import { useMay, useOrg } from '../session';

/** How many approvals wait, for those who may answer. */
export function ApprovalsWaiting() {
  const { tn } = useWords();
  const { count } = useFormats();
  const org = useOrg();
  const open = useOpenApprovals(org, useMay('approvals.write'));
  const n = (open.data?.items ?? []).filter((one) => one.state === 'waiting').length;
  if (n === 0) return null;
  const more = open.data?.next_cursor != null;
  return (
    <Badge size="sm" circle={n < 10} color="yellow" variant="light" className="badge">
      <span aria-hidden>
        {count(n)}
        {more && '+'}
      </span>
      <span className="hidden">, {tn('nav.approvals.waiting', n)}</span>
    </Badge>
  );
}
