import { describe, expect, it } from 'vitest';
import { formatsOf } from './format';

describe('amounts', () => {
  it('are exact, however long', () => {
    const { money } = formatsOf('en-US');
    expect(money('12345678901234567.123456', 'USD')).toBe('$12,345,678,901,234,567.123456');
    expect(money('0.1', 'USD')).toBe('$0.10');
    expect(money('22', 'USD')).toBe('$22.00');
    expect(money('22.125', 'USD')).toBe('$22.125');
    expect(money('500', 'JPY')).toBe('¥500');
    expect(money('9007199254740993.00', 'USD')).toBe('$9,007,199,254,740,993.00');
  });
  it('are written as the reader writes them', () => {
    expect(formatsOf('de-DE').money('1234.50', 'EUR')).toBe('1.234,50\u00a0€');
    expect(formatsOf('en-GB').money('-36.18', 'GBP')).toBe('-£36.18');
    expect(formatsOf('en-US').change('36.18', 'USD')).toBe('+$36.18');
  });
  it('that are none are shown as they are', () => {
    expect(formatsOf('en-US').money('n/a', 'USD')).toBe('n/a USD');
  });
});

describe('days', () => {
  it('are dates, whatever the time zone', () => {
    expect(formatsOf('en-GB').day('2026-03-01')).toBe('1 Mar 2026');
    expect(formatsOf('de-DE').day('2026-03-01')).toBe('01.03.2026');
  });
});

it('says how long something took', () => {
  const took = (from: string, to: string) => formatsOf('en-GB').took(from, to).replaceAll(/\s/g, ' ').replace('secs', 'sec').replace('mins', 'min');
  expect(took('2026-04-02T10:00:00Z', '2026-04-02T10:00:00.430Z')).toBe('0.4 sec');
  expect(took('2026-04-02T10:00:00Z', '2026-04-02T10:00:42Z')).toBe('42 sec');
  expect(took('2026-04-02T10:00:00Z', '2026-04-02T10:03:05Z')).toBe('3 min 5 sec');
  expect(took('2026-04-02T10:00:00Z', 'never')).toBe('–');
});

it('shows bytes as about so many GB, and other levels as they are', () => {
  const { level } = formatsOf('en-GB');
  expect(level('2222222202216', 'byte')).toBe('2,222.22 GB');
  expect(level('1500000', 'bytes')).toBe('0 GB');
  expect(level('-12345678901', 'byte')).toBe('-12.35 GB');
  expect(level('12.5', 'GB')).toBe('12.5 GB');
  expect(level('7', null)).toBe('7');
});

it('decimals in a text become those of the reader, and days, ids and whole numbers stay', () => {
  const formula = '22.00 x 17/31 = 12.0645 -> 12.06; 3 x 12.06';
  expect(formatsOf('de-DE').decimals(formula)).toBe('22,00 x 17/31 = 12,0645 -> 12,06; 3 x 12,06');
  expect(formatsOf('en-GB').decimals(formula)).toBe(formula);
  const others = 'last billed day 2026-03-31, 30.04.2026, v1.2.3, 110.00/31';
  expect(formatsOf('de-DE').decimals(others)).toBe('last billed day 2026-03-31, 30.04.2026, v1.2.3, 110,00/31');
});
