// Lists and plans name things by their ids; people know them by their names.
import { answer, api, type Schemas } from './client';

type Wish = Partial<Schemas['NamesWish']>;
type Ref = Schemas['RecordRef'];

export class Names {
  private readonly customers: Map<string, string>;
  private readonly products: Map<string, string>;
  private readonly known: Schemas['NamesDoc'];

  constructor(known: Schemas['NamesDoc']) {
    const keyed = (rows: Schemas['NamedDoc'][]) =>
      new Map(rows.map((row) => [`${row.source}/${row.id}`, row.name]));
    this.known = known;
    this.customers = keyed(known.customers);
    this.products = keyed(known.products);
  }

  customer(source: string, id: string): string {
    return this.customers.get(`${source}/${id}`) ?? id;
  }

  product(source: string, id: string): string {
    return this.products.get(`${source}/${id}`) ?? id;
  }

  company(id: number): string {
    return this.known.companies[id] ?? `#${id}`;
  }

  agreement(id: number): string {
    return this.known.agreements[id] ?? `#${id}`;
  }

  item(id: number, otherwise?: string | null): string {
    return this.known.catalog_items[id] ?? otherwise ?? `#${id}`;
  }
}

export const NO_NAMES = new Names({ customers: [], products: [], companies: {}, agreements: {}, catalog_items: {} });

/** As many of each kind as one question may name. */
const MOST = 1000;

function once<T>(values: T[] | undefined, key: (value: T) => string): T[] {
  return [...new Map((values ?? []).map((value) => [key(value), value])).values()];
}

/** A wish in as many parts as it takes to ask for all of it. */
export function inPieces(wish: Schemas['NamesWish']): Schemas['NamesWish'][] {
  const longest = Math.max(0, ...Object.values(wish).map((list) => list.length));
  return Array.from({ length: Math.ceil(longest / MOST) }, (_, piece) => {
    const part = <T,>(list: T[] | undefined) => (list ?? []).slice(piece * MOST, (piece + 1) * MOST);
    return {
      customers: part(wish.customers),
      products: part(wish.products),
      companies: part(wish.companies),
      agreements: part(wish.agreements),
      catalog_items: part(wish.catalog_items),
    };
  });
}

function joined(all: Schemas['NamesDoc'][]): Schemas['NamesDoc'] {
  return {
    customers: all.flatMap((one) => one.customers),
    products: all.flatMap((one) => one.products),
    companies: Object.assign({}, ...all.map((one) => one.companies)) as Schemas['NamesDoc']['companies'],
    agreements: Object.assign({}, ...all.map((one) => one.agreements)) as Schemas['NamesDoc']['agreements'],
    catalog_items: Object.assign({}, ...all.map((one) => one.catalog_items)) as Schemas['NamesDoc']['catalog_items'],
  };
}

export async function fetchNames(org: string, wish: Wish): Promise<Names> {
  const ref = (value: Ref) => `${value.source}/${value.id}`;
  const body: Schemas['NamesWish'] = {
    customers: once(wish.customers, ref),
    products: once(wish.products, ref),
    companies: once(wish.companies, String),
    agreements: once(wish.agreements, String),
    catalog_items: once(wish.catalog_items, String),
  };
  const pieces = inPieces(body);
  if (pieces.length === 0) return NO_NAMES;
  const path = '/api/v1/organizations/{org}/names';
  const found = await Promise.all(pieces.map((piece) => answer(api.POST(path, { params: { path: { org } }, body: piece }))));
  return new Names(joined(found));
}
