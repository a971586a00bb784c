import { expect, it } from 'vitest';
import { sumOf } from './sum';

it('adds decimals exactly', () => {
  expect(sumOf(['0.1', '0.2'])).toBe('0.3');
  expect(sumOf(['47.28', '-47.28'])).toBe('0.00');
  expect(sumOf(['-0.60', '0.05'])).toBe('-0.55');
  expect(sumOf(['9007199254740993', '0.01'])).toBe('9007199254740993.01');
  expect(sumOf([])).toBe('0');
});
