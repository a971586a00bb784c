// Long work: started by a call, told of by the server as it goes on.
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useEffect, useState } from 'react';
import { answer, api, type Schemas } from './client';

export type Run = Schemas['RunDoc'];

export function isOver(run: Run): boolean {
  return run.state === 'done' || run.state === 'failed' || run.state === 'needs_person';
}

/** Starts a run; what it changes is read anew when it ends. */
export function useStart(org: string) {
  return useMutation({
    mutationFn: (body: Schemas['NewRun']): Promise<Run> =>
      answer(api.POST('/api/v1/organizations/{org}/runs', { params: { path: { org } }, body })),
  });
}

/** A run as it stands, followed until it ends. */
export function useRun(org: string, id: string | null): Run | null {
  const client = useQueryClient();
  const [run, setRun] = useState<Run | null>(null);
  useEffect(() => {
    setRun(null);
    if (id === null) return;
    const path = `/api/v1/organizations/${encodeURIComponent(org)}/runs/${encodeURIComponent(id)}/events`;
    const events = new EventSource(path);
    const told = (event: MessageEvent<string>) => {
      const now = JSON.parse(event.data) as Run;
      setRun(now);
      if (isOver(now)) {
        events.close();
        // Tasks, plans, findings, mappings: a run may have moved any of them.
        void client.invalidateQueries({ predicate: (query) => query.queryKey[0] !== 'session' });
      }
    };
    events.addEventListener('progress', told);
    events.addEventListener('end', told);
    return () => events.close();
  }, [org, id, client]);
  return run !== null && run.run_id === id ? run : null;
}
