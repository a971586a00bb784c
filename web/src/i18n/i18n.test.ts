import { expect, it } from 'vitest';
import { wordsOf } from '.';
import { causes, de } from './de';
import { en, type Key } from './en';

const holes = (text: string) => [...text.matchAll(/\{(\w+)\}/g)].map((hole) => hole[1]).sort();

it('has every text in both languages, with the same places to fill', () => {
  for (const [key, text] of Object.entries(en)) {
    expect(de[key as Key], key).not.toBe('');
    // A form for one may leave the number out.
    if (!key.endsWith('_one')) expect(holes(de[key as Key]), key).toEqual(holes(text));
  }
});

it('tells the cause behind every exception code', () => {
  const codes = Object.keys(en).flatMap((key) => (key.startsWith('code.') ? [key.slice('code.'.length)] : []));
  expect(Object.keys(causes).sort()).toEqual(codes.sort());
});

it('counts as the language does', () => {
  const words = wordsOf(de, 'de', () => undefined);
  expect(words.tn('tasks.selected', 1)).toBe('Eine Aufgabe ausgewählt');
  expect(words.tn('tasks.selected', 3)).toBe('3 Aufgaben ausgewählt');
});
