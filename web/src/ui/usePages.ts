import { useState } from 'react';

/** The cursors of the pages seen so far. A change of `of` (filters, organization) begins anew. */
export function usePages(of: string) {
  const [seen, setSeen] = useState<{ of: string; cursors: string[] }>({ of, cursors: [] });
  const cursors = seen.of === of ? seen.cursors : [];
  return {
    page: cursors.length + 1,
    cursor: cursors.at(-1),
    next: (cursor: string) => setSeen({ of, cursors: [...cursors, cursor] }),
    previous: () => setSeen({ of, cursors: cursors.slice(0, -1) }),
  };
}
