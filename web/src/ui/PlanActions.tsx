// What can be done with a plan.
import { Alert, Box, Button, Group, Modal, Stack, Text } from '@mantine/core';
import { IconAlertTriangle, IconUserExclamation } from '@tabler/icons-react';
import { useState, type ReactNode } from 'react';
import { Link } from 'react-router';
import { useOpenApprovals, type Approval } from '../api/approvals';
import { useStart } from '../api/runs';
import { useFormats } from '../format';
import { useWords } from '../i18n';
import { useMay, useOrg } from '../session';
import { useWord } from './Badges';
import { Effect, type Plan } from './PlanView';
import { ProblemNote } from './Problem';
import { RunProgress } from './RunProgress';
import { useActor } from './said';
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
  const { asked, isLooking } = useAsked(plan);
  // Who has not been answered yet, or was told no, is not offered what would be refused.
  const open = isWritable(plan) && !isLooking && (asked === undefined || asked.state === 'approved');
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
        {asked !== undefined && asked.state !== 'approved' && (
          <Button component={Link} to={`/o/${org}/approvals/${encodeURIComponent(asked.approval_id)}`}>
            {t('approval.toIt')}
          </Button>
        )}
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

/** What its checks let pass, and what writes something. Whether people are asked is another question. */
export function isWritable(plan: Plan): boolean {
  return plan.state === 'proposed' && plan.changes.some((change) => change.op !== 'keep');
}

/** The question that is open about a plan, once it is known whether there is one. */
function useAsked(plan: Plan): { asked: Approval | undefined; isLooking: boolean } {
  const open = useOpenApprovals(useOrg(), plan.state === 'proposed' || plan.state === 'stale');
  return { asked: open.data?.items.find((one) => one.plan_id === plan.plan_id), isLooking: open.isLoading };
}

/** Why a plan is not written: its checks refused it, or ConnectWise has changed since; and what to do then. */
export function Halted({ plan, again, working }: { plan: Plan; again?: () => void; working?: boolean }) {
  const { t } = useWords();
  const org = useOrg();
  if (plan.state !== 'refused' && plan.state !== 'stale') return null;
  const refused = plan.state === 'refused';
  const tasks = [...new Set(plan.changes.flatMap((one) => (one.role === 'quantity' ? [] : [one.task_id])))];
  const [only] = tasks;
  const to = tasks.length === 1 && only !== undefined ? `tasks/${encodeURIComponent(only)}` : 'tasks';
  return (
    <Notice
      grave={refused}
      icon={<IconAlertTriangle aria-hidden />}
      title={t(refused ? 'plan.refused' : 'plan.stale')}
      action={
        again !== undefined ? (
          <Button size="xs" variant="default" loading={working === true} onClick={again}>
            {t('plan.again')}
          </Button>
        ) : (
          tasks.length > 0 && (
            <Button component={Link} to={`/o/${org}/${to}`} size="xs" variant="default">
              {t(tasks.length === 1 ? 'change.toTask' : 'plans.none.do')}
            </Button>
          )
        )
      }
    >
      <Text size="sm">{t(refused ? 'plan.refused.detail' : 'plan.stale.detail')}</Text>
    </Notice>
  );
}

/** What keeps a plan from being written, beside the way on. */
function Notice(props: { grave: boolean; icon: ReactNode; title: string; action: ReactNode; children: ReactNode }) {
  return (
    <Alert
      color={props.grave ? 'red' : 'yellow'}
      variant="light"
      icon={props.icon}
      title={props.title}
      styles={{ title: { color: 'var(--mantine-color-text)' } }}
    >
      <Group justify="space-between" gap="sm">
        <Box flex="1 1 16rem">{props.children}</Box>
        {props.action}
      </Group>
    </Alert>
  );
}

/** Where people have to approve it before it is written: how many are missing, and who said what and when. */
export function AsksPeople({ plan }: { plan: Plan }) {
  const { t, tn } = useWords();
  const { instant } = useFormats();
  const say = useWord();
  const org = useOrg();
  const who = useActor();
  const { asked } = useAsked(plan);
  if (asked === undefined) return null;
  const refused = asked.state === 'refused';
  return (
    <Notice
      grave={refused}
      icon={<IconUserExclamation aria-hidden />}
      title={t(refused ? 'plan.asks.refused' : 'plan.asks')}
      action={
        <Button
          component={Link}
          to={`/o/${org}/approvals/${encodeURIComponent(asked.approval_id)}`}
          size="xs"
          variant="default"
        >
          {t('approval.look')}
        </Button>
      }
    >
      {asked.answers.map((one) => (
        <Text size="sm" key={`${one.by} ${one.at}`}>
          <b>{who(one.by)}</b> {say('approval.said', one.decision)} · {instant(one.at)}
          {!one.counts && ` (${t('approval.said.old')})`}
          {one.reason != null && `: ${one.reason}`}
        </Text>
      ))}
      <Text size="sm">
        {refused
          ? t('approval.state.refused.detail')
          : asked.missing > 0
            ? tn('approval.missing', asked.missing)
            : t('approval.state.approved')}
      </Text>
    </Notice>
  );
}
