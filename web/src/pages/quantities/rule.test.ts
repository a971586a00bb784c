import { expect, it } from 'vitest';
import { PLAIN, type Rule } from './data';
import { draftOf, ruleOfDraft } from './rule';

it('gives a rule back as it came', () => {
  const full: Rule = {
    add_up: true,
    combine: 'largest',
    unit: 'TiB',
    exclude: [
      { reason: 'our own accounts', quantity: '2' },
      { reason: 'free of charge', service: 'shared' },
    ],
    included: '1.5',
    minimum: '5',
    maximum: '100',
    rounding: 'up',
    decimals: 2,
    pack: { size: '5', bill: 'units' },
    tiers: [
      { from: '1', bill: '1' },
      { from: '11', bill: '2' },
    ],
    ratio: { of: '1', per: '3' },
  };
  expect(ruleOfDraft(draftOf(full))).toEqual(full);
  expect(ruleOfDraft(draftOf(PLAIN))).toEqual(PLAIN);
});

it('leaves out what is empty, and takes a service for a number where both are there', () => {
  const draft = draftOf(PLAIN);
  expect(ruleOfDraft({ ...draft, included: '', decimals: '' })).toEqual(PLAIN);
  const exclude = [{ key: 1, reason: 'free', quantity: '2', service: 'shared' }];
  expect(ruleOfDraft({ ...draft, exclude }).exclude).toEqual([{ reason: 'free', service: 'shared' }]);
});
