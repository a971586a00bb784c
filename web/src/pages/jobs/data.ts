// What the pages of the jobs share.
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useNavigate } from 'react-router';
import { answer, api, type Schemas } from '../../api/client';
import { fetchNames } from '../../api/names';
import { useOrg } from '../../session';

export type Job = Schemas['JobDoc'];
export type GridRow = Schemas['GridRowDoc'];

export const JOBS = '/api/v1/organizations/{org}/jobs';

export function isRunning(job: Job): boolean {
  return job.state === 'queued' || job.state === 'running';
}

export async function loadJob(org: string, id: string) {
  const job = await answer(api.GET(`${JOBS}/{job}`, { params: { path: { org, job: id } } }));
  const named = <T,>(value: T | null | undefined): T[] => (value == null ? [] : [value]);
  const ref = (source: string | null | undefined, of: string | null | undefined) =>
    source == null || of == null ? [] : [{ source, id: of }];
  const names = await fetchNames(org, {
    customers: [
      ...job.customers.map((one) => ({ source: one.source, id: one.customer_id })),
      ...job.rows.flatMap((row) => ref(row.source, row.customer_id)),
    ],
    products: job.rows.flatMap((row) => ref(row.source, row.product_id)),
    companies: job.rows.flatMap((row) => named(row.company_id)),
    agreements: job.rows.flatMap((row) => named(row.agreement_id)),
  });
  return { job, names };
}

/** Starts a validation or an upload, and goes to it. */
export function useBegin() {
  const org = useOrg();
  const navigate = useNavigate();
  const client = useQueryClient();
  const params = { path: { org } };
  const go = (job: Job) => {
    void client.invalidateQueries({ predicate: (query) => query.queryKey[0] !== 'session' });
    void navigate(`/o/${org}/jobs/${encodeURIComponent(job.job_id)}`);
  };
  const validate = useMutation({
    mutationFn: (body: Schemas['NewValidation']) => answer(api.POST(JOBS, { params, body })),
    onSuccess: go,
  });
  const upload = useMutation({
    mutationFn: (id: string) =>
      answer(api.POST(`${JOBS}/{job}/upload`, { params: { path: { org, job: id } } })),
    onSuccess: go,
  });
  return { validate, upload };
}
