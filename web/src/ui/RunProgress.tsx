import { Anchor, Group, Loader, Progress, Stack, Text } from '@mantine/core';
import { IconAlertTriangle, IconCircleCheck, IconUserExclamation } from '@tabler/icons-react';
import type { ReactNode } from 'react';
import { Link } from 'react-router';
import { isOver, useRun, type Run } from '../api/runs';
import { isProblem } from '../api/client';
import { useFormats } from '../format';
import { useWords } from '../i18n';
import { useOrg } from '../session';
import { RunState, useWord } from './Badges';
import { ProblemNote } from './Problem';

/** A run under way, in one line; at its end, what came out. */
export function RunProgress({ id, onClose }: { id: string; onClose?: () => void }) {
  const { t } = useWords();
  const run = useRun(useOrg(), id);
  if (run === null) {
    return (
      <Group gap="sm" className="panel" p="md" role="status">
        <Loader size="xs" aria-hidden />
        <Text size="sm">{t('run.state.queued')}</Text>
      </Group>
    );
  }
  return (
    <Stack gap="sm" className="panel" p="md" role="status">
      <Outline run={run}>
        {onClose !== undefined && isOver(run) && (
          <Anchor component="button" type="button" size="sm" onClick={onClose}>
            {t('action.close')}
          </Anchor>
        )}
      </Outline>
      {!isOver(run) && (
        <Progress
          value={run.total > 0 ? (run.done * 100) / run.total : 100}
          animated={run.total === 0}
          aria-label={t('run.state.running')}
          size="sm"
        />
      )}
      <RunResult run={run} />
    </Stack>
  );
}

function Outline({ run, children }: { run: Run; children: ReactNode }) {
  const { t } = useWords();
  const { count } = useFormats();
  const say = useWord();
  return (
    <Group justify="space-between" gap="sm">
      <Group gap="xs">
        <Mark run={run} />
        <Text size="sm" fw={500}>
          {say('run', run.kind)}
        </Text>
        <RunState state={run.state} />
        {!isOver(run) && run.total > 0 && (
          <Text size="sm" c="dimmed">
            {t('run.progress', { done: count(run.done), total: count(run.total) })}
          </Text>
        )}
      </Group>
      {children}
    </Group>
  );
}

function Mark({ run }: { run: Run }) {
  if (run.state === 'done') return <IconCircleCheck size={18} color="var(--trueup-gain)" aria-hidden />;
  if (run.state === 'failed') return <IconAlertTriangle size={18} color="var(--trueup-loss)" aria-hidden />;
  if (run.state === 'needs_person') return <IconUserExclamation size={18} aria-hidden />;
  return <Loader size="xs" aria-hidden />;
}

type Fields = Record<string, unknown>;

function fieldsOf(value: unknown): Fields {
  return typeof value === 'object' && value !== null ? (value as Fields) : {};
}

/** What came out, as far as a line can tell. */
export function RunResult({ run }: { run: Run }) {
  const { t } = useWords();
  const org = useOrg();
  if (!isOver(run) || run.result == null) return null;
  const result = fieldsOf(run.result);
  if (isProblem(result)) return <ProblemNote error={result} />;
  const plan = result['plan_id'];
  const numbers = [result['summary'], result['counts'], result].flatMap((one) => Object.entries(fieldsOf(one)));
  // A check lists the tasks that it made or moved.
  const lists = (['created', 'moved'] as const).flatMap((key): [string, number][] => {
    const list = result[key];
    return Array.isArray(list) ? [[key, list.length]] : [];
  });
  const counts = [...lists, ...numbers.filter((entry): entry is [string, number] => typeof entry[1] === 'number')];
  return (
    <Stack gap={4}>
      {counts.length > 0 && <Counts counts={counts} />}
      {typeof plan === 'string' && (
        <Anchor component={Link} to={`/o/${org}/plans/${encodeURIComponent(plan)}`} size="sm">
          {t('run.toPlan')}
        </Anchor>
      )}
      {run.kind === 'quantity' && (
        <Anchor component={Link} to={`/o/${org}/quantities?tab=lines`} size="sm">
          {t('run.toQuantities')}
        </Anchor>
      )}
    </Stack>
  );
}

function Counts({ counts }: { counts: [string, number][] }) {
  const { count } = useFormats();
  const say = useWord();
  const told = counts.filter(([, n]) => n > 0).map(([word, n]) => `${say('run.count', word)}: ${count(n)}`);
  const { t } = useWords();
  return <Text size="sm">{told.length > 0 ? told.join(' · ') : t('run.nothing')}</Text>;
}
