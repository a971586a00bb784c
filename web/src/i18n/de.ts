import { alerts } from './de/alerts';
import { approvals } from './de/approvals';
import { audit } from './de/audit';
import { base } from './de/base';
import { codes } from './de/codes';
import { flow } from './de/flow';
import { jobs } from './de/jobs';
import { manage } from './de/manage';
import { mapping } from './de/mapping';
import { plans } from './de/plans';
import { quantities } from './de/quantities';
import { settings } from './de/settings';
import { webhooks } from './de/webhooks';
import type { Catalogue } from './en';

export { causes } from './de/causes';

export const de: Catalogue = {
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
};
