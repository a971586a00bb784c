import { useLocation, useNavigate } from 'react-router';

/** Of each list of a page of the browser's history, the cursors of the pages seen so far. */
type Kept = Record<string, string[]>;

function keptIn(state: unknown): Kept {
  const found = typeof state === 'object' && state !== null && 'pages' in state ? state.pages : null;
  return typeof found === 'object' && found !== null ? (found as Kept) : {};
}

/**
 * Where a list stands. It is kept with the entry of the browser's history: who opens a row and comes back finds the page that
 * they left, and another filter (`of`: filters, organization) begins anew.
 */
export function usePages(of: string) {
  const { search, state } = useLocation() as { search: string; state: unknown };
  const navigate = useNavigate();
  const kept = keptIn(state);
  const cursors = kept[of] ?? [];
  const go = (seen: string[]) => void navigate({ search }, { state: { pages: { ...kept, [of]: seen } } });
  return {
    page: cursors.length + 1,
    cursor: cursors.at(-1),
    next: (cursor: string) => go([...cursors, cursor]),
    previous: () => go(cursors.slice(0, -1)),
  };
}
