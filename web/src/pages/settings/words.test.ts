import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { en } from '../../i18n/en';
import { wordsOf } from '../../i18n';
import { slugOf } from '../organizations/Dialogs';
import { cadenceWords, controlOf, groupOf, type Setting } from './words';

// The table of the service itself: a setting that is added there is asked for here.
const table = readFileSync(`${import.meta.dirname}/../../../../crates/domain/src/settings/table.rs`, 'utf8');
const begin = table.indexOf('pub const SETTINGS');
const rows = table.slice(begin, table.indexOf('\n];', begin));
const keys = [...rows.matchAll(/(?:choice|row)\(\s*"([a-z_.]+)"/g)].map((row) => row[1] ?? '');
const choices = [...rows.matchAll(/choice\(\s*"([a-z_.]+)",\s*&\[([^\]]*)\]/g)].map((row) => ({
  key: row[1] ?? '',
  values: [...(row[2] ?? '').matchAll(/"([^"]*)"/g)].map((value) => value[1] ?? ''),
}));
const known = new Set<string>(Object.keys(en));

it('says every setting and each of its choices in words', () => {
  expect(keys.length).toBeGreaterThan(40);
  expect(choices.length).toBeGreaterThan(15);
  const missing = keys.flatMap((key) => [`setting.${key}`, `setting.${key}.help`]).filter((key) => !known.has(key));
  const unsaid = choices.flatMap(({ key, values }) =>
    values.filter((value) => value !== 'on' && value !== 'off' && !known.has(`setting.${key}.${value}`)).map((value) => `${key}=${value}`),
  );
  expect([...missing, ...unsaid]).toEqual([]);
});

it('puts every setting into a group of its own', () => {
  expect(keys.filter((key) => groupOf(key) === 'other')).toEqual([]);
});

const setting = (allowed: string): Setting => ({
  key: 'x',
  value: '',
  version: '',
  from: 'default',
  own: false,
  default: '',
  allowed,
  kind: 'choice',
  choices: [],
  meaning: '',
});

it('offers the control that a setting asks for', () => {
  expect(controlOf(setting('one of off, on'))).toEqual({ kind: 'choice', values: ['off', 'on'] });
  expect(controlOf(setting('a number from 0 on, or nothing')).kind).toBe('number');
  expect(controlOf(setting('a whole number of days from 1 to 36500, or 0 for ever')).kind).toBe('whole');
  expect(controlOf(setting('a whole number from 0 on')).kind).toBe('whole');
  expect(controlOf(setting('a date as YYYY-MM-DD, or nothing')).kind).toBe('date');
  expect(controlOf(setting('auto, serial_number, custom_field:CAPTION or none')).kind).toBe('marker');
  expect(controlOf(setting('off, 1m, hourly, or daily HH:MM such as daily 06:30')).kind).toBe('cadence');
  expect(controlOf(setting('the name of a time zone such as Europe/Berlin or UTC')).kind).toBe('zone');
  expect(controlOf(setting('something new')).kind).toBe('text');
});

it('says how often something happens', () => {
  const words = wordsOf(en, 'en', () => undefined);
  expect(cadenceWords(words, '1m')).toBe('Every minute');
  expect(cadenceWords(words, '15m')).toBe('Every 15 minutes');
  expect(cadenceWords(words, 'hourly')).toBe('Every hour');
  expect(cadenceWords(words, 'off')).toBe('Off');
  expect(cadenceWords({ ...words, locale: 'en-GB' }, 'daily 06:30')).toBe('Every day at 06:30');
});

it('makes a short name of a name', () => {
  expect(slugOf('  Müller & Söhne GmbH ')).toBe('mueller-soehne-gmbh');
  expect(slugOf('Café Ünder')).toBe('cafe-uender');
});
