import { expect, it } from 'vitest';
import { formatsOf } from '../format';
import { sentence, withDays } from './text';

const { day } = formatsOf('de-DE');

it('writes days within a text as its reader does, and leaves ids, names and instants alone', () => {
  expect(withDays('2026-03-01 to 2026-03-31 is billed once.', day)).toBe('01.03.2026 to 31.03.2026 is billed once.');
  expect(withDays('last billed day 2026-04-30', day)).toBe('last billed day 30.04.2026');
  for (const kept of ['Order RN-2026-03-01', 'at 2026-03-01T09:00:00Z', 'the line `2026-03-01`', 'no day 2026-13-999']) {
    expect(withDays(kept, day)).toBe(kept);
  }
});

it('ends a sentence, and makes none of nothing', () => {
  expect(sentence('it is there already')).toBe('It is there already.');
  expect(sentence('')).toBe('');
});
