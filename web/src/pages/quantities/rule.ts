// The rule of a catalog item: which one holds, and its form while it is being changed.
import type { Counted, Rule, RuleEntry, Service } from './data';

/** A row that can be told from the others while rows come and go. */
type Row<T> = T & { key: number };

let rows = 0;

export function row<T>(of: T): Row<T> {
  rows += 1;
  return { ...of, key: rows };
}

/** What is typed, before empty fields are left out. */
export interface Draft {
  add_up: boolean;
  combine: Rule['combine'];
  unit: string;
  exclude: Row<{ reason: string; quantity: string; service: string }>[];
  included: string;
  minimum: string;
  maximum: string;
  rounding: Rule['rounding'];
  decimals: string;
  pack: string;
  packBills: 'packs' | 'units';
  tiers: Row<{ from: string; bill: string }>[];
  of: string;
  per: string;
}

export function draftOf(rule: Rule): Draft {
  return {
    add_up: rule.add_up,
    combine: rule.combine,
    unit: rule.unit ?? '',
    exclude: (rule.exclude ?? []).map(({ reason, quantity = '', service = '' }) => row({ reason, quantity, service })),
    included: rule.included === '0' ? '' : rule.included,
    minimum: rule.minimum ?? '',
    maximum: rule.maximum ?? '',
    rounding: rule.rounding,
    decimals: String(rule.decimals),
    pack: rule.pack?.size ?? '',
    packBills: rule.pack?.bill ?? 'packs',
    tiers: (rule.tiers ?? []).map(row),
    of: rule.ratio?.of ?? '',
    per: rule.ratio?.per ?? '',
  };
}

export function ruleOfDraft(draft: Draft): Rule {
  const { unit, minimum, maximum, pack, of, per } = draft;
  const tiers = draft.tiers.map(({ from, bill }) => ({ from, bill }));
  const exclude = draft.exclude.map(({ reason, quantity, service }) => ({
    reason,
    ...(service === '' ? { quantity } : { service }),
  }));
  return {
    add_up: draft.add_up,
    combine: draft.combine,
    included: draft.included === '' ? '0' : draft.included,
    rounding: draft.rounding,
    decimals: Number.parseInt(draft.decimals === '' ? '0' : draft.decimals, 10),
    ...(unit === '' ? {} : { unit: unit as NonNullable<Rule['unit']> }),
    ...(exclude.length === 0 ? {} : { exclude }),
    ...(minimum === '' ? {} : { minimum }),
    ...(maximum === '' ? {} : { maximum }),
    ...(pack === '' ? {} : { pack: { size: pack, bill: draft.packBills } }),
    ...(tiers.length === 0 ? {} : { tiers }),
    ...(of === '' && per === '' ? {} : { ratio: { of, per } }),
  };
}

/** The rule that holds for everybody of a catalog item. */
export function ruleOf(counted: Pick<Counted, 'entries'>, of: Pick<Service, 'source' | 'identifier'>): RuleEntry | undefined {
  return counted.entries.find(
    (entry): entry is RuleEntry =>
      entry.kind === 'product' &&
      entry.customer === null &&
      entry.source === of.source &&
      entry.identifier === of.identifier,
  );
}
