// Webhooks: where other programs are told what happens, and whether it arrives.
import { Badge, Box, Button, Group, Loader, Modal, Text, type MantineColor } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { IconPlus, IconWebhook } from '@tabler/icons-react';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useState, type ReactNode } from 'react';
import { answer, api, queries, type Schemas } from '../../api/client';
import { useFormats } from '../../format';
import { useWords, type Key } from '../../i18n';
import { useMay, useOrg } from '../../session';
import { useWord } from '../../ui/Badges';
import { Confirm } from '../../ui/Confirm';
import { ShownOnce } from '../../ui/Copy';
import { DataTable, type Column } from '../../ui/DataTable';
import { Empty } from '../../ui/Page';
import { ProblemNote } from '../../ui/Problem';
import { Deliveries } from './Deliveries';
import { WebhookForm } from './WebhookForm';

type Webhook = Schemas['WebhookDoc'];
/** What is done with a webhook in a dialog. */
type Open =
  | { what: 'add' }
  | { what: 'change' | 'rotate' | 'remove'; webhook: Webhook }
  | { what: 'deliveries'; webhook: Webhook; delivery?: string };

const BASE = '/api/v1/organizations/{org}/webhooks';

export function Webhooks() {
  const { t } = useWords();
  const { ago } = useFormats();
  const org = useOrg();
  const client = useQueryClient();
  const mayChange = useMay('webhooks.write');
  const found = queries.useQuery('get', BASE, { params: { path: { org } } });
  const [open, setOpen] = useState<Open | null>(null);
  const [once, setOnce] = useState<Webhook | null>(null);
  const close = () => setOpen(null);
  const at = (webhook: Webhook) => ({ params: { path: { org, webhook: webhook.id } } });
  const anew = () => void client.invalidateQueries();
  const tell = (message: string) => {
    notifications.show({ color: 'green', message });
    anew();
  };
  const test = useMutation({
    mutationFn: (webhook: Webhook) => answer(api.POST(`${BASE}/{webhook}/test`, at(webhook))),
    onSuccess: (delivery, webhook) => {
      setOpen({ what: 'deliveries', webhook, delivery: delivery.id });
      anew();
    },
  });
  const turn = useMutation({
    mutationFn: (webhook: Webhook) =>
      answer(api.PATCH(`${BASE}/{webhook}`, { ...at(webhook), body: { enabled: !webhook.enabled } })),
    onSuccess: (webhook) => tell(t(webhook.enabled ? 'webhooks.on.done' : 'webhooks.off.done', { name: webhook.name })),
  });
  const rotate = useMutation({
    mutationFn: (webhook: Webhook) => answer(api.POST(`${BASE}/{webhook}/rotate`, at(webhook))),
    onSuccess: (webhook) => {
      close();
      setOnce(webhook);
      anew();
    },
  });
  const remove = useMutation({
    mutationFn: (webhook: Webhook) => answer(api.DELETE(`${BASE}/{webhook}`, at(webhook))),
    onSuccess: (_, webhook) => {
      close();
      if (once?.id === webhook.id) setOnce(null);
      tell(t('webhooks.removed', { name: webhook.name }));
    },
  });
  const all = found.data?.items;
  const button = (row: Webhook, label: Key, act: () => void, busy = false): ReactNode => (
    <Button
      size="compact-sm"
      variant="default"
      // Not `loading`: a button that is disabled loses the focus.
      leftSection={busy && <Loader size={12} aria-hidden />}
      aria-disabled={busy}
      onClick={busy ? undefined : act}
      aria-label={t(`${label}.of` as Key, { name: row.name })}
    >
      {t(label)}
    </Button>
  );
  const columns: Column<Webhook>[] = [
    {
      key: 'name',
      header: t('webhooks.col.name'),
      bare: true,
      cell: (row) => (
        <>
          <Text size="sm" fw={500} component="span" display="block">
            {row.name}
          </Text>
          <Text size="xs" c="dimmed" component="span" style={{ overflowWrap: 'anywhere' }}>
            {row.url}
          </Text>
        </>
      ),
    },
    { key: 'events', header: t('webhooks.col.events'), cell: (row) => <Events webhook={row} /> },
    {
      key: 'arrived',
      header: t('webhooks.col.arrived'),
      cell: (row) => (row.succeeded_at == null ? t('webhooks.never') : ago(row.succeeded_at)),
    },
    { key: 'state', header: t('webhooks.col.state'), cell: (row) => <State webhook={row} /> },
    {
      key: 'do',
      header: t('webhooks.col.do'),
      bare: true,
      width: '17rem',
      cell: (row) => (
        <Group gap={6} component="span">
          {mayChange &&
            button(row, 'webhooks.test', () => test.mutate(row), test.isPending && test.variables.id === row.id)}
          {button(row, 'webhooks.deliveries', () => setOpen({ what: 'deliveries', webhook: row }))}
          {mayChange && (
            <>
              {button(row, 'webhooks.change', () => setOpen({ what: 'change', webhook: row }))}
              {button(
                row,
                row.enabled ? 'webhooks.off' : 'webhooks.on',
                () => turn.mutate(row),
                turn.isPending && turn.variables.id === row.id,
              )}
              {button(row, 'webhooks.rotate', () => setOpen({ what: 'rotate', webhook: row }))}
              {button(row, 'webhooks.remove', () => setOpen({ what: 'remove', webhook: row }))}
            </>
          )}
        </Group>
      ),
    },
  ];
  const failed = test.error ?? turn.error;
  const asked = open?.what === 'rotate' || open?.what === 'remove' ? open.webhook : null;
  const form = open?.what === 'add' || open?.what === 'change' ? open : null;
  const shown = open?.what === 'deliveries' ? open : null;
  const kinds = found.data?.kinds ?? [];
  return (
    <>
      <Group justify="space-between" gap="sm" align="flex-start">
        <Text size="sm" c="dimmed" maw="44rem" flex="1 1 16rem">
          {t('webhooks.lead')}
        </Text>
        {mayChange && (
          <Button
            leftSection={<IconPlus size={16} aria-hidden />}
            onClick={() => setOpen({ what: 'add' })}
            disabled={found.data === undefined}
          >
            {t('webhooks.add')}
          </Button>
        )}
      </Group>
      {once?.secret != null && (
        <ShownOnce title={t('webhooks.once', { name: once.name })} value={once.secret} note={t('webhooks.once.note')} />
      )}
      {failed !== null && <ProblemNote error={failed} />}
      <Box className="panel">
        <DataTable
          label={t('settings.tab.webhooks')}
          columns={columns}
          rows={all}
          id={(row) => row.id}
          error={found.error}
          retry={() => void found.refetch()}
          empty={
            <Empty
              icon={<IconWebhook size={32} stroke={1.4} aria-hidden />}
              title={t('webhooks.none')}
              detail={t('webhooks.none.detail')}
            />
          }
        />
      </Box>
      <Modal
        opened={form !== null}
        onClose={close}
        title={form?.what === 'change' ? t('webhooks.change.title', { name: form.webhook.name }) : t('webhooks.add.title')}
        size="lg"
      >
        {form !== null && (
          <WebhookForm
            kinds={kinds}
            {...(form.what === 'change' ? { before: form.webhook } : {})}
            close={close}
            done={(webhook) => {
              close();
              if (webhook.secret != null) setOnce(webhook);
              tell(t(form.what === 'add' ? 'webhooks.added' : 'webhooks.changed', { name: webhook.name }));
            }}
          />
        )}
      </Modal>
      <Modal
        opened={shown !== null}
        onClose={close}
        title={shown === null ? '' : t('webhooks.deliveries.of', { name: shown.webhook.name })}
        size="xl"
      >
        {shown !== null && (
          <Deliveries
            key={`${shown.webhook.id} ${shown.delivery ?? ''}`}
            webhook={shown.webhook}
            {...(shown.delivery === undefined ? {} : { first: shown.delivery })}
          />
        )}
      </Modal>
      <Confirm
        opened={open?.what === 'rotate'}
        close={() => {
          rotate.reset();
          close();
        }}
        title={t('webhooks.rotate.title', { name: asked?.name ?? '' })}
        label={t('webhooks.rotate')}
        act={() => asked !== null && rotate.mutate(asked)}
        working={rotate.isPending}
        error={rotate.error}
      >
        <Text size="sm">{t('webhooks.rotate.lead')}</Text>
      </Confirm>
      <Confirm
        opened={open?.what === 'remove'}
        close={() => {
          remove.reset();
          close();
        }}
        title={t('webhooks.remove.title', { name: asked?.name ?? '' })}
        label={t('webhooks.remove')}
        act={() => asked !== null && remove.mutate(asked)}
        working={remove.isPending}
        error={remove.error}
      >
        <Text size="sm" style={{ overflowWrap: 'anywhere' }}>
          {t('webhooks.remove.lead', { url: asked?.url ?? '' })}
        </Text>
      </Confirm>
    </>
  );
}

/** One or two kinds in words; more are counted and listed on demand. */
function Events({ webhook }: { webhook: Webhook }) {
  const { t, tn } = useWords();
  const say = useWord();
  const { events } = webhook;
  return (
    <>
      {events.length === 0 && t('webhooks.events.all')}
      {events.length > 0 && events.length <= 2 && events.map((kind) => say('event', kind)).join(' · ')}
      {events.length > 2 && (
        <details className="inputs" style={{ marginTop: 0 }}>
          <summary>{tn('webhooks.events', events.length)}</summary>
          <ul className="plainlist">
            {events.map((kind) => (
              <li key={kind}>{say('event', kind)}</li>
            ))}
          </ul>
        </details>
      )}
      {webhook.below && (
        <Text size="xs" c="dimmed" component="span" display="block">
          {t('webhooks.below')}
        </Text>
      )}
    </>
  );
}

function State({ webhook }: { webhook: Webhook }) {
  const { t } = useWords();
  const { ago, instant } = useFormats();
  const since = webhook.enabled ? webhook.failing_since : webhook.disabled_at;
  const [state, color]: ['on' | 'off' | 'failing', MantineColor] = !webhook.enabled
    ? ['off', 'gray']
    : since == null
      ? ['on', 'green']
      : ['failing', 'orange'];
  return (
    <>
      <Badge className="badge" color={color} variant="light" tt="none" fw={500} radius="sm">
        {t(`webhooks.state.${state}`)}
      </Badge>
      {since != null && (
        <Text size="xs" c="dimmed" component="span" display="block" title={instant(since)}>
          {t(webhook.enabled ? 'webhooks.failing' : 'webhooks.off.since', { when: ago(since) })}{' '}
          {!webhook.enabled && webhook.disabled_why}
        </Text>
      )}
    </>
  );
}
