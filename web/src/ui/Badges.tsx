import { Badge, type MantineColor } from '@mantine/core';
import { useWords, type Key } from '../i18n';
import { en } from '../i18n/en';

const STATES: Record<string, MantineColor> = {
  new: 'gray',
  needs_mapping: 'yellow',
  ready: 'cyan',
  planned: 'indigo',
  applying: 'indigo',
  done: 'green',
  failed: 'red',
  in_doubt: 'orange',
  ignored: 'gray',
  blocked: 'gray',
};

const SEVERITIES: Record<string, MantineColor> = { error: 'red', warning: 'yellow', info: 'gray' };
const FINDINGS: Record<string, MantineColor> = {
  open: 'red',
  recurred: 'red',
  muted: 'gray',
  ignored: 'gray',
  resolved: 'green',
};
const RUNS: Record<string, MantineColor> = {
  queued: 'gray',
  running: 'cyan',
  done: 'green',
  needs_person: 'yellow',
  failed: 'red',
};
const JOBS: Record<string, MantineColor> = { queued: 'gray', running: 'cyan', success: 'green', error: 'red' };
const APPROVALS: Record<string, MantineColor> = {
  waiting: 'yellow',
  approved: 'cyan',
  refused: 'red',
  applied: 'green',
  stale: 'gray',
  withdrawn: 'gray',
};
const PLANS: Record<string, MantineColor> = {
  proposed: 'indigo',
  applying: 'cyan',
  applied: 'green',
  partial: 'orange',
  stale: 'gray',
  refused: 'red',
};
const VERDICTS: Record<string, MantineColor> = {
  equal: 'green',
  update: 'indigo',
  create: 'cyan',
  adopt: 'cyan',
  end: 'orange',
  held: 'yellow',
  refused: 'red',
};
const ASSIGNED: Record<string, MantineColor> = { assigned: 'green', not_assigned: 'gray', open: 'yellow' };
const DELIVERIES: Record<string, MantineColor> = { waiting: 'cyan', done: 'green', failed: 'red' };

/** The catalogue's word for a word of the API; one that it does not know yet is shown as it is. */
export function useWord(): (family: string, word: string) => string {
  const { t } = useWords();
  return (family, word) => {
    const key = `${family}.${word}`;
    return key in en ? t(key as Key) : word;
  };
}

function Word({ family, word, colors }: { family: string; word: string; colors: Record<string, MantineColor> }) {
  const say = useWord();
  return (
    <Badge color={colors[word] ?? 'gray'} variant="light" tt="none" fw={500} radius="sm" className="badge">
      {say(family, word)}
    </Badge>
  );
}

export const TaskState = ({ state }: { state: string }) => <Word family="state" word={state} colors={STATES} />;
export const SeverityBadge = ({ severity }: { severity: string }) => (
  <Word family="severity" word={severity} colors={SEVERITIES} />
);
export const FindingState = ({ state }: { state: string }) => (
  <Word family="finding" word={state} colors={FINDINGS} />
);
export const RunState = ({ state }: { state: string }) => <Word family="run.state" word={state} colors={RUNS} />;
export const PlanState = ({ state }: { state: string }) => <Word family="plan.state" word={state} colors={PLANS} />;
export const ApprovalState = ({ state }: { state: string }) => (
  <Word family="approval.state" word={state} colors={APPROVALS} />
);
export const JobState = ({ state }: { state: string }) => <Word family="job.state" word={state} colors={JOBS} />;
export const DeliveryState = ({ state }: { state: string }) => (
  <Word family="delivery.state" word={state} colors={DELIVERIES} />
);
export const Verdict = ({ verdict }: { verdict: string }) => (
  <Word family="verdict" word={verdict} colors={VERDICTS} />
);
export const Assigned = ({ state }: { state: string }) => (
  <Word family="quantities.state" word={state} colors={ASSIGNED} />
);
