// What may stand together on a service board, while somebody chooses.
import type { Place, Places } from './data';

/** The fields that are about a board: with another board they mean nothing any more. */
export const ON_BOARD = ['type', 'subtype', 'item', 'status_new', 'status_closed', 'status_reopened'] as const;
export const TARGET = ['board', ...ON_BOARD, 'priority', 'source', 'owner'] as const;
export type TargetField = (typeof TARGET)[number];

/** What is chosen: an id, empty for what ConnectWise takes by itself, none where this organization says nothing. */
export type Chosen = Record<TargetField, string | null>;

const usable = (places: Place[] | null | undefined) => (places ?? []).filter((place) => !place.inactive);

/** What can be chosen for a field, by what is chosen above it. */
export function choicesFor(field: TargetField, places: Places, held: (field: TargetField) => string): Place[] {
  const pairs = places.combinations;
  const type = held('type');
  const subtype = held('subtype');
  switch (field) {
    case 'board':
      return usable(places.boards);
    case 'priority':
      return usable(places.priorities);
    case 'source':
      return usable(places.sources);
    case 'owner':
      return usable(places.members);
    case 'type':
      return usable(places.types);
    case 'subtype':
      if (type === '') return [];
      return usable(places.subtypes).filter(
        (one) => pairs == null || pairs.some((pair) => String(pair.type) === type && pair.subtype === one.id),
      );
    case 'item':
      if (type === '' || subtype === '') return [];
      return usable(places.items).filter(
        (one) =>
          pairs == null ||
          pairs.some((pair) => String(pair.type) === type && String(pair.subtype) === subtype && pair.item === one.id),
      );
    case 'status_closed':
      return usable(places.statuses).filter((one) => one.closed === true);
    case 'status_new':
    case 'status_reopened':
      return usable(places.statuses).filter((one) => one.closed !== true);
  }
}

/** Below what is changed nothing of the old choice holds. */
export function withChoice(
  chosen: Chosen,
  field: TargetField,
  value: string | null,
  held: (field: TargetField) => string,
): Chosen {
  const next = { ...chosen, [field]: value };
  const below: readonly TargetField[] =
    field === 'board' ? ON_BOARD : field === 'type' ? ['subtype', 'item'] : field === 'subtype' ? ['item'] : [];
  for (const one of below) {
    if (held(one) !== '') next[one] = '';
  }
  return next;
}
