// Which mapping solves a finding.
import type { Names } from '../../api/names';
import { FEE, type Subject } from './data';

export interface Lacking {
  code: string;
  source: string | null;
  customer: string | null;
  product: string | null;
  subscription: string | null;
}

/** The mapping that is missed; none where something else is in the way. */
export function mappingFor(lacking: Lacking, names: Names): Subject | null {
  const { code, source, customer, product, subscription } = lacking;
  if (source === null) return null;
  if (code === 'TU2001' || code === 'TU2002') {
    if (customer === null) return null;
    return { kind: 'customer', source, source_id: customer, name: names.customer(source, customer) };
  }
  if (code === 'TU2003' || code === 'TU2004') {
    if (product === null) return null;
    return { kind: 'product', source, source_id: product, name: names.product(source, product) };
  }
  if (code === 'TU2005') return { kind: 'fee', source, source_id: FEE, name: FEE };
  if (code.startsWith('TU300') && subscription !== null) {
    return { kind: 'agreement', source, source_id: subscription, name: subscription };
  }
  return null;
}
