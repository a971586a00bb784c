import { expect, it } from 'vitest';
import { forestOf, lineage, type Organization } from './data';

const org = (id: string, parent: string | null, name = id): Organization => ({ id, name, kind: 'partner', parent });

it('puts organizations below each other, in the order of their names', () => {
  const forest = forestOf([org('b', 'top', 'Zeta'), org('a', 'top', 'Ähre'), org('top', null), org('c', 'a')], false, 'de');
  expect(forest.tops.map((one) => one.id)).toEqual(['top']);
  expect(forest.below.get('top')?.map((one) => one.id)).toEqual(['a', 'b']);
  expect(lineage(forest, 'c').map((one) => one.id)).toEqual(['top', 'a']);
});

it('shows one whose upper level is not seen at the top, and ends in a ring', () => {
  const forest = forestOf([org('a', 'foreign'), org('x', 'y'), org('y', 'x')], false, 'en');
  expect(forest.tops.map((one) => one.id)).toEqual(['a']);
  expect(lineage(forest, 'x').length).toBeLessThanOrEqual(2);
});
