import { expect, it } from 'vitest';
import { inPieces } from './names';

it('asks for more names than one question may hold in pieces, and for every one of them once', () => {
  const customers = Array.from({ length: 2_300 }, (_, at) => ({ source: 'shop', id: `c-${at}` }));
  const pieces = inPieces({ customers, products: [], companies: [1, 2], agreements: [], catalog_items: [] });
  expect(pieces.map((piece) => piece.customers.length)).toEqual([1_000, 1_000, 300]);
  expect(pieces.flatMap((piece) => piece.customers)).toEqual(customers);
  expect(pieces.map((piece) => piece.companies)).toEqual([[1, 2], [], []]);
  expect(inPieces({ customers: [], products: [], companies: [], agreements: [], catalog_items: [] })).toEqual([]);
});
