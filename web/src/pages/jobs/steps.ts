import { useWords } from '../../i18n';
import type { Step } from '../../ui/Steps';

const ORDER = ['choose', 'validate', 'upload'] as const;

/** Choose, validate, upload: as far as somebody has come. `over` marks the present step as done, too. */
export function useJobSteps(now: (typeof ORDER)[number], over = false): Step[] {
  const { t } = useWords();
  const at = ORDER.indexOf(now);
  return ORDER.map((key, n) => ({
    key,
    label: t(`job.step.${key}`),
    state: n < at || (n === at && over) ? 'done' : n === at ? 'now' : 'next',
  }));
}
