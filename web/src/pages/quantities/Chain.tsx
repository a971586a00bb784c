// "Why is this 8?": how a quantity came about, step by step.
import { Code, Text } from '@mantine/core';
import { useFormats } from '../../format';
import { useWords } from '../../i18n';
import { useWord } from '../../ui/Badges';
import { sentence } from '../../ui/Problem';
import type { Line } from './data';
import { stepText, type Step } from './steps';

export function Chain({ line }: { line: Line }) {
  const words = useWords();
  const formats = useFormats();
  const { t } = words;
  const say = useWord();
  const steps = line.steps as unknown as Step[];
  return (
    <div className="why">
      {(line.code != null || steps.length === 0) && (
        <Text size="sm" mb="xs" lang="en">
          {sentence(line.why)} {line.code != null && <Code>{line.code}</Code>}
        </Text>
      )}
      {steps.length > 0 && (
        <ol className="chain" aria-label={t('quantities.why')}>
          {steps.map((step, at) => (
            <li key={`${at} ${step.step}`}>
              <span className="step">{say('quantities.step', step.step)}</span>
              <span className="text">{stepText(step, words, formats)}</span>
              <span className="num">{formats.quantity(step.value)}</span>
            </li>
          ))}
          <li className="result">
            <span className="step">{t('quantities.result')}</span>
            <span className="text">
              {line.as_of != null && t('quantities.asOf', { when: formats.instant(line.as_of) })}
            </span>
            <span className="num">{line.wanted == null ? '–' : formats.quantity(line.wanted)}</span>
          </li>
        </ol>
      )}
    </div>
  );
}
