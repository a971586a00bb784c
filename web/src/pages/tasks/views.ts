// Views of the work list that a person keeps. They stay in this browser, for this person, whatever the organization; the
// address of the page is the same view for others.
import { useState } from 'react';

export interface View {
  name: string;
  /** What the address holds after its question mark. */
  query: string;
}

/** What makes a view; a page within it does not. */
const KEYS = ['state', 'kind', 'customer', 'source', 'age', 'search', 'sort'];
export const MOST_VIEWS = 30;

/** The view that an address shows, in one order, so that equal ones are equal. */
export function queryOf(params: URLSearchParams): string {
  const kept = new URLSearchParams();
  for (const key of KEYS) {
    const value = params.get(key);
    if (value !== null && value !== '') kept.set(key, value);
  }
  return kept.toString();
}

function isView(one: unknown): one is View {
  const view = (one ?? {}) as Partial<Record<keyof View, unknown>>;
  return typeof view.name === 'string' && typeof view.query === 'string';
}

/** What was kept; what cannot be read is no view. */
export function viewsIn(text: string | null): View[] {
  if (text === null) return [];
  try {
    const found: unknown = JSON.parse(text);
    if (!Array.isArray(found)) return [];
    return found
      .filter(isView)
      .map(({ name, query }) => ({ name, query: queryOf(new URLSearchParams(query)) }))
      .slice(0, MOST_VIEWS);
  } catch {
    return [];
  }
}

/** With a view of this name; one that had it is replaced. */
export function withView(views: View[], view: View, locale: string): View[] {
  const { compare } = new Intl.Collator(locale, { numeric: true });
  return [...views.filter((one) => one.name !== view.name), view].sort((a, b) => compare(a.name, b.name));
}

export function useViews(person: string, locale: string) {
  const key = `trueup-views/${person}`;
  const [views, setViews] = useState(() => viewsIn(localStorage.getItem(key)));
  const keep = (next: View[]) => {
    localStorage.setItem(key, JSON.stringify(next));
    setViews(next);
  };
  return {
    views,
    save: (view: View) => keep(withView(views, view, locale)),
    remove: (name: string) => keep(views.filter((one) => one.name !== name)),
  };
}
