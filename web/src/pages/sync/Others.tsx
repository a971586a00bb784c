// Somebody else at the same task: what they computed or wrote stands beside what is looked at here.
import { Alert, Button, Group, Text } from '@mantine/core';
import { IconUserExclamation } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import { answer, api } from '../../api/client';
import { useFormats } from '../../format';
import { useWords } from '../../i18n';
import { useActor } from '../../ui/said';
import type { Plan } from '../../ui/PlanView';

const BASE = '/api/v1/organizations/{org}';
const LOOK_MS = 15_000;

/** What somebody else did with the task since a plan was computed for it. */
export interface OtherWork {
  actor: string;
  at: string;
  /** Whether the task is over by it. */
  over: boolean;
}

/** Nothing where the plan is still the one that answers the task. */
export async function loadOtherWork(org: string, task: string, mine: Plan): Promise<OtherWork | null> {
  const now = await answer(api.GET(`${BASE}/tasks/{task}`, { params: { path: { org, task } } }));
  if (now.plan_id == null || now.plan_id === mine.plan_id) return null;
  const path = { org, plan: now.plan_id };
  const theirs = await answer(api.GET(`${BASE}/plans/{plan}`, { params: { path } }));
  if (theirs.created_at < mine.created_at) return null;
  const over = now.task.state === 'done' || now.task.state === 'ignored';
  return { actor: theirs.actor, at: theirs.created_at, over };
}

/** Looks from time to time, as long as something is shown that could be written. */
export function useOtherWork(org: string, task: string, mine: Plan | null) {
  return useQuery({
    queryKey: ['other-work', org, task, mine?.plan_id ?? ''],
    queryFn: () => (mine === null ? null : loadOtherWork(org, task, mine)),
    enabled: mine !== null,
    refetchInterval: LOOK_MS,
    staleTime: 0,
  });
}

export function Others({ work, again, working }: { work: OtherWork; again: () => void; working: boolean }) {
  const { t } = useWords();
  const { instant } = useFormats();
  const who = useActor();
  return (
    <Alert
      color="yellow"
      variant="light"
      role="alert"
      icon={<IconUserExclamation aria-hidden />}
      title={t('sync.others', { actor: who(work.actor), when: instant(work.at) })}
      styles={{ title: { color: 'var(--mantine-color-text)' } }}
    >
      <Group justify="space-between" gap="sm">
        <Text size="sm" flex="1 1 16rem">
          {t(work.over ? 'sync.others.over' : 'sync.others.detail')}
        </Text>
        {!work.over && (
          <Button size="xs" variant="default" loading={working} onClick={again}>
            {t('sync.others.show')}
          </Button>
        )}
      </Group>
    </Alert>
  );
}
