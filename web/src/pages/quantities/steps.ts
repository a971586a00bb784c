// The steps of a quantity in the reader's language. The API tells each step in English words; what it is, and the value
// after it, stand beside them. Words that are not known here are shown as they come.
import type { Formats } from '../../format';
import type { Key, Words } from '../../i18n';

export interface Step {
  step: string;
  text: string;
  value: string;
}

type Values = Record<string, string>;

const NUMBER = '-?\\d+(?:\\.\\d+)?';
/** Parts of a text that are named `day…` are days, `n…` numbers; the others are words as they are. */
const FORMS: [Key, RegExp][] = [
  ['quantities.step.text.count', form('(?<what>.+): (?<n>N)(?<unit> \\S+)? counted (?<day>.+)')],
  [
    'quantities.step.text.used',
    form('(?<what>.+): (?<n>N)(?<unit> \\S+)? used from (?<dayFrom>\\S+) up to (?<dayUntil>\\S+), the sum of (?<nRecords>N) records'),
  ],
  ['quantities.step.text.unit', form('(?<n>N) / (?<nBytes>N) bytes = (?<nValue>N) (?<unit>\\S+)')],
  ['quantities.step.text.smallest', form('the smallest of (?<all>.+) is (?<nValue>N)')],
  ['quantities.step.text.largest', form('the largest of (?<all>.+) is (?<nValue>N)')],
  ['quantities.step.text.included', form('(?<n>N) are included: (?<nValue>N) remain')],
  ['quantities.step.text.minimum', form('the minimum is (?<n>N)')],
  ['quantities.step.text.maximum', form('the maximum is (?<n>N)')],
  ['quantities.step.text.up', form('(?<n>N) rounded up to .+ = (?<nValue>N)')],
  ['quantities.step.text.down', form('(?<n>N) rounded down to .+ = (?<nValue>N)')],
  ['quantities.step.text.nearest', form('(?<n>N) rounded to the nearest to .+ = (?<nValue>N)')],
  ['quantities.step.text.pack', form('(?<n>N) packs of (?<nSize>N): (?<nValue>N) are billed')],
  ['quantities.step.text.tier', form('(?<n>N) is in the tier from (?<nFrom>N) on: (?<nValue>N) are billed')],
  ['quantities.step.text.below', form('(?<n>N) is below the first tier: nothing is billed')],
  ['quantities.step.text.ratio', form('(?<nOf>N) for every (?<nPer>N) of (?<n>N): (?<nValue>N)')],
];

function form(text: string): RegExp {
  return new RegExp(`^${text.replaceAll('N', NUMBER)}$`);
}

/** What a step did, with the numbers as the reader writes them. */
export function stepText(step: Step, { t }: Pick<Words, 't'>, { quantity, day }: Pick<Formats, 'quantity' | 'day'>): string {
  for (const [key, pattern] of FORMS) {
    const parts = pattern.exec(step.text)?.groups;
    if (parts === undefined) continue;
    const values: Values = {};
    for (const [name, text] of Object.entries(parts as Record<string, string | undefined>)) {
      const part = text ?? '';
      if (name.startsWith('n')) values[name] = quantity(part);
      else if (name.startsWith('day')) values[name] = day(part);
      else values[name] = part;
    }
    return t(key, values);
  }
  // Sums and what is taken away are numbers with signs between them, which need no words.
  return step.text.replace(new RegExp(`(?<![\\w.-])${NUMBER}(?![\\w.-])`, 'g'), (number) => quantity(number));
}
