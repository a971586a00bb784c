// One question to people: why they are asked, exactly what would be written, and their answers.
import { Alert, Badge, Box, Button, Group, SimpleGrid, Stack, Text, Textarea } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { IconCircleCheck, IconCircleX } from '@tabler/icons-react';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useRef, useState } from 'react';
import { Link, useParams } from 'react-router';
import type { Approval } from '../api/approvals';
import { answer, api, queries } from '../api/client';
import type { Names } from '../api/names';
import { useFormats } from '../format';
import { useWords, type Key } from '../i18n';
import { useMay, useOrg, useSession } from '../session';
import { ApprovalState, useWord } from '../ui/Badges';
import { Empty, Page, Panel, Waiting } from '../ui/Page';
import { PlanView, usePlan, type Plan } from '../ui/PlanView';
import { ProblemNote } from '../ui/Problem';
import { RunProgress } from '../ui/RunProgress';
import { useActor, useSaid } from '../ui/said';

const BASE = '/api/v1/organizations/{org}';

export default function ApprovalPage() {
  const who = useActor();
  const { t } = useWords();
  const { instant } = useFormats();
  const org = useOrg();
  const { approval: id = '' } = useParams();
  const params = { params: { path: { org, approval: id } } };
  const found = queries.useQuery('get', `${BASE}/approvals/{approval}`, params);
  const [run, setRun] = useState<string | null>(null);
  const asked = found.data;
  const plan = usePlan(org, asked?.plan_state == null ? null : asked.plan_id, false);
  if (asked === undefined) {
    return (
      <Page title={t('approval.title')}>
        {found.error === null ? (
          <Box className="panel">
            <Waiting rows={8} />
          </Box>
        ) : (
          <ProblemNote error={found.error} retry={() => void found.refetch()} />
        )}
      </Page>
    );
  }
  const waits = asked.state === 'waiting' || asked.state === 'refused';
  return (
    <Page
      title={t('approval.title')}
      lead={
        <Group gap="xs">
          <ApprovalState state={asked.state} />
          <span>{t('approval.asked', { when: instant(asked.asked_at), actor: who(asked.made_by) })}</span>
        </Group>
      }
      actions={
        asked.plan_state != null && (
          <Button component={Link} to={`/o/${org}/plans/${encodeURIComponent(asked.plan_id)}`} variant="default">
            {t('run.toPlan')}
          </Button>
        )
      }
    >
      {run !== null && <RunProgress id={run} />}
      <StateNote state={asked.state} />
      <SimpleGrid cols={{ base: 1, md: 2 }} spacing="lg">
        <Why asked={asked} plan={plan.data?.plan} names={plan.data?.names} />
        <Stack gap="lg">
          <People asked={asked} />
          {waits && <Answer asked={asked} started={setRun} />}
        </Stack>
      </SimpleGrid>
      {asked.plan_state == null ? (
        <Box className="panel">
          <Empty title={t('approval.gone')} />
        </Box>
      ) : plan.data === undefined ? (
        plan.error === null ? (
          <Box className="panel">
            <Waiting rows={8} />
          </Box>
        ) : (
          <ProblemNote error={plan.error} retry={() => void plan.refetch()} />
        )
      ) : (
        <PlanView plan={plan.data.plan} names={plan.data.names} />
      )}
    </Page>
  );
}

const NOTED: Record<string, Key> = {
  refused: 'approval.state.refused.detail',
  stale: 'approval.state.stale.detail',
  withdrawn: 'approval.state.withdrawn.detail',
};

function StateNote({ state }: { state: string }) {
  const { t } = useWords();
  const note = NOTED[state];
  if (note === undefined) return null;
  return (
    <Alert variant="light" color="gray">
      <Text size="sm">{t(note)}</Text>
    </Alert>
  );
}

/** The customer of a reason by name: the API's words have ids alone. */
function nameOf(message: string, plan: Plan | undefined, names: Names | undefined): string | null {
  const change = plan?.changes.find((one) =>
    message.startsWith(`Subscription ${one.subscription_id} of customer ${one.customer_id} `),
  );
  if (change === undefined || names === undefined) return null;
  return names.customer(change.source, change.customer_id);
}

function Why({ asked, plan, names }: { asked: Approval; plan: Plan | undefined; names: Names | undefined }) {
  const { t } = useWords();
  const { said } = useSaid();
  const say = useWord();
  return (
    <Panel title={t('approval.why')} flush>
      {asked.reasons.map((reason, at) => {
        const name = nameOf(reason.message, plan, names);
        return (
          <Box key={`${at} ${reason.message}`} className="line" px="lg" py="sm">
            <Group gap="xs" justify="space-between" wrap="nowrap" align="flex-start">
              <Text size="sm" fw={500}>
                {name ?? say('approval.limit', reason.limit)}
              </Text>
              {name !== null && (
                <Badge variant="light" color="yellow" tt="none" fw={500} radius="sm" className="badge">
                  {say('approval.limit', reason.limit)}
                </Badge>
              )}
            </Group>
            <Text size="sm" c="dimmed" lang="en">
              {said(reason.message)}
            </Text>
          </Box>
        );
      })}
    </Panel>
  );
}

function People({ asked }: { asked: Approval }) {
  const who = useActor();
  const { t, tn } = useWords();
  const { instant, count } = useFormats();
  const say = useWord();
  const given = asked.persons - asked.missing;
  const waits = asked.missing > 0 && asked.state === 'waiting';
  return (
    <Panel
      title={t('approval.people')}
      aside={
        <Text size="sm" fw={600} className="num">
          {t('approval.people.count', { given: count(given), asked: count(asked.persons) })}
        </Text>
      }
      flush
    >
      {asked.answers.map((one) => (
        <Group key={`${one.by} ${one.at}`} className="line" px="lg" py="sm" gap="sm" wrap="nowrap" align="flex-start">
          {one.decision === 'approve' ? (
            <IconCircleCheck size={18} color="var(--trueup-gain)" aria-hidden style={{ flexShrink: 0 }} />
          ) : (
            <IconCircleX size={18} color="var(--trueup-loss)" aria-hidden style={{ flexShrink: 0 }} />
          )}
          <Box>
            <Text size="sm">
              <b>{who(one.by)}</b> {say('approval.said', one.decision)}
              {!one.counts && ` (${t('approval.said.old')})`}
            </Text>
            {one.reason != null && <Text size="sm">{one.reason}</Text>}
            <Text size="xs" c="dimmed">
              {instant(one.at)}
            </Text>
          </Box>
        </Group>
      ))}
      {(asked.answers.length === 0 || waits) && (
        <Text size="sm" c="dimmed" px="lg" py="sm">
          {asked.answers.length === 0 && `${t('approval.people.none')} `}
          {waits && tn('approval.missing', asked.missing)}
        </Text>
      )}
    </Panel>
  );
}

/** Approve or refuse, with a comment. */
function Answer({ asked, started }: { asked: Approval; started: (run: string) => void }) {
  const { t } = useWords();
  const org = useOrg();
  const client = useQueryClient();
  const { actor } = useSession();
  const may = useMay('approvals.write');
  const [comment, setComment] = useState('');
  const [missing, setMissing] = useState(false);
  const field = useRef<HTMLTextAreaElement>(null);
  const settings = queries.useQuery('get', `${BASE}/settings`, { params: { path: { org } } }, { enabled: may });
  const decide = useMutation({
    mutationFn: (decision: 'approve' | 'refuse') =>
      answer(
        api.POST(`${BASE}/approvals/{approval}/decide`, {
          params: { path: { org, approval: asked.approval_id } },
          body: { decision, reason: comment.trim() === '' ? null : comment },
        }),
      ),
    onSuccess: (now) => {
      setComment('');
      notifications.show({ color: 'green', message: t('approval.answered') });
      if (now.run_id != null) started(now.run_id);
      void client.invalidateQueries({ predicate: (query) => query.queryKey[0] !== 'session' });
    },
  });
  const bySelf = settings.data?.items.find((one) => one.key === 'approval.self')?.value !== 'off';
  // The name may be followed by the day that somebody works as if it were.
  const isOwn = (name: string) => name === actor || name.startsWith(`${actor}, `);
  const made = isOwn(asked.made_by);
  const said = asked.answers.some((one) => isOwn(one.by) && one.decision === 'approve' && one.counts);
  if (!may) {
    return (
      <Panel>
        <Text size="sm" c="dimmed">
          {t('approval.noRight')}
        </Text>
      </Panel>
    );
  }
  const held = said ? 'approval.yours' : made && !bySelf ? 'approval.maker' : null;
  const refuse = () => {
    if (comment.trim() === '') {
      setMissing(true);
      field.current?.focus();
      return;
    }
    decide.mutate('refuse');
  };
  return (
    <Panel title={t('approval.answer')}>
      <Stack gap="sm">
        <Text size="sm" c="dimmed">
          {t('approval.answer.lead')}
        </Text>
        {held !== null && <Text size="sm">{t(held)}</Text>}
        {held === null && asked.missing === 1 && (
          <Text size="sm" fw={500}>
            {t('approval.answer.last')}
          </Text>
        )}
        <Textarea
          ref={field}
          label={t('approval.comment')}
          description={t('approval.comment.hint')}
          value={comment}
          onChange={(event) => {
            setComment(event.currentTarget.value);
            setMissing(false);
          }}
          error={missing ? t('approval.comment.needed') : undefined}
          autosize
          minRows={2}
          maxLength={500}
        />
        {decide.error !== null && <ProblemNote error={decide.error} />}
        <Group justify="flex-end">
          <Button
            variant="default"
            loading={decide.isPending && decide.variables === 'refuse'}
            disabled={decide.isPending}
            onClick={refuse}
          >
            {t('approval.refuse')}
          </Button>
          {held === null && (
            <Button
              loading={decide.isPending && decide.variables === 'approve'}
              disabled={decide.isPending}
              onClick={() => decide.mutate('approve')}
            >
              {t('approval.approve')}
            </Button>
          )}
        </Group>
      </Stack>
    </Panel>
  );
}
