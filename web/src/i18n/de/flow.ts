import type { flow as en } from '../en/flow';

export const flow: Record<keyof typeof en, string> = {
  'step.done': 'erledigt',
};
