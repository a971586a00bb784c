import { expect, it } from 'vitest';
import { refusalOf } from './refusals';

it('knows what the service refuses in forms, with what it names', () => {
  expect(refusalOf('it is empty')).toEqual({ key: 'refusal.empty', values: {} });
  expect(refusalOf('it is longer than 200 characters')).toEqual({ key: 'refusal.long', values: { n: '200' } });
  expect(refusalOf('400 is not between 1 and 366')?.values).toEqual({ from: '1', to: '366' });
  expect(refusalOf('`x` is none of alert, ticket')).toBeNull();
});
