// Long work: started by a call, told of by the server as it goes on.
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useEffect, useState } from 'react';
import { answer, api, type Schemas } from './client';

export type Run = Schemas['RunDoc'];

/** How long a run whose stream broke is left before it is asked for again. */
const AGAIN_MS = 3_000;

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
    let timer: number | undefined;
    let left = false;
    const stop = () => {
      left = true;
      events.close();
      window.clearTimeout(timer);
    };
    const tell = (now: Run) => {
      if (left) return;
      setRun(now);
      if (!isOver(now)) return;
      stop();
      // Tasks, plans, findings, mappings: a run may have moved any of them.
      void client.invalidateQueries({ predicate: (query) => query.queryKey[0] !== 'session' });
    };
    const told = (event: MessageEvent<string>) => {
      window.clearTimeout(timer);
      timer = undefined;
      tell(JSON.parse(event.data) as Run);
    };
    // A browser that was refused a stream never asks for it again: from then on the run itself is asked for.
    const ask = async () => {
      const found = await api.GET('/api/v1/organizations/{org}/runs/{run}', { params: { path: { org, run: id } } }).catch(() => null);
      if (found?.data !== undefined) tell(found.data);
      if (!left && timer !== undefined && found?.response.status !== 404) timer = window.setTimeout(() => void ask(), AGAIN_MS);
    };
    events.addEventListener('progress', told);
    events.addEventListener('end', told);
    events.addEventListener('error', () => {
      if (!left) timer ??= window.setTimeout(() => void ask(), AGAIN_MS);
    });
    return stop;
  }, [org, id, client]);
  return run !== null && run.run_id === id ? run : null;
}
