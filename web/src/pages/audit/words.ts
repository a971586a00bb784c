// An entry of the audit in the words of its reader: what it is about, and what it changed.
import type { Schemas } from '../../api/client';
import type { Names } from '../../api/names';
import { useFormats } from '../../format';
import { useWords, type Key } from '../../i18n';
import { en } from '../../i18n/en';
import { useWord } from '../../ui/Badges';
import { cadenceWords } from '../settings/words';

export type Entry = Schemas['Page_EntryDoc']['items'][number];
export type Fields = Record<string, unknown>;

export function fieldsOf(value: unknown): Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : {};
}

function textOf(value: unknown): string | null {
  if (typeof value === 'string') return value;
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : null;
}

function numberOf(value: unknown): number | null {
  return typeof value === 'number' ? value : null;
}

/** The names that the entries of a page need. */
export function wishOf(entries: Entry[]) {
  const details = entries.map((entry) => fieldsOf(entry.detail));
  const numbers = (values: (number | null)[]) => values.filter((value) => value !== null);
  return {
    companies: numbers(details.map((detail) => numberOf(detail['company_id']))),
    agreements: numbers(details.map((detail) => numberOf(detail['agreement_id']))),
    catalog_items: numbers(
      details.flatMap((detail) =>
        [detail, fieldsOf(detail['before']), fieldsOf(detail['after'])].map((one) => numberOf(one['catalog_item'])),
      ),
    ),
  };
}

/** What an entry is about: the family of the thing, and its id. */
export function objectOf(entry: Entry): { family: string; id: string } {
  const at = entry.object.indexOf('/');
  return at < 0
    ? { family: entry.object, id: '' }
    : { family: entry.object.slice(0, at), id: entry.object.slice(at + 1) };
}

/** The fields of a line are called as everywhere else in the console. */
const LINE: Record<string, string> = {
  quantity: 'quantity',
  unit_price: 'unitPrice',
  unit_cost: 'unitCost',
  effective: 'effectiveDate',
  cancelled: 'cancelledDate',
  description: 'description',
  invoice_description: 'invoiceDescription',
  catalog_item: 'product',
  bill: 'billCustomer',
  taxable: 'taxableFlag',
};
const MONEY = ['unit_price', 'unit_cost', 'amount', 'cost'];
const DAY = /^\d{4}-\d{2}-\d{2}$/;

export function useEntryWords(names: Names) {
  const words = useWords();
  const { t } = words;
  const { money, quantity, day, instant } = useFormats();
  const say = useWord();
  const known = (key: string) => (key in en ? t(key as Key) : null);

  const label = (entry: Entry, field: string): string => {
    const { family, id } = objectOf(entry);
    if (family === 'setting' && field === '') return known(`setting.${id}`) ?? id;
    const ofLine = family === 'addition' ? LINE[field] : undefined;
    if (ofLine !== undefined) return say('field', ofLine);
    return known(`audit.field.${field}`) ?? field.replaceAll('_', ' ');
  };

  const shown = (entry: Entry, field: string, value: unknown): string => {
    const { family, id } = objectOf(entry);
    if (value === null || value === undefined) {
      return family === 'setting' && field === '' ? t('audit.notSet') : '–';
    }
    if (typeof value === 'boolean') return t(value ? 'audit.yes' : 'audit.no');
    if (Array.isArray(value)) return value.map((one) => shown(entry, field, one)).join(', ');
    const text = textOf(value);
    if (text === null) return JSON.stringify(value);
    if (family === 'setting' && field === '') {
      return known(`setting.${id}.${text}`) ?? (text === '' ? t('setting.empty') : cadenceWords(words, text));
    }
    const currency = fieldsOf(entry.detail)['currency'];
    if (MONEY.includes(field) && typeof currency === 'string') return money(text, currency);
    if (field === 'quantity' || MONEY.includes(field)) return quantity(text);
    if (field === 'bill') return known(`audit.bill.${text}`) ?? text;
    if (field === 'catalog_item' && typeof value === 'number') return names.item(value);
    if (field === 'company_id' && typeof value === 'number') return names.company(value);
    if (field === 'agreement_id' && typeof value === 'number') return names.agreement(value);
    if (field === 'role') return say('role', text);
    if (field === 'rights') return say('right', text);
    if (DAY.test(text)) return day(text);
    if (/^\d{4}-\d{2}-\d{2}T/.test(text)) return instant(text);
    return text;
  };

  /** What it is about, in a line. */
  const about = (entry: Entry): string => {
    const { family, id } = objectOf(entry);
    const detail = fieldsOf(entry.detail);
    const named = (): string => {
      switch (family) {
        case 'setting':
          return known(`setting.${id}`) ?? id;
        case 'schedule':
          return say('schedule', id);
        case 'user':
          return textOf(detail['email']) ?? '';
        case 'token':
          return textOf(detail['name']) ?? '';
        case 'organization':
          return textOf(detail['after']) ?? textOf(detail['name']) ?? id;
        default:
          return id;
      }
    };
    const kind = textOf(detail['kind']);
    if (family === 'run' && kind !== null) return say('run', kind);
    const key = `audit.about.${family}`;
    const text = key in en ? t(key as Key, { id: named() }).trim() : entry.object;
    const [whose, where] = [numberOf(detail['company_id']), numberOf(detail['agreement_id'])];
    if (whose !== null) return `${text} · ${names.company(whose)}`;
    return where === null ? text : `${text} · ${names.agreement(where)}`;
  };

  /** What changed: field, before, after. */
  const changes = (entry: Entry): { field: string; label: string; before: string; after: string }[] => {
    const { before, after } = fieldsOf(entry.detail);
    if (before === undefined && after === undefined) return [];
    const [was, is] = [fieldsOf(before), fieldsOf(after)];
    const fields = [...new Set([...Object.keys(is), ...Object.keys(was)])];
    if (fields.length === 0) {
      const row = { field: '', label: label(entry, objectOf(entry).family === 'setting' ? '' : 'after') };
      return [{ ...row, before: shown(entry, '', before), after: shown(entry, '', after) }];
    }
    return fields.map((field) => ({
      field,
      label: label(entry, field),
      before: before === null || before === undefined ? '' : shown(entry, field, was[field]),
      after: after === null || after === undefined ? '' : shown(entry, field, is[field]),
    }));
  };

  /** Everything else that the entry tells. */
  const others = (entry: Entry): [string, string][] =>
    Object.entries(fieldsOf(entry.detail))
      .filter(([field, value]) => field !== 'before' && field !== 'after' && value !== null)
      .map(([field, value]) => [label(entry, field), shown(entry, field, value)]);

  return { about, changes, others };
}
