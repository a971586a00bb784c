// What is decided about tasks: leaving out, taking in again, trying again.
import { Button, Group, Modal, Stack, Text, Textarea } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useState, type SubmitEvent } from 'react';
import { answer, api, type Schemas } from '../../api/client';
import { useWords } from '../../i18n';
import { useMay, useOrg } from '../../session';
import { withoutCommands } from '../../ui/plain';
import { ProblemNote, sentence } from '../../ui/Problem';

type Task = Schemas['TaskDoc'];
type Decision = 'ignore' | 'unignore' | 'retry';

const BASE = '/api/v1/organizations/{org}';

export function Selected({ chosen, rows, done }: { chosen: Set<string>; rows: Task[]; done: () => void }) {
  const { t, tn } = useWords();
  const mayDecide = useMay('tasks.write');
  const [ignoring, setIgnoring] = useState(false);
  const decide = useDecide();
  if (chosen.size === 0 || !mayDecide) return null;
  const tasks = rows.filter((task) => chosen.has(task.task_id));
  const some = (...states: string[]) => tasks.some((task) => states.includes(task.state));
  const act = (decision: Decision, reason?: string) =>
    decide.mutate(
      { ids: [...chosen], decision, reason },
      {
        onSuccess: () => {
          setIgnoring(false);
          done();
        },
      },
    );
  return (
    <Stack gap="xs" px="md" py="sm" className="line">
      <Group gap="sm" role="toolbar" aria-label={tn('tasks.selected', chosen.size)}>
        <Text size="sm" fw={500} aria-live="polite">
          {tn('tasks.selected', chosen.size)}
        </Text>
        <Button size="xs" variant="default" onClick={() => setIgnoring(true)}>
          {t('tasks.ignore')}
        </Button>
        {some('ignored') && (
          <Button size="xs" variant="default" loading={decide.isPending} onClick={() => act('unignore')}>
            {t('tasks.unignore')}
          </Button>
        )}
        {some('failed', 'in_doubt', 'blocked', 'needs_mapping') && (
          <Button size="xs" variant="default" loading={decide.isPending} onClick={() => act('retry')}>
            {t('tasks.retry')}
          </Button>
        )}
      </Group>
      {decide.error !== null && !ignoring && <ProblemNote error={decide.error} />}
      <IgnoreDialog
        count={chosen.size}
        opened={ignoring}
        close={() => setIgnoring(false)}
        working={decide.isPending}
        error={decide.error}
        ignore={(reason) => act('ignore', reason)}
      />
    </Stack>
  );
}

export function useDecide() {
  const { t, tn } = useWords();
  const org = useOrg();
  const client = useQueryClient();
  return useMutation({
    mutationFn: (wish: { ids: string[]; decision: Decision; reason?: string | undefined }) => {
      const body = { ids: wish.ids, decision: wish.decision, reason: wish.reason ?? null };
      return answer(api.POST(`${BASE}/tasks/decide`, { params: { path: { org } }, body }));
    },
    onSuccess: (done) => {
      void client.invalidateQueries();
      if (done.tasks.length > 0) {
        notifications.show({ color: 'green', message: tn('tasks.decided', done.tasks.length) });
      }
      if (done.refused.length > 0) {
        notifications.show({
          color: 'yellow',
          title: t('tasks.refused'),
          message: [...new Set(done.refused.map((one) => sentence(withoutCommands(one.detail))))].slice(0, 3).join(' '),
          autoClose: 10_000,
        });
      }
    },
  });
}

export function IgnoreDialog(props: {
  count: number;
  opened: boolean;
  close: () => void;
  working: boolean;
  error: unknown;
  ignore: (reason: string) => void;
}) {
  const { t, tn } = useWords();
  const [reason, setReason] = useState('');
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    props.ignore(reason);
  };
  return (
    <Modal
      opened={props.opened}
      onClose={props.close}
      title={tn('tasks.ignore.title', props.count)}
      closeButtonProps={{ 'aria-label': t('action.close') }}
    >
      <form onSubmit={submit}>
        <Stack>
          <Text size="sm">{t('tasks.ignore.lead')}</Text>
          <Textarea
            label={t('tasks.reason')}
            value={reason}
            onChange={(event) => setReason(event.currentTarget.value)}
            autosize
            minRows={2}
            maxLength={500}
            required
            data-autofocus
          />
          {props.error != null && <ProblemNote error={props.error} />}
          <Group justify="flex-end">
            <Button variant="default" onClick={props.close}>
              {t('action.cancel')}
            </Button>
            <Button type="submit" loading={props.working} disabled={reason.trim() === ''}>
              {t('tasks.ignore')}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}

