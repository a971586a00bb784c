import { approvals } from './de/approvals';
import { base } from './de/base';
import { codes } from './de/codes';
import { mapping } from './de/mapping';
import { plans } from './de/plans';
import type { Catalogue } from './en';

export const de: Catalogue = { ...approvals, ...base, ...codes, ...mapping, ...plans };
