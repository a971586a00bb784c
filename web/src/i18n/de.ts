import { base } from './de/base';
import { plans } from './de/plans';
import type { Catalogue } from './en';

export const de: Catalogue = { ...base, ...plans };
