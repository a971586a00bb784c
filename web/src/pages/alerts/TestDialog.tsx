// A test ticket by a rule: made, noted, closed; what is missing is named step by step.
import { Alert, Button, Group, Modal, Stack, Text } from '@mantine/core';
import { IconAlertTriangle, IconCircleCheck } from '@tabler/icons-react';
import { useMutation } from '@tanstack/react-query';
import { useState, type SubmitEvent } from 'react';
import { useWords } from '../../i18n';
import { useOrg } from '../../session';
import { useWord } from '../../ui/Badges';
import { Picker, type Choice } from '../../ui/Picker';
import { ProblemNote, sentence } from '../../ui/Problem';
import { findTargets } from '../mapping/data';
import { EVERY, testTicket, type Test } from './data';
import { TicketLink } from './Marks';
import { useAlertWords } from './words';

export function TestDialog({ opened, close, kind }: { opened: boolean; close: () => void; kind: string | null }) {
  const { t } = useWords();
  return (
    <Modal opened={opened} onClose={close} title={t('alerts.test.title')} size="lg">
      {opened && <Form kind={kind ?? EVERY} close={close} />}
    </Modal>
  );
}

function Form({ kind, close }: { kind: string; close: () => void }) {
  const { t } = useWords();
  const org = useOrg();
  const words = useAlertWords();
  const [company, setCompany] = useState<Choice | null>(null);
  const test = useMutation({
    mutationFn: () => testTicket(org, { kind, company_id: company === null ? null : parseInt(company.value, 10) }),
  });
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    test.mutate();
  };
  return (
    <form onSubmit={submit}>
      <Stack>
        <Text size="sm">{t('alerts.test.lead', { kind: words.kind(kind) })}</Text>
        <Picker
          label={t('alerts.field.company')}
          description={t('alerts.test.company')}
          of={[org, 'customer']}
          find={(search) => findTargets(org, 'customer', search)}
          value={company}
          choose={setCompany}
        />
        {test.error !== null && <ProblemNote error={test.error} />}
        {test.data !== undefined && <Outcome test={test.data} />}
        <Group justify="flex-end">
          <Button variant="default" onClick={close}>
            {t('action.close')}
          </Button>
          <Button type="submit" loading={test.isPending}>
            {t('alerts.test')}
          </Button>
        </Group>
      </Stack>
    </form>
  );
}

function Outcome({ test }: { test: Test }) {
  const { t } = useWords();
  const say = useWord();
  return (
    <Alert
      role="status"
      variant="light"
      color={test.ok ? 'green' : 'red'}
      title={t(test.ok ? 'alerts.test.ok' : 'alerts.test.failed')}
      styles={{ title: { color: 'var(--mantine-color-text)' } }}
    >
      <Stack gap="xs">
        {test.ticket_id != null && <TicketLink ticket={test.ticket_id} />}
        {test.steps.map((step) => (
          <Group key={step.step} gap="xs" wrap="nowrap" align="flex-start">
            {step.ok ? (
              <IconCircleCheck size={18} color="var(--trueup-gain)" aria-label={t('alerts.test.step.ok')} />
            ) : (
              <IconAlertTriangle size={18} color="var(--trueup-loss)" aria-label={t('alerts.test.step.failed')} />
            )}
            <Text size="sm">
              {say('alerts.test.step', step.step)}
              {(!step.ok || step.code != null) && (
                <Text span lang="en">
                  {': '}
                  {sentence(step.message)} {step.code}
                </Text>
              )}
            </Text>
          </Group>
        ))}
      </Stack>
    </Alert>
  );
}
