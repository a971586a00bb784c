// One run: followed while it goes on; at its end every line with what became of it, and the way back.
import { Box, Button, Group, Stack, Text } from '@mantine/core';
import { useState } from 'react';
import { useQuery } from '@tanstack/react-query';
import { useParams } from 'react-router';
import { answer, api, type Schemas } from '../api/client';
import { isOver, useRun, type Run } from '../api/runs';
import { useFormats } from '../format';
import { useWords } from '../i18n';
import { useOrg } from '../session';
import { RunState, useWord } from '../ui/Badges';
import { Changes } from '../ui/Changes';
import { FindingList } from '../ui/Findings';
import { Page, Panel, Waiting } from '../ui/Page';
import { AsksPeople, Halted } from '../ui/PlanActions';
import { namesOfPlan, type Plan } from '../ui/PlanView';
import { ProblemNote } from '../ui/Problem';
import { RunProgress } from '../ui/RunProgress';
import { TakeBack } from '../ui/TakeBack';
import { useActor } from '../ui/said';

const AT_ONCE = 200;

/** What came out of a run that planned or wrote. */
function planOf(run: Run): Plan | null {
  const result = run.result as Partial<Schemas['PlanDoc']> | null | undefined;
  return typeof result?.plan_id === 'string' && Array.isArray(result.changes) && Array.isArray(result.findings)
    ? (result as Plan)
    : null;
}

async function load(org: string, id: string) {
  const run = await answer(
    api.GET('/api/v1/organizations/{org}/runs/{run}', { params: { path: { org, run: id } } }),
  );
  const plan = planOf(run);
  return { run, plan, names: plan === null ? null : await namesOfPlan(org, plan) };
}

export default function RunPage() {
  const { t } = useWords();
  const who = useActor();
  const { instant } = useFormats();
  const say = useWord();
  const org = useOrg();
  const { run: id = '' } = useParams();
  const [most, setMost] = useState(AT_ONCE);
  const found = useQuery({ queryKey: ['run', org, id], queryFn: () => load(org, id) });
  // The stream brings the newest state; what it wrote is read anew when it ends.
  const live = useRun(org, id);
  if (found.data === undefined) {
    return (
      <Page title={t('run.title')}>
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
  const { plan, names } = found.data;
  const run = live ?? found.data.run;
  const written = isOver(run) && plan?.changes.some((change) => change.state === 'applied') === true;
  return (
    <Page
      title={say('run', run.kind)}
      lead={
        <Group gap="xs">
          <RunState state={run.state} />
          <span>
            {instant(run.created_at)} {run.scheduled ? t('run.bySchedule') : t('run.by', { actor: who(run.actor) })}
          </span>
        </Group>
      }
      actions={written && <TakeBack wish={{ plan_id: plan.plan_id }} />}
    >
      <RunProgress id={id} />
      {plan !== null && names !== null && (
        <>
          <Halted plan={plan} />
          <AsksPeople plan={plan} />
          {plan.findings.length > 0 && (
            <Panel title={t('run.findings')} flush>
              <FindingList findings={plan.findings} names={names} />
            </Panel>
          )}
          {plan.changes.length > 0 && (
            <Stack gap="sm">
              <Text component="h2" fw={600} m={0}>
                {t('run.lines')}
              </Text>
              <Changes changes={plan.changes.slice(0, most)} names={names} />
            </Stack>
          )}
          {plan.changes.length > most && (
            <Group justify="center">
              <Button variant="default" onClick={() => setMost(most + AT_ONCE)}>
                {t('action.more')}
              </Button>
            </Group>
          )}
        </>
      )}
    </Page>
  );
}
