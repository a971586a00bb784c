import { expect, it } from 'vitest';
import { additionsIn } from './PickDialog';

it('finds the additions that a reason names', () => {
  const why = 'VAULT of Harrow (c-08) is there 2 times: additions 88001, 88002.';
  expect(additionsIn({ why })).toEqual([88001, 88002]);
  const one = 'VAULT is there already: addition 88003 with a quantity of 60, which trueup did not write.';
  expect(additionsIn({ why: one, addition_id: 88003 })).toEqual([88003]);
  expect(additionsIn({ why: 'agreement 12 has no line of it', addition_id: null })).toEqual([]);
});
