import { expect, it } from 'vitest';
import { toldApart } from './Changes';

const row = (id: string, subscription: string, over: Partial<Parameters<typeof toldApart>[0][number]> = {}) => ({
  change_id: id,
  op: 'create',
  catalog_item_id: 7,
  role: 'recurring',
  subscription_id: subscription,
  order_id: `SO-${id}`,
  ...over,
});

it('tells the lines of several subscriptions of one product apart', () => {
  const told = toldApart([row('a', 's-1'), row('b', 's-2'), row('c', 's-3', { catalog_item_id: 8 })]);
  expect([...told]).toEqual([
    ['a', 's-1'],
    ['b', 's-2'],
  ]);
});

it('names the orders as well where one subscription has several such lines', () => {
  const told = toldApart([row('a', 's-1'), row('b', 's-1'), row('c', 's-2'), row('d', 's-2', { op: 'update' })]);
  expect([...told]).toEqual([
    ['a', 's-1 · SO-a'],
    ['b', 's-1 · SO-b'],
    ['c', 's-2'],
  ]);
});
