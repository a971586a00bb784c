// Every text of the console, a file an area. What is counted has two keys: `..._one` and `..._other`.
import { alerts } from './en/alerts';
import { approvals } from './en/approvals';
import { audit } from './en/audit';
import { base } from './en/base';
import { codes } from './en/codes';
import { flow } from './en/flow';
import { jobs } from './en/jobs';
import { manage } from './en/manage';
import { mapping } from './en/mapping';
import { plans } from './en/plans';
import { quantities } from './en/quantities';
import { settings } from './en/settings';
import { webhooks } from './en/webhooks';

export const en = {
  ...alerts,
  ...approvals,
  ...audit,
  ...base,
  ...codes,
  ...flow,
  ...jobs,
  ...manage,
  ...mapping,
  ...plans,
  ...quantities,
  ...settings,
  ...webhooks,
} as const;

export type Key = keyof typeof en;
export type Catalogue = Record<Key, string>;
