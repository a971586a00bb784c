// Who is signed in, and which organization the page is about.
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { createContext, useCallback, useContext, useEffect, useMemo, useState, type ReactNode } from 'react';
import { answer, api, problemOf, setToken, whenSignedOut, type Schemas } from './api/client';

export type Session = Schemas['SessionDoc'];

interface Known {
  session: Session | null | undefined;
  error: unknown;
  /** Whether a session was there and is no more. */
  ended: boolean;
  retry: () => void;
  begin: (session: Session) => void;
  /** Ends the session; throws where the service did not, and then it still stands. */
  signOut: () => Promise<void>;
}

const Context = createContext<Known | null>(null);
const KEY = ['session'];

async function load(): Promise<Session | null> {
  try {
    const session = await answer(api.GET('/api/v1/session'));
    setToken(session.csrf_token);
    return session;
  } catch (error) {
    if (problemOf(error).status === 401) return null;
    throw error;
  }
}

export function SessionProvider({ children }: { children: ReactNode }) {
  const client = useQueryClient();
  const [ended, setEnded] = useState(false);
  const query = useQuery({ queryKey: KEY, queryFn: load, staleTime: Infinity, retry: 1 });
  const session = query.data;

  const forget = useCallback(() => {
    setToken(null);
    client.removeQueries({ predicate: (found) => found.queryKey !== KEY });
    client.setQueryData(KEY, null);
  }, [client]);

  useEffect(() => {
    whenSignedOut(() => {
      if (client.getQueryData(KEY) != null) setEnded(true);
      forget();
    });
  }, [client, forget]);

  const known = useMemo<Known>(
    () => ({
      session,
      error: query.error,
      ended,
      retry: () => void query.refetch(),
      begin: (begun) => {
        setEnded(false);
        setToken(begun.csrf_token);
        client.setQueryData(KEY, begun);
      },
      signOut: async () => {
        try {
          await answer(api.DELETE('/api/v1/session'));
        } catch (error) {
          // A session that is over already needs no ending. Whatever else comes back, this one still stands.
          if (problemOf(error).status !== 401) throw error;
        }
        setEnded(false);
        forget();
      },
    }),
    [session, query, ended, client, forget],
  );
  return <Context.Provider value={known}>{children}</Context.Provider>;
}

export function useKnown(): Known {
  const known = useContext(Context);
  if (known === null) throw new Error('outside of SessionProvider');
  return known;
}

/** The session of a page that only people who are signed in see. */
export function useSession(): Session {
  const { session } = useKnown();
  if (session == null) throw new Error('nobody is signed in');
  return session;
}

export function useMay(right: string): boolean {
  return useKnown().session?.rights.includes(right) ?? false;
}

const OrgContext = createContext<string | null>(null);
export const OrganizationProvider = OrgContext.Provider;

/** The organization of the address. */
export function useOrg(): string {
  const org = useContext(OrgContext);
  if (org === null) throw new Error('outside of an organization');
  return org;
}
