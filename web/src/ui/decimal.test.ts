import { describe, expect, it } from 'vitest';
import { readDecimal } from './decimal';

describe('readDecimal', () => {
  const german = (typed: string) => readDecimal(typed, 'de-DE');
  const english = (typed: string) => readDecimal(typed, 'en-GB');

  it('takes the thousands of a German reader as thousands', () => {
    expect(german('1.000')).toBe('1000');
    expect(german('12.000.000,5')).toBe('12000000.5');
    expect(german('-1.234,50')).toBe('-1234.50');
    expect(german('1000')).toBe('1000');
    expect(german('0,125')).toBe('0.125');
    expect(german(' 7 ')).toBe('7');
    expect(german(',5')).toBe('0.5');
    expect(german('')).toBe('');
  });

  it('refuses what a German reader cannot have meant', () => {
    for (const typed of ['1.00', '12.5', '1.0000', '.000', '1.000.00', '1,000,000', '1.5,0', '1,000.5', '1 000', 'x', '-', ',', '1e3']) {
      expect(german(typed), typed).toBeNull();
    }
  });

  it('reads English by its own signs', () => {
    expect(english('1,000')).toBe('1000');
    expect(english('12,000,000.5')).toBe('12000000.5');
    expect(english('12.50')).toBe('12.50');
    for (const typed of ['1,5', '1,00', '1.000,5', '1.000.000']) expect(english(typed), typed).toBeNull();
  });

  it('knows the groups of other locales, and what is typed for a sign that no keyboard has', () => {
    expect(readDecimal('12,34,567.5', 'en-IN')).toBe('1234567.5');
    expect(readDecimal("1'000.5", 'de-CH')).toBe('1000.5');
    expect(readDecimal('1’000.5', 'de-CH')).toBe('1000.5');
    expect(readDecimal('1 000,5', 'de-AT')).toBe('1000.5');
    expect(readDecimal('1.000', 'de-AT')).toBe('1000');
  });

  it('loses no digit', () => {
    expect(german('123.456.789.012.345.678,123456789012345678')).toBe('123456789012345678.123456789012345678');
  });
});
