// Releasing a mapping: first everything that hangs on it is shown, then exactly that is released.
import { Box, Button, Checkbox, Group, Modal, Stack, Text, Textarea } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useState, type SubmitEvent } from 'react';
import { answer, api, type Schemas } from '../../api/client';
import { useFormats } from '../../format';
import { useWords } from '../../i18n';
import { useOrg } from '../../session';
import { TaskState, useWord } from '../../ui/Badges';
import { Waiting } from '../../ui/Page';
import { ProblemNote } from '../../ui/Problem';
import type { Subject } from './data';

const PATH = '/api/v1/organizations/{org}/mappings/release';
/** More are counted, not listed. */
const LISTED = 50;

export function ReleaseDialog({ subject, close }: { subject: Subject | null; close: () => void }) {
  const { t } = useWords();
  return (
    <Modal
      opened={subject !== null}
      onClose={close}
      title={subject === null ? '' : t('mapping.release.title', { name: subject.name })}
      size="lg"
      closeButtonProps={{ 'aria-label': t('action.close') }}
    >
      {subject !== null && <Form key={`${subject.source}/${subject.source_id}`} subject={subject} close={close} />}
    </Modal>
  );
}

function Form({ subject, close }: { subject: Subject; close: () => void }) {
  const { t } = useWords();
  const org = useOrg();
  const client = useQueryClient();
  const [cascade, setCascade] = useState(false);
  const [reason, setReason] = useState('');
  const { kind, source, source_id } = subject;
  const scope = subject.scope ?? '';
  const impact = useQuery({
    queryKey: ['impact', org, kind, source, source_id, scope, cascade],
    queryFn: () => {
      const query = { kind, source, source_id, scope, cascade };
      return answer(api.GET(PATH, { params: { path: { org }, query } }));
    },
    staleTime: 0,
  });
  const release = useMutation({
    mutationFn: (token: string) => {
      const body = { kind, source, source_id, scope, cascade, token, reason };
      return answer(api.POST(PATH, { params: { path: { org } }, body }));
    },
    onSuccess: () => {
      close();
      notifications.show({ color: 'green', message: t('mapping.released') });
      void client.invalidateQueries();
    },
    // Something moved since it was shown: it is shown anew.
    onError: () => void impact.refetch(),
  });
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    if (impact.data !== undefined) release.mutate(impact.data.token);
  };
  return (
    <form onSubmit={submit}>
      <Stack>
        <Text size="sm">{t('mapping.release.lead')}</Text>
        <Checkbox
          label={t('mapping.release.cascade')}
          checked={cascade}
          onChange={(event) => setCascade(event.currentTarget.checked)}
        />
        {impact.data !== undefined ? (
          <Impact impact={impact.data} />
        ) : impact.error === null ? (
          <Waiting rows={3} />
        ) : (
          <ProblemNote error={impact.error} retry={() => void impact.refetch()} />
        )}
        <Textarea
          label={t('tasks.reason')}
          value={reason}
          onChange={(event) => setReason(event.currentTarget.value)}
          autosize
          minRows={2}
          maxLength={1000}
          required
        />
        {release.error !== null && <ProblemNote error={release.error} />}
        <Group justify="flex-end">
          <Button variant="default" onClick={close}>
            {t('action.cancel')}
          </Button>
          <Button
            type="submit"
            color="red"
            loading={release.isPending}
            disabled={reason.trim() === '' || impact.data === undefined}
          >
            {t('mapping.release')}
          </Button>
        </Group>
      </Stack>
    </form>
  );
}

function Impact({ impact }: { impact: Schemas['ImpactDoc'] }) {
  const { t, tn } = useWords();
  const { quantity } = useFormats();
  const say = useWord();
  return (
    <Stack gap="sm" className="panel" p="md">
      <Text size="sm" fw={500}>
        {tn('mapping.release.mappings', impact.mappings.length)}
      </Text>
      <Box component="ul" className="plainlist">
        {impact.mappings.slice(0, LISTED).map((one) => (
          <li key={`${one.kind} ${one.source_id} ${one.scope}`}>
            {say('mapping.kind', one.kind)}: {one.source_id} {one.psa_id != null && `→ #${one.psa_id}`}
          </li>
        ))}
      </Box>
      <Text size="sm" fw={500}>
        {tn('mapping.release.tasks', impact.tasks.length)}
      </Text>
      <Box component="ul" className="plainlist">
        {impact.tasks.slice(0, LISTED).map((task) => (
          <li key={task.id}>
            {task.subscription} <TaskState state={task.state} />
          </li>
        ))}
      </Box>
      <Text size="sm" fw={500}>
        {tn('mapping.release.lines', impact.lines.length)}
      </Text>
      <Box component="ul" className="plainlist">
        {impact.lines.slice(0, LISTED).map((line) => (
          <li key={line.addition_id}>
            #{line.addition_id}: {quantity(line.quantity)} × {line.product}, {line.subscription}
          </li>
        ))}
      </Box>
      <Text size="xs" c="dimmed">
        {t('mapping.release.stays')}
      </Text>
    </Stack>
  );
}
