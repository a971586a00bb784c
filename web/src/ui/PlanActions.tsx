// What can be done with a plan.
import { Alert, Button, Group, Modal, Stack, Text } from '@mantine/core';
import { IconUserExclamation } from '@tabler/icons-react';
import { useState } from 'react';
import { Link } from 'react-router';
import { useOpenApprovals } from '../api/approvals';
import { useStart } from '../api/runs';
import { useWords } from '../i18n';
import { useMay, useOrg } from '../session';
import { Effect, type Plan } from './PlanView';
import { ProblemNote } from './Problem';
import { RunProgress } from './RunProgress';
import { TakeBack } from './TakeBack';

/** Write it, write the rest, or take it back. */
export function PlanActions({ plan }: { plan: Plan }) {
  const { t } = useWords();
  const org = useOrg();
  const mayRun = useMay('runs.write');
  const [asking, setAsking] = useState(false);
  const [run, setRun] = useState<string | null>(null);
  const start = useStart(org);
  const writes = plan.changes.some((change) => change.op !== 'keep');
  const open = plan.state === 'proposed' && writes;
  const again = plan.state === 'partial' || plan.state === 'applying';
  const written = plan.state === 'applied' || plan.state === 'partial';
  const write = () =>
    start.mutate(
      { kind: 'apply', plan_id: plan.plan_id },
      {
        onSuccess: (begun) => {
          setRun(begun.run_id);
          setAsking(false);
        },
      },
    );
  return (
    <Stack gap="sm" align="flex-end">
      <Group gap="sm">
        {written && writes && <TakeBack wish={{ plan_id: plan.plan_id }} />}
        {(open || again) && mayRun && run === null && (
          <Button onClick={() => setAsking(true)}>{t(again ? 'plan.writeRest' : 'plan.write')}</Button>
        )}
      </Group>
      {run !== null && <RunProgress id={run} />}
      <Modal
        opened={asking}
        onClose={() => setAsking(false)}
        title={t('plan.write.title')}
        size="lg"
        closeButtonProps={{ 'aria-label': t('action.close') }}
      >
        <Stack>
          <Text size="sm">{t('plan.write.lead')}</Text>
          <Effect plan={plan} narrow />
          {start.error !== null && <ProblemNote error={start.error} />}
          <Group justify="flex-end">
            <Button variant="default" onClick={() => setAsking(false)}>
              {t('action.cancel')}
            </Button>
            <Button loading={start.isPending} onClick={write} data-autofocus>
              {t('plan.write')}
            </Button>
          </Group>
        </Stack>
      </Modal>
    </Stack>
  );
}

/** Where people have to approve it before it is written. */
export function AsksPeople({ plan }: { plan: Plan }) {
  const { t, tn } = useWords();
  const org = useOrg();
  const open = useOpenApprovals(org, plan.state === 'proposed' || plan.state === 'stale');
  const asked = open.data?.items.find((one) => one.plan_id === plan.plan_id);
  if (asked === undefined) return null;
  return (
    <Alert color="yellow" variant="light" icon={<IconUserExclamation aria-hidden />} title={t('plan.asks')}>
      <Group justify="space-between" gap="sm">
        <Text size="sm">
          {asked.missing > 0 ? tn('approval.missing', asked.missing) : t('approval.state.approved')}
        </Text>
        <Button
          component={Link}
          to={`/o/${org}/approvals/${encodeURIComponent(asked.approval_id)}`}
          size="xs"
          variant="default"
        >
          {t('approval.look')}
        </Button>
      </Group>
    </Alert>
  );
}
