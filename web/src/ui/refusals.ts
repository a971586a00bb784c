// Why the service refused the value of a field. It says so in English; what a person can meet in a form has words of its own.
import { useWords, type Key } from '../i18n';
import { useWord } from './Badges';
import { sentence } from './text';

const KNOWN: [RegExp, Key][] = [
  [/^it is empty$/, 'refusal.empty'],
  [/^it is longer than (?<n>\d+) characters$/, 'refusal.long'],
  [/^it contains control characters$/, 'refusal.control'],
  [/^it contains a slash$/, 'refusal.slash'],
  [/^say why$/, 'refusal.why'],
  [/^(?:write YYYY-MM-DD|`[^`]*` is no date, such as .*)$/, 'refusal.date'],
  [/^it is not the password of now$/, 'refusal.password'],
  [/^it is the password of now$/, 'refusal.samePassword'],
  [/^use 1 to 64 lower-case letters, digits, `-` and `_`$/, 'refusal.slug'],
  [/^a whole number above 0$/, 'refusal.whole'],
  [/^-?\d+ is not between (?<from>-?\d+) and (?<to>-?\d+)$/, 'refusal.between'],
  [/^`(?<value>[^`]*)` is not a value of \S+: (?<allowed>.*)$/, 'refusal.setting'],
  [/^name (?:one )?at least(?: one)?$/, 'refusal.one'],
];

/** The key of a refusal, and what it names; nothing where the console has no words for it. */
export function refusalOf(reason: string): { key: Key; values: Record<string, string> } | null {
  for (const [pattern, key] of KNOWN) {
    const found = pattern.exec(reason);
    if (found !== null) return { key, values: { ...found.groups } };
  }
  return null;
}

/** A refusal in the reader's language, and the field by its name. */
export function useRefusal(): { reason: (reason: string) => string; field: (field: string) => string } {
  const { t } = useWords();
  const say = useWord();
  return {
    reason: (reason) => {
      const known = refusalOf(reason);
      return known === null ? sentence(reason) : t(known.key, known.values);
    },
    field: (field) => {
      const name = say('refusal.field', field);
      return name === field ? field : name;
    },
  };
}
