// Where somebody is in a way of several steps.
import { IconCheck } from '@tabler/icons-react';
import type { ReactNode } from 'react';
import { useWords } from '../i18n';

export interface Step {
  key: string;
  label: string;
  state: 'done' | 'now' | 'next' | 'skipped';
  /** What came of it, or why it was skipped. */
  note?: ReactNode;
}

export function Steps({ label, steps }: { label: string; steps: Step[] }) {
  const { t } = useWords();
  return (
    <ol className="steps" aria-label={label}>
      {steps.map((step, at) => (
        <li key={step.key} data-state={step.state} aria-current={step.state === 'now' ? 'step' : undefined}>
          <span className="mark" aria-hidden>
            {step.state === 'done' || step.state === 'skipped' ? <IconCheck size={14} stroke={2.4} /> : at + 1}
          </span>
          <span>
            <span className="name">{step.label}</span>
            {(step.state === 'done' || step.state === 'skipped') && <span className="hidden">, {t('step.done')}</span>}
            {step.note !== undefined && <span className="note">{step.note}</span>}
          </span>
        </li>
      ))}
    </ol>
  );
}
