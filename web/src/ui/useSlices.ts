import { useState } from 'react';

/** A page of rows that are all here already. A change of `of` (filters) begins anew. */
export function useSlices<T>(rows: T[] | undefined, of: string, size = 50) {
  const [seen, setSeen] = useState({ of, page: 1 });
  const last = Math.max(1, Math.ceil((rows?.length ?? 0) / size));
  const page = seen.of === of ? Math.min(seen.page, last) : 1;
  return {
    rows: rows?.slice((page - 1) * size, page * size),
    pager: {
      page,
      hasNext: page < last,
      onPrevious: () => setSeen({ of, page: page - 1 }),
      onNext: () => setSeen({ of, page: page + 1 }),
    },
  };
}
