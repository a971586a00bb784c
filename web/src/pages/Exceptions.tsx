// What is not billed, would be billed wrong, or deserves a look: each with its cause, what to do, and a decision.
import { Box, Button, Group, Modal, Select, Stack, Text, Textarea, TextInput } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { IconCircleCheck } from '@tabler/icons-react';
import { keepPreviousData, useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useState, type SubmitEvent } from 'react';
import { Link, useSearchParams } from 'react-router';
import { answer, api, type Schemas } from '../api/client';
import { fetchNames, NO_NAMES, type Names } from '../api/names';
import { useFormats } from '../format';
import { useWords } from '../i18n';
import { useMay, useOrg } from '../session';
import { FindingState } from '../ui/Badges';
import { Pager } from '../ui/DataTable';
import { FindingText, namesOfFindings, subjectOf } from '../ui/Findings';
import { Empty, Page, Waiting } from '../ui/Page';
import { ProblemNote } from '../ui/Problem';
import { useActor } from '../ui/said';
import { usePages } from '../ui/usePages';
import { useDecide } from './tasks/decide';

type Finding = Schemas['StoredFindingDoc'];
type Wish = Schemas['FindingDecision'];

const BASE = '/api/v1/organizations/{org}';
/** Warnings that hold a task as well. */
const RETRIED: ReadonlySet<string> = new Set(['TU7006', 'TU7001']);
const MOST_AT_ONCE = 1000;

async function load(org: string, query: Record<string, string | number>) {
  const page = await answer(api.GET(`${BASE}/findings`, { params: { path: { org }, query } }));
  return { page, names: await fetchNames(org, namesOfFindings(page.items)) };
}

export default function ExceptionsPage() {
  const { t } = useWords();
  const org = useOrg();
  const [params, setParams] = useSearchParams();
  const state = params.get('state') ?? '';
  const severity = params.get('severity') ?? '';
  const code = params.get('code') ?? '';
  const set = (name: string, value: string | null) =>
    setParams(
      (now) => {
        if (value === null || value === '') now.delete(name);
        else now.set(name, value);
        return now;
      },
      { replace: true },
    );
  const filter: Record<string, string | number> = { limit: 30 };
  if (state !== '') filter['state'] = state;
  if (severity !== '') filter['severity'] = severity;
  if (code !== '') filter['code'] = code;
  const pages = usePages(JSON.stringify([org, filter]));
  if (pages.cursor !== undefined) filter['cursor'] = pages.cursor;
  const list = useQuery({
    queryKey: ['findings', org, filter],
    queryFn: () => load(org, filter),
    placeholderData: keepPreviousData,
  });
  const rows = list.data?.page.items;
  const next = list.data?.page.next_cursor;
  const isFiltered = state !== '' || severity !== '' || code !== '';
  return (
    <Page title={t('exceptions.title')} lead={t('exceptions.lead')}>
      <Box className="panel">
        <Group p="md" gap="sm" align="flex-end" className="line" role="search">
          <Select
            label={t('exceptions.state')}
            w={190}
            allowDeselect={false}
            value={state}
            onChange={(value) => set('state', value)}
            data={[
              { value: '', label: t('exceptions.state.holds') },
              { value: 'muted', label: t('finding.muted') },
              { value: 'ignored', label: t('finding.ignored') },
              { value: 'resolved', label: t('finding.resolved') },
            ]}
          />
          <Select
            label={t('exceptions.severity')}
            w={220}
            allowDeselect={false}
            value={severity}
            onChange={(value) => set('severity', value)}
            data={[
              { value: '', label: t('exceptions.severity.all') },
              { value: 'error', label: t('severity.error') },
              { value: 'warning', label: t('exceptions.severity.warning') },
            ]}
          />
          <TextInput
            label={t('exceptions.code')}
            w={140}
            placeholder="TU2003"
            defaultValue={code}
            key={code}
            onBlur={(event) => set('code', event.currentTarget.value.trim())}
            onKeyDown={(event) => event.key === 'Enter' && set('code', event.currentTarget.value.trim())}
          />
          {isFiltered && (
            <Button variant="subtle" onClick={() => setParams({}, { replace: true })}>
              {t('action.clear')}
            </Button>
          )}
        </Group>
        {rows === undefined ? (
          list.error === null ? (
            <Waiting rows={8} />
          ) : (
            <Box p="md">
              <ProblemNote error={list.error} retry={() => void list.refetch()} />
            </Box>
          )
        ) : rows.length === 0 ? (
          <Empty
            icon={<IconCircleCheck size={32} stroke={1.4} color="var(--trueup-gain)" aria-hidden />}
            title={t(isFiltered ? 'exceptions.empty' : 'exceptions.none')}
            {...(isFiltered ? {} : { detail: t('exceptions.none.detail') })}
          />
        ) : (
          <Box component="ul" m={0} p={0} style={{ listStyle: 'none', opacity: list.isPlaceholderData ? 0.6 : 1 }}>
            {rows.map((finding) => (
              <Row key={finding.finding_id} finding={finding} names={list.data?.names ?? NO_NAMES} />
            ))}
          </Box>
        )}
        <Pager
          page={pages.page}
          hasNext={next != null}
          onPrevious={pages.previous}
          onNext={() => next != null && pages.next(next)}
        />
      </Box>
    </Page>
  );
}

/** Where a cause is solved. */
function useRemedy(finding: Finding): { to: string; label: string } | null {
  const { t } = useWords();
  const org = useOrg();
  const root = `/o/${org}`;
  const { addition } = subjectOf(finding);
  if (finding.code.startsWith('TU2')) return { to: `${root}/mapping`, label: t('task.toMapping') };
  if (finding.code.startsWith('TU10')) return { to: `${root}/connections`, label: t('exceptions.toConnection') };
  if (finding.task_id != null) {
    return { to: `${root}/tasks/${encodeURIComponent(finding.task_id)}`, label: t('change.toTask') };
  }
  if (addition !== null) {
    return { to: `${root}/additions/${addition}`, label: t('exceptions.toAddition') };
  }
  return null;
}

function Row({ finding, names }: { finding: Finding; names: Names }) {
  const { t, tn } = useWords();
  const { ago, instant, day } = useFormats();
  const mayDecide = useMay('findings.write');
  const [asking, setAsking] = useState<'mute' | 'ignore' | null>(null);
  const remedy = useRemedy(finding);
  const who = useActor();
  const decide = useDecision(finding, () => setAsking(null));
  const holds = finding.state === 'open' || finding.state === 'recurred';
  return (
    <Box component="li" className="line" px="lg" py="md">
      <FindingText finding={finding} names={names} />
      <Group gap="sm" mt="sm" justify="space-between">
        <Group gap="xs">
          <FindingState state={finding.state} />
          <Text size="xs" c="dimmed" title={instant(finding.first_seen_at)}>
            {t('overview.exceptions.since', { when: ago(finding.first_seen_at) })}
            {finding.count > 1 && ` · ${tn('exceptions.seen', finding.count)}`}
            {finding.muted_until != null && ` · ${t('exceptions.until', { day: day(finding.muted_until) })}`}
            {finding.reason != null && ` · ${finding.reason}`}
            {finding.decided_by != null && ` · ${who(finding.decided_by)}`}
          </Text>
        </Group>
        <Group gap="xs">
          {mayDecide && holds && (
            <>
              <Button size="xs" variant="default" onClick={() => setAsking('mute')}>
                {t('exceptions.mute')}
              </Button>
              <Button size="xs" variant="default" onClick={() => setAsking('ignore')}>
                {t('exceptions.ignore')}
              </Button>
            </>
          )}
          {mayDecide && !holds && finding.state !== 'resolved' && (
            <Button
              size="xs"
              variant="default"
              loading={decide.isPending}
              onClick={() => decide.mutate({ decision: 'reopen' })}
            >
              {t('exceptions.reopen')}
            </Button>
          )}
          {holds && <RetryTasks finding={finding} />}
          {remedy !== null && (
            <Button size="xs" variant="light" component={Link} to={remedy.to}>
              {remedy.label}
            </Button>
          )}
        </Group>
      </Group>
      <Decide
        asking={asking}
        close={() => setAsking(null)}
        decide={(wish) => decide.mutate(wish)}
        working={decide.isPending}
        error={decide.error}
      />
    </Box>
  );
}

/** Tasks that an exception holds are tried again from here; others it only speaks of. */
function RetryTasks({ finding }: { finding: Finding }) {
  const { tn } = useWords();
  const mayTry = useMay('tasks.write');
  const retry = useDecide();
  const isHeld = finding.severity === 'error' || RETRIED.has(finding.code);
  if (!mayTry || !isHeld || finding.tasks.length === 0) return null;
  return (
    <>
      <Button
        size="xs"
        variant="default"
        loading={retry.isPending}
        onClick={() => retry.mutate({ ids: finding.tasks.slice(0, MOST_AT_ONCE), decision: 'retry' })}
      >
        {tn('exceptions.retry', finding.tasks.length)}
      </Button>
      {retry.error !== null && <ProblemNote error={retry.error} />}
    </>
  );
}

function useDecision(finding: Finding, done: () => void) {
  const { t } = useWords();
  const org = useOrg();
  const client = useQueryClient();
  return useMutation({
    mutationFn: (body: Wish) => {
      const path = { org, finding: finding.finding_id };
      return answer(api.POST(`${BASE}/findings/{finding}/decide`, { params: { path }, body }));
    },
    onSuccess: () => {
      done();
      notifications.show({ color: 'green', message: t('exceptions.decided') });
      void client.invalidateQueries();
    },
  });
}

function Decide(props: {
  asking: 'mute' | 'ignore' | null;
  close: () => void;
  decide: (wish: Wish) => void;
  working: boolean;
  error: unknown;
}) {
  const { t } = useWords();
  const [until, setUntil] = useState('');
  const [reason, setReason] = useState('');
  const mutes = props.asking === 'mute';
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    props.decide(mutes ? { decision: 'mute', until } : { decision: 'ignore', reason });
  };
  return (
    <Modal
      opened={props.asking !== null}
      onClose={props.close}
      title={t(mutes ? 'exceptions.mute.title' : 'exceptions.ignore.title')}
      closeButtonProps={{ 'aria-label': t('action.close') }}
    >
      <form onSubmit={submit}>
        <Stack>
          <Text size="sm">{t(mutes ? 'exceptions.mute.lead' : 'exceptions.ignore.lead')}</Text>
          {mutes ? (
            <TextInput
              type="date"
              label={t('exceptions.mute.until')}
              value={until}
              onChange={(event) => setUntil(event.currentTarget.value)}
              required
              data-autofocus
            />
          ) : (
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
          )}
          {props.error != null && <ProblemNote error={props.error} />}
          <Group justify="flex-end">
            <Button variant="default" onClick={props.close}>
              {t('action.cancel')}
            </Button>
            <Button type="submit" loading={props.working}>
              {t(mutes ? 'exceptions.mute' : 'exceptions.ignore')}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
