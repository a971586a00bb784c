// Amounts, quantities and days as their reader writes them. Amounts stay decimal text from the API to the screen: no
// float is ever in the way.
import { useMemo } from 'react';
import { useWords } from './i18n';

type Decimal = `${number}`;

const DECIMAL = /^-?\d+(\.\d+)?$/;
/** Amounts in a text: no parts of versions, addresses or days. */
const DECIMALS = /(?<![\w.])(\d+)\.(\d+)(?![\w.]*\w)/g;
const DAY = /^\d{4}-\d{2}-\d{2}$/;

function places(amount: string): number {
  const at = amount.indexOf('.');
  return at < 0 ? 0 : amount.length - at - 1;
}

/** Divided by a power of ten, exactly. */
function shifted(amount: string, by: number): string {
  const negative = amount.startsWith('-');
  const [whole = '0', part = ''] = (negative ? amount.slice(1) : amount).split('.');
  const digits = whole.padStart(by + 1, '0');
  return `${negative ? '-' : ''}${digits.slice(0, -by)}.${digits.slice(-by)}${part}`;
}

export interface Formats {
  money: (amount: string, currency: string) => string;
  /** With a sign also where it is positive. */
  change: (amount: string, currency: string) => string;
  quantity: (amount: string) => string;
  /** A level with its unit; bytes are too many to read, and are shown as about so many GB. */
  level: (amount: string, unit: string | null | undefined) => string;
  /** A text with its decimals as the reader writes them; not one digit is rounded. */
  decimals: (text: string) => string;
  count: (n: number) => string;
  day: (date: string) => string;
  instant: (at: string) => string;
  /** The reader's day of an instant. */
  dayOf: (at: string) => string;
  ago: (at: string, now?: number) => string;
  /** How long something took. */
  took: (from: string, to: string) => string;
}

const STEPS: [Intl.RelativeTimeFormatUnit, number][] = [
  ['year', 365 * 86_400_000],
  ['month', 30 * 86_400_000],
  ['day', 86_400_000],
  ['hour', 3_600_000],
  ['minute', 60_000],
];

export function formatsOf(locale: string): Formats {
  const kept = new Map<string, Intl.NumberFormat>();
  const numbers = (options: Intl.NumberFormatOptions) => {
    const key = JSON.stringify(options);
    const known = kept.get(key) ?? new Intl.NumberFormat(locale, options);
    kept.set(key, known);
    return known;
  };
  const inCurrency = (amount: string, currency: string, signDisplay: 'auto' | 'exceptZero') => {
    if (!DECIMAL.test(amount)) return `${amount} ${currency}`;
    // As many places as the text has, where a price has more than its currency; never fewer than that one has.
    const own = numbers({ style: 'currency', currency }).resolvedOptions().minimumFractionDigits ?? 0;
    const digits = Math.min(Math.max(places(amount), own), 20);
    return numbers({
      style: 'currency',
      currency,
      signDisplay,
      minimumFractionDigits: digits,
      maximumFractionDigits: digits,
    }).format(amount as Decimal);
  };
  const day = new Intl.DateTimeFormat(locale, { dateStyle: 'medium', timeZone: 'UTC' });
  const instant = new Intl.DateTimeFormat(locale, { dateStyle: 'medium', timeStyle: 'short' });
  const dayOf = new Intl.DateTimeFormat(locale, { dateStyle: 'medium' });
  const point = new Intl.NumberFormat(locale).formatToParts(0.5).find((part) => part.type === 'decimal')?.value ?? '.';
  const relative = new Intl.RelativeTimeFormat(locale, { numeric: 'auto' });
  return {
    money: (amount, currency) => inCurrency(amount, currency, 'auto'),
    change: (amount, currency) => inCurrency(amount, currency, 'exceptZero'),
    quantity: (amount) =>
      DECIMAL.test(amount) ? numbers({ maximumFractionDigits: 20 }).format(amount as Decimal) : amount,
    level: (amount, unit) => {
      if (!DECIMAL.test(amount)) return `${amount} ${unit ?? ''}`.trim();
      if (unit == null || !/^bytes?$/i.test(unit)) {
        return `${numbers({ maximumFractionDigits: 20 }).format(amount as Decimal)} ${unit ?? ''}`.trim();
      }
      return `${numbers({ maximumFractionDigits: 2 }).format(shifted(amount, 9) as Decimal)} GB`;
    },
    decimals: (text) => text.replace(DECIMALS, `$1${point}$2`),
    count: (n) => numbers({}).format(n),
    day: (date) => (DAY.test(date) ? day.format(new Date(`${date}T00:00:00Z`)) : date),
    instant: (at) => (Number.isNaN(Date.parse(at)) ? at : instant.format(new Date(at))),
    dayOf: (at) => (Number.isNaN(Date.parse(at)) ? at : dayOf.format(new Date(at))),
    took: (from, to) => {
      const passed = Date.parse(to) - Date.parse(from);
      if (Number.isNaN(passed)) return '–';
      const seconds = Math.max(0, passed) / 1000;
      const part = (n: number, unit: string, digits = 0) =>
        numbers({ style: 'unit', unit, unitDisplay: 'short', maximumFractionDigits: digits }).format(n);
      if (seconds < 10) return part(seconds, 'second', 1);
      if (seconds < 60) return part(Math.round(seconds), 'second');
      const minutes = Math.floor(Math.round(seconds) / 60);
      return `${part(minutes, 'minute')} ${part(Math.round(seconds) % 60, 'second')}`;
    },
    ago: (at, now = Date.now()) => {
      const passed = Date.parse(at) - now;
      if (Number.isNaN(passed)) return at;
      for (const [unit, size] of STEPS) {
        if (Math.abs(passed) >= size) return relative.format(Math.round(passed / size), unit);
      }
      return relative.format(0, 'minute');
    },
  };
}

export function useFormats(): Formats {
  const { locale } = useWords();
  return useMemo(() => formatsOf(locale), [locale]);
}
