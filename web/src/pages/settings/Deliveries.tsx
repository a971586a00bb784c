// What was sent to a webhook: whether it arrived, every attempt, and sending it again.
import { Box, Button, Code, Group, Loader, Select, Stack, Text } from '@mantine/core';
import { IconChevronLeft, IconSend } from '@tabler/icons-react';
import { keepPreviousData, useMutation, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { answer, api, queries, type Schemas } from '../../api/client';
import { useFormats } from '../../format';
import { useWords } from '../../i18n';
import { useMay, useOrg } from '../../session';
import { DeliveryState, useWord } from '../../ui/Badges';
import { DataTable, Pager, type Column } from '../../ui/DataTable';
import { Empty, Waiting } from '../../ui/Page';
import { ProblemNote } from '../../ui/Problem';
import { usePages } from '../../ui/usePages';

type Webhook = Schemas['WebhookDoc'];
type Delivery = Schemas['Page_DeliveryDoc']['items'][number];
type Attempt = Schemas['AttemptDoc'];

const BASE = '/api/v1/organizations/{org}/webhooks/{webhook}/deliveries';
const STATES = ['waiting', 'done', 'failed'] as const;
type State = (typeof STATES)[number];

/** The list, or one of it. */
export function Deliveries({ webhook, first }: { webhook: Webhook; first?: string }) {
  const [shown, show] = useState<string | null>(first ?? null);
  // Who comes back from a delivery goes on in the list, not at the beginning of the page.
  const [came, setCame] = useState(false);
  const [state, setState] = useState<State | null>(null);
  const org = useOrg();
  const pages = usePages(JSON.stringify([org, webhook.id, state]));
  if (shown !== null) {
    return (
      <One
        webhook={webhook}
        id={shown}
        back={() => {
          setCame(true);
          show(null);
        }}
      />
    );
  }
  return <List webhook={webhook} state={state} setState={setState} pages={pages} show={show} came={came} />;
}

function List(props: {
  webhook: Webhook;
  state: State | null;
  setState: (state: State | null) => void;
  pages: ReturnType<typeof usePages>;
  show: (id: string) => void;
  came: boolean;
}) {
  const { t } = useWords();
  const say = useWord();
  const { ago, count, instant } = useFormats();
  const org = useOrg();
  const { pages, state } = props;
  const list = queries.useQuery(
    'get',
    BASE,
    {
      params: {
        path: { org, webhook: props.webhook.id },
        query: { limit: 20, ...(state === null ? {} : { state }), ...(pages.cursor === undefined ? {} : { cursor: pages.cursor }) },
      },
    },
    { refetchInterval: 10_000, placeholderData: keepPreviousData },
  );
  const columns: Column<Delivery>[] = [
    { key: 'event', header: t('deliveries.col.event'), bare: true, cell: (row) => say('event', row.kind) },
    {
      key: 'when',
      header: t('deliveries.col.when'),
      cell: (row) => <span title={instant(row.created_at)}>{ago(row.created_at)}</span>,
    },
    { key: 'tries', header: t('deliveries.col.tries'), numeric: true, cell: (row) => count(row.tries) },
    { key: 'state', header: t('deliveries.col.state'), cell: (row) => <DeliveryState state={row.state} /> },
    {
      key: 'do',
      header: t('deliveries.col.do'),
      bare: true,
      width: '8rem',
      cell: (row) => (
        <Button
          size="compact-sm"
          variant="default"
          onClick={() => props.show(row.id)}
          aria-label={t('deliveries.details.of', { kind: say('event', row.kind), when: instant(row.created_at) })}
        >
          {t('deliveries.details')}
        </Button>
      ),
    },
  ];
  const next = list.data?.next_cursor;
  return (
    <Stack>
      <Text size="sm" c="dimmed">
        {t('deliveries.lead')}
      </Text>
      <Select
        label={t('deliveries.filter')}
        maw="14rem"
        allowDeselect={false}
        data={[
          { value: 'all', label: t('deliveries.filter.all') },
          ...STATES.map((one) => ({ value: one, label: t(`delivery.state.${one}`) })),
        ]}
        value={state ?? 'all'}
        onChange={(value) => props.setState(STATES.find((one) => one === value) ?? null)}
        autoFocus={props.came}
      />
      <Box className="panel">
        <DataTable
          label={t('webhooks.deliveries')}
          columns={columns}
          rows={list.data?.items}
          id={(row) => row.id}
          error={list.error}
          retry={() => void list.refetch()}
          busy={list.isPlaceholderData}
          empty={
            <Empty
              icon={<IconSend size={32} stroke={1.4} aria-hidden />}
              title={t(state === null ? 'deliveries.none' : 'deliveries.empty')}
              {...(state === null ? { detail: t('deliveries.none.detail') } : {})}
            />
          }
          footer={
            <Pager
              page={pages.page}
              hasNext={next != null}
              onPrevious={pages.previous}
              onNext={() => next != null && pages.next(next)}
            />
          }
        />
      </Box>
    </Stack>
  );
}

function One({ webhook, id, back }: { webhook: Webhook; id: string; back: () => void }) {
  const { t } = useWords();
  const say = useWord();
  const { instant } = useFormats();
  const org = useOrg();
  const client = useQueryClient();
  const mayChange = useMay('webhooks.write');
  const params = { params: { path: { org, webhook: webhook.id, delivery: id } } };
  const found = queries.useQuery('get', `${BASE}/{delivery}`, params, {
    refetchInterval: (query) => (query.state.data?.state === 'waiting' ? 3_000 : false),
  });
  const again = useMutation({
    mutationFn: () => answer(api.POST(`${BASE}/{delivery}/redeliver`, params)),
    onSettled: () => client.invalidateQueries(),
  });
  const one = found.data;
  return (
    <Stack>
      <Group justify="space-between" gap="sm">
        <Button
          size="xs"
          variant="default"
          leftSection={<IconChevronLeft size={14} aria-hidden />}
          onClick={back}
          autoFocus
        >
          {t('deliveries.all')}
        </Button>
        {one !== undefined && mayChange && webhook.enabled && (
          <Button
            size="xs"
            // Not `loading`: a button that is disabled loses the focus.
            leftSection={again.isPending && <Loader size={12} color="white" aria-hidden />}
            aria-disabled={again.isPending}
            onClick={() => !again.isPending && again.mutate()}
          >
            {t('deliveries.again')}
          </Button>
        )}
      </Group>
      {mayChange && !webhook.enabled && (
        <Text size="sm" c="dimmed">
          {t('deliveries.again.off')}
        </Text>
      )}
      {again.error !== null && <ProblemNote error={again.error} />}
      {one === undefined ? (
        found.error === null ? (
          <Waiting rows={5} />
        ) : (
          <ProblemNote error={found.error} retry={() => void found.refetch()} />
        )
      ) : (
        <>
          <Group gap="sm" role="status">
            <Text fw={600}>{say('event', one.kind)}</Text>
            <DeliveryState state={one.state} />
          </Group>
          <dl className="facts">
            <dt>{t('deliveries.organization')}</dt>
            <dd>{one.organization}</dd>
            <dt>{t('deliveries.id')}</dt>
            <dd>
              <Code>{one.event}</Code>
            </dd>
            <dt>{t('deliveries.created')}</dt>
            <dd>{instant(one.created_at)}</dd>
            {one.next_at != null && (
              <>
                <dt>{t('deliveries.next')}</dt>
                <dd>{instant(one.next_at)}</dd>
              </>
            )}
            {one.ended_at != null && (
              <>
                <dt>{t(one.state === 'done' ? 'deliveries.ended.done' : 'deliveries.ended.failed')}</dt>
                <dd>{instant(one.ended_at)}</dd>
              </>
            )}
          </dl>
          <Attempts attempts={one.attempts} />
          <details className="inputs">
            <summary>{t('deliveries.body')}</summary>
            <Code block mt="xs" tabIndex={0} style={{ whiteSpace: 'pre-wrap', overflowWrap: 'anywhere' }}>
              {JSON.stringify(one.body, null, 2)}
            </Code>
          </details>
        </>
      )}
    </Stack>
  );
}

function Attempts({ attempts }: { attempts: Attempt[] }) {
  const { t } = useWords();
  const { count, instant } = useFormats();
  return (
    <Box>
      <Text component="h3" size="sm" fw={600} m={0} mb={6}>
        {t('deliveries.attempts')}
      </Text>
      {attempts.length === 0 ? (
        <Text size="sm" c="dimmed">
          {t('deliveries.attempts.none')}
        </Text>
      ) : (
        <Stack component="ol" gap="sm" m={0} pl="lg" fz="sm">
          {attempts.map((attempt, at) => (
            <li key={`${attempt.at} ${at}`}>
              <Text size="sm" fw={500}>
                {attempt.status == null
                  ? t('deliveries.attempt.silent')
                  : t('deliveries.attempt.status', { status: attempt.status })}
              </Text>
              <Text size="xs" c="dimmed">
                {instant(attempt.at)} · {t('deliveries.attempt.took', { ms: count(attempt.took_ms) })}
              </Text>
              {attempt.error != null && <Text size="sm">{attempt.error}</Text>}
              {attempt.answer != null && attempt.answer !== '' && (
                <Code block mt={4} tabIndex={0} style={{ whiteSpace: 'pre-wrap', overflowWrap: 'anywhere' }}>
                  {attempt.answer}
                </Code>
              )}
            </li>
          ))}
        </Stack>
      )}
    </Box>
  );
}
