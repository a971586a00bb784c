// One task, step by step: customer, products, agreement, review, and what came of it. Steps that are known are skipped.
import { Box, Button, Group, Stack, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useEffect, useRef, useState } from 'react';
import { Link, useParams } from 'react-router';
import { useRun, useStart, isOver } from '../api/runs';
import { useWords } from '../i18n';
import { useMay, useOrg } from '../session';
import { TaskState, useWord } from '../ui/Badges';
import { Changes } from '../ui/Changes';
import { FindingText } from '../ui/Findings';
import { Empty, Page, Panel, Waiting } from '../ui/Page';
import { AsksPeople, Halted, isWritable } from '../ui/PlanActions';
import { usePlan } from '../ui/PlanView';
import { ProblemNote } from '../ui/Problem';
import { RunProgress } from '../ui/RunProgress';
import { Steps, type Step } from '../ui/Steps';
import type { Subject } from './mapping/data';
import { MapDialog } from './mapping/MapDialog';
import { AgreementStep } from './sync/AgreementStep';
import { loadKnown, useReview, type Edit, type Known } from './sync/data';
import { Others, useOtherWork } from './sync/Others';
import { ReviewStep } from './sync/ReviewStep';

const STEPS = ['customer', 'products', 'agreement', 'review', 'result'] as const;
type Stage = (typeof STEPS)[number];

/** The agreement is missing, or the one that was chosen cannot be used. */
const OF_AGREEMENTS = ['TU3001', 'TU3002', 'TU3003', 'TU3004', 'TU4003', 'TU6001'];

export default function SyncPage() {
  const { t } = useWords();
  const org = useOrg();
  const { task: id = '' } = useParams();
  const found = useQuery({ queryKey: ['sync', org, id], queryFn: () => loadKnown(org, id) });
  if (found.data === undefined) {
    return (
      <Page title={t('sync.title')}>
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
  return <Wizard key={id} known={found.data} />;
}

function Wizard({ known }: { known: Known }) {
  const { t } = useWords();
  const org = useOrg();
  const say = useWord();
  const mayRun = useMay('runs.write');
  const { task } = known.detail;
  const [prices, setPrices] = useState(task.price_source ?? '');
  const [choosing, setChoosing] = useState(false);
  const [run, setRun] = useState<string | null>(null);
  const [looking, setLooking] = useState(false);
  const review = useReview(org, task.task_id);
  const start = useStart(org);
  const over = run === null && (task.state === 'done' || task.state === 'ignored');
  const isMapped = known.customer.mapped && known.products.every((one) => one.mapped);

  // The lines are computed as soon as everything is mapped that has to be, and again when the agreement changed.
  const computed = useRef<string | null>(null);
  const basis = `${isMapped} ${known.agreement}`;
  const { mutate } = review;
  useEffect(() => {
    if (!isMapped || over || run !== null || computed.current === basis) return;
    computed.current = basis;
    mutate({ prices });
  }, [isMapped, over, run, basis, mutate, prices]);

  // What was computed last stays in sight while it is computed anew.
  const [shown, setShown] = useState(review.data);
  useEffect(() => {
    if (review.data !== undefined) setShown(review.data);
  }, [review.data]);
  const lacks = shown?.plan.findings.some((one) => OF_AGREEMENTS.includes(one.code)) === true;
  const stage: Stage =
    run !== null
      ? 'result'
      : !known.customer.mapped
        ? 'customer'
        : !isMapped
          ? 'products'
          : choosing || (lacks && shown.plan.changes.length === 0)
            ? 'agreement'
            : 'review';
  const compute = (wish: { prices?: string; edits?: Edit[]; done?: () => void }) => {
    if (wish.prices !== undefined) setPrices(wish.prices);
    review.mutate(
      { prices: wish.prices ?? prices, ...(wish.edits === undefined ? {} : { edits: wish.edits }) },
      { onSuccess: () => wish.done?.() },
    );
  };
  const others = useOtherWork(org, task.task_id, stage === 'review' && !review.isPending ? (shown?.plan ?? null) : null);
  const write = async () => {
    if (shown === undefined) return;
    // Whoever planned the task meanwhile may have set lines by hand: that is looked at before anything is written.
    setLooking(true);
    const now = await others.refetch();
    setLooking(false);
    if (now.data != null) return;
    start.mutate(
      { kind: 'apply', plan_id: shown.plan.plan_id },
      { onSuccess: (begun) => setRun(begun.run_id) },
    );
  };
  const agreement = shown?.plan.changes[0]?.agreement_id ?? known.agreement;
  const name = known.names.customer(task.source, task.customer_id);
  const steps = useSteps(known, stage, agreement, shown?.names);
  const canWrite = stage === 'review' && shown !== undefined && isWritable(shown.plan);
  return (
    <Page
      title={t('sync.title')}
      lead={
        <Group gap="xs">
          <span>
            {name} · {say('kind', task.kind)} · {task.subscription_id}
          </span>
          <TaskState state={task.state} />
        </Group>
      }
      actions={
        <>
          <Button component={Link} to={`/o/${org}/tasks/${encodeURIComponent(task.task_id)}`} variant="default">
            {t('sync.toTask')}
          </Button>
          {canWrite && mayRun && (
            <Button
              loading={start.isPending || looking}
              disabled={review.isPending || others.data != null}
              onClick={() => void write()}
            >
              {t('sync.write')}
            </Button>
          )}
        </>
      }
    >
      {over ? (
        <Box className="panel">
          <Empty title={t('sync.over')} detail={t('sync.over.detail')} />
        </Box>
      ) : (
        <>
          <Steps label={t('sync.steps')} steps={steps} />
          {start.error !== null && <ProblemNote error={start.error} />}
          {(stage === 'customer' || stage === 'products') && <MapStep stage={stage} known={known} />}
          {stage === 'agreement' && !choosing && review.isPending && (
            <Box className="panel">
              <Waiting rows={6} what={t('sync.planning')} />
            </Box>
          )}
          {stage === 'agreement' && (choosing || !review.isPending) && (
            <AgreementStep
              known={known}
              now={agreement}
              done={() => {
                setChoosing(false);
                computed.current = null;
              }}
              {...(choosing ? { back: () => setChoosing(false) } : {})}
            />
          )}
          {stage === 'agreement' && lacks && shown.plan.findings[0] !== undefined && (
            <Box className="panel" px="lg" py="sm">
              <FindingText finding={shown.plan.findings[0]} names={shown.names} />
            </Box>
          )}
          {stage === 'review' &&
            (shown === undefined ? (
              review.error === null ? (
                <Box className="panel">
                  <Waiting rows={8} what={t('sync.planning')} />
                </Box>
              ) : (
                <ProblemNote error={review.error} retry={() => compute({})} />
              )
            ) : (
              <>
                {canWrite && (
                  <Text size="sm" c="dimmed">
                    {t('sync.write.lead')}
                  </Text>
                )}
                {others.data != null && (
                  <Others work={others.data} again={() => compute({})} working={review.isPending} />
                )}
                <Halted plan={shown.plan} again={() => compute({})} working={review.isPending} />
                <ReviewStep
                  task={task.task_id}
                  review={shown}
                  prices={prices}
                  busy={review.isPending}
                  error={review.error}
                  compute={compute}
                  {...(task.kind === 'cancellation' ? {} : { otherAgreement: () => setChoosing(true) })}
                />
              </>
            ))}
          {stage === 'result' && run !== null && shown !== undefined && (
            <Result
              run={run}
              plan={shown.plan.plan_id}
              again={() => {
                setRun(null);
                compute({});
              }}
            />
          )}
        </>
      )}
    </Page>
  );
}

function useSteps(known: Known, stage: Stage, agreement: number | null, names: Known['names'] | undefined): Step[] {
  const { t } = useWords();
  const at = STEPS.indexOf(stage);
  const notes: Partial<Record<Stage, string>> = {};
  if (known.company !== null) notes.customer = known.names.company(known.company);
  if (agreement !== null) notes.agreement = (names ?? known.names).agreement(agreement);
  return STEPS.map((key, n) => {
    const note = n < at ? notes[key] : undefined;
    return {
      key,
      label: t(`sync.step.${key}`),
      state: n < at ? 'done' : n === at ? 'now' : 'next',
      ...(note === undefined ? {} : { note }),
    };
  });
}

/** What is not mapped yet, each with the way to map it. */
function MapStep({ stage, known }: { stage: 'customer' | 'products'; known: Known }) {
  const { t } = useWords();
  const nameOf = (subject: Subject) => (subject.kind === 'fee' ? t('mapping.fee.cancellation') : subject.name);
  const mayMap = useMay('mappings.write');
  const [mapping, setMapping] = useState<Subject | null>(null);
  const subjects = stage === 'customer' ? [known.customer] : known.products;
  return (
    <Panel title={t(`sync.step.${stage}`)} flush>
      <Text size="sm" c="dimmed" px="lg" pb="xs">
        {t(`sync.${stage}.lead`)}
      </Text>
      {subjects.map((subject) => (
        <Group key={subject.source_id} className="line" px="lg" py="sm" justify="space-between" gap="sm">
          <Box>
            <Text size="sm" fw={500}>
              {nameOf(subject)}
            </Text>
            <Text size="xs" c="dimmed">
              {subject.kind === 'fee' ? subject.source : subject.source_id}
            </Text>
          </Box>
          {subject.mapped ? (
            <Text size="sm" c="dimmed">
              {t('step.skipped')}
            </Text>
          ) : (
            mayMap && (
              <Button
                size="xs"
                onClick={() => setMapping({ ...subject, name: nameOf(subject) })}
                aria-label={`${t(`task.map.${subject.kind}`)}: ${nameOf(subject)}`}
              >
                {t(`task.map.${subject.kind}`)}
              </Button>
            )
          )}
        </Group>
      ))}
      <MapDialog subject={mapping} close={() => setMapping(null)} />
    </Panel>
  );
}

/** The run, and at its end every line with what became of it. */
function Result(props: { run: string; plan: string; again: () => void }) {
  const { run, plan: id } = props;
  const { t } = useWords();
  const org = useOrg();
  const now = useRun(org, run);
  const plan = usePlan(org, id, false);
  const heading = useRef<HTMLHeadingElement>(null);
  const ended = now !== null && isOver(now);
  // A quick run may be over before its plan is here.
  const shown = plan.data !== undefined;
  useEffect(() => {
    if (ended && shown) heading.current?.focus();
  }, [ended, shown]);
  return (
    <Stack gap="lg">
      <RunProgress id={run} />
      {plan.data !== undefined && (
        <>
          <Halted plan={plan.data.plan} {...(ended ? { again: props.again } : {})} />
          <AsksPeople plan={plan.data.plan} />
        </>
      )}
      {plan.data !== undefined && (
        <Stack gap="sm">
          <Text component="h2" fw={600} m={0} ref={heading} tabIndex={-1}>
            {t('sync.result.lines')}
          </Text>
          <Changes changes={plan.data.plan.changes} names={plan.data.names} />
        </Stack>
      )}
    </Stack>
  );
}
