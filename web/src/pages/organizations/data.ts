// All organizations that one sees, as a tree.
import { useQuery } from '@tanstack/react-query';
import { answer, api, type Schemas } from '../../api/client';
import { useWords } from '../../i18n';

export type Organization = Schemas['OrganizationDoc'];

export interface Forest {
  tops: Organization[];
  below: Map<string, Organization[]>;
  byId: Map<string, Organization>;
  /** Whether there are more than were read. */
  cut: boolean;
}

const PAGE = 200;
const MOST_PAGES = 15;

async function load(): Promise<{ items: Organization[]; cut: boolean }> {
  const items: Organization[] = [];
  let cursor: string | null | undefined;
  for (let page = 0; page < MOST_PAGES; page += 1) {
    const query = { limit: PAGE, ...(cursor == null ? {} : { cursor }) };
    const found = await answer(api.GET('/api/v1/organizations', { params: { query } }));
    items.push(...found.items);
    cursor = found.next_cursor;
    if (cursor == null) return { items, cut: false };
  }
  return { items, cut: true };
}

export function forestOf(items: Organization[], cut: boolean, locale: string): Forest {
  const byId = new Map(items.map((one) => [one.id, one]));
  const below = new Map<string, Organization[]>();
  const tops: Organization[] = [];
  const { compare } = new Intl.Collator(locale, { numeric: true });
  for (const one of [...items].sort((a, b) => compare(a.name, b.name))) {
    // One whose upper level is not among them is a top of what is seen.
    if (one.parent == null || !byId.has(one.parent)) tops.push(one);
    else below.set(one.parent, [...(below.get(one.parent) ?? []), one]);
  }
  return { tops, below, byId, cut };
}

export function useTree() {
  const { locale } = useWords();
  return useQuery({
    queryKey: ['tree'],
    queryFn: load,
    select: ({ items, cut }) => forestOf(items, cut, locale),
  });
}

/** Those above one, the nearest last. */
export function lineage(forest: Forest, id: string): Organization[] {
  const above: Organization[] = [];
  const seen = new Set<string>();
  let next = forest.byId.get(id)?.parent;
  while (next != null && !seen.has(next)) {
    seen.add(next);
    const one = forest.byId.get(next);
    if (one === undefined) break;
    above.unshift(one);
    next = one.parent;
  }
  return above;
}
