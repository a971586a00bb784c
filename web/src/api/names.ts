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

const MOST = 1000;

function once<T>(values: T[] | undefined, key: (value: T) => string): T[] {
  return [...new Map((values ?? []).map((value) => [key(value), value])).values()].slice(0, MOST);
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
  if (Object.values(body).every((list) => list.length === 0)) return NO_NAMES;
  const path = '/api/v1/organizations/{org}/names';
  return new Names(await answer(api.POST(path, { params: { path: { org } }, body })));
}
