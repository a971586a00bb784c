// Tokens of programs: what each may do, until when, and revoking it.
import { Badge, Box, Button, Checkbox, Fieldset, Group, Modal, Radio, Select, Stack, Switch, Text, TextInput } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { IconKey, IconPlus } from '@tabler/icons-react';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useState, type SubmitEvent } from 'react';
import { answer, api, problemOf, queries, type Schemas } from '../../api/client';
import { useFormats } from '../../format';
import { useWords } from '../../i18n';
import { useMay, useOrg, useSession } from '../../session';
import { useWord } from '../../ui/Badges';
import { Confirm } from '../../ui/Confirm';
import { ShownOnce } from '../../ui/Copy';
import { DataTable, type Column } from '../../ui/DataTable';
import { Empty } from '../../ui/Page';
import { ProblemNote } from '../../ui/Problem';

type Token = Schemas['TokenDoc'];
type State = 'active' | 'expired' | 'revoked';

const BASE = '/api/v1/organizations/{org}/tokens';
const DAYS = ['30', '90', '365', '1095'] as const;

function stateOf(token: Token, now: number): State {
  if (token.revoked_at != null) return 'revoked';
  return token.expires_at != null && Date.parse(token.expires_at) <= now ? 'expired' : 'active';
}

export function Tokens() {
  const { t } = useWords();
  const { dayOf, ago } = useFormats();
  const org = useOrg();
  const client = useQueryClient();
  const mayChange = useMay('tokens.write');
  const found = queries.useQuery('get', BASE, { params: { path: { org } } });
  const [adding, setAdding] = useState(false);
  const [old, setOld] = useState(false);
  const [revoking, setRevoking] = useState<Token | null>(null);
  const [once, setOnce] = useState<Token | null>(null);
  const [now] = useState(() => Date.now());
  const revoke = useMutation({
    mutationFn: (token: Token) =>
      answer(api.DELETE(`${BASE}/{token}`, { params: { path: { org, token: token.id } } })),
    onSuccess: (_, token) => {
      setRevoking(null);
      notifications.show({ color: 'green', message: t('tokens.revoked', { name: token.name }) });
      void client.invalidateQueries();
    },
  });
  const all = found.data?.items;
  const rows = all?.filter((token) => old || stateOf(token, now) === 'active');
  const columns: Column<Token>[] = [
    {
      key: 'name',
      header: t('tokens.col.name'),
      bare: true,
      cell: (row) => (
        <>
          <Text size="sm" fw={500} component="span" display="block">
            {row.name}
          </Text>
          <Text size="xs" c="dimmed" component="span">
            {row.prefix}…
          </Text>
        </>
      ),
    },
    { key: 'may', header: t('tokens.col.may'), cell: (row) => <May rights={row.rights} /> },
    {
      key: 'until',
      header: t('tokens.col.until'),
      cell: (row) => (row.expires_at == null ? t('setting.forEver') : dayOf(row.expires_at)),
    },
    {
      key: 'used',
      header: t('tokens.col.used'),
      cell: (row) => (row.last_used_at == null ? t('tokens.never') : ago(row.last_used_at)),
    },
    { key: 'state', header: t('tokens.col.state'), cell: (row) => <StateBadge state={stateOf(row, now)} /> },
  ];
  if (mayChange) {
    columns.push({
      key: 'do',
      header: t('tokens.col.do'),
      bare: true,
      width: '8rem',
      cell: (row) =>
        stateOf(row, now) === 'active' && (
          <Button
            size="compact-sm"
            variant="default"
            onClick={() => setRevoking(row)}
            aria-label={t('tokens.revoke.of', { name: row.name })}
          >
            {t('tokens.revoke')}
          </Button>
        ),
    });
  }
  const name = revoking?.name ?? '';
  return (
    <>
      <Group justify="space-between" gap="sm" align="flex-start">
        <Text size="sm" c="dimmed" maw="44rem" flex="1 1 16rem">
          {t('tokens.lead')}
        </Text>
        {mayChange && (
          <Button leftSection={<IconPlus size={16} aria-hidden />} onClick={() => setAdding(true)}>
            {t('tokens.add')}
          </Button>
        )}
      </Group>
      {once?.token != null && (
        <ShownOnce title={t('tokens.once', { name: once.name })} value={once.token} note={t('tokens.once.note')} />
      )}
      <Box className="panel">
        {all !== undefined && all.some((token) => stateOf(token, now) !== 'active') && (
          <Box p="md" className="line">
            <Switch
              label={t('tokens.showOld')}
              checked={old}
              onChange={(event) => setOld(event.currentTarget.checked)}
            />
          </Box>
        )}
        <DataTable
          label={t('settings.tab.tokens')}
          columns={columns}
          rows={rows}
          id={(row) => row.id}
          error={found.error}
          retry={() => void found.refetch()}
          empty={
            <Empty
              icon={<IconKey size={32} stroke={1.4} aria-hidden />}
              title={t('tokens.none')}
              detail={t('tokens.none.detail')}
            />
          }
        />
      </Box>
      <Modal opened={adding} onClose={() => setAdding(false)} title={t('tokens.add.title')} size="lg">
        {adding && (
          <AddForm
            close={() => setAdding(false)}
            added={(token) => {
              setAdding(false);
              setOnce(token);
            }}
          />
        )}
      </Modal>
      <Confirm
        opened={revoking !== null}
        close={() => {
          revoke.reset();
          setRevoking(null);
        }}
        title={t('tokens.revoke.title', { name })}
        label={t('tokens.revoke')}
        act={() => revoking !== null && revoke.mutate(revoking)}
        working={revoke.isPending}
        error={revoke.error}
      >
        <Text size="sm">{t('tokens.revoke.lead')}</Text>
      </Confirm>
    </>
  );
}

function StateBadge({ state }: { state: State }) {
  const { t } = useWords();
  const color = state === 'active' ? 'green' : 'gray';
  return (
    <Badge className="badge" color={color} variant="light" tt="none" fw={500} radius="sm">
      {t(`tokens.state.${state}`)}
    </Badge>
  );
}

/** One right in words; many are counted and listed on demand. */
function May({ rights }: { rights: string[] }) {
  const { tn } = useWords();
  const say = useWord();
  if (rights.length <= 2) return rights.map((right) => say('right', right)).join(' · ');
  return (
    <details className="inputs" style={{ marginTop: 0 }}>
      <summary>{tn('tokens.rights', rights.length)}</summary>
      <ul className="plainlist">
        {rights.map((right) => (
          <li key={right}>{say('right', right)}</li>
        ))}
      </ul>
    </details>
  );
}

type Preset = 'feed' | 'read' | 'own';

function AddForm({ close, added }: { close: () => void; added: (token: Token) => void }) {
  const { t } = useWords();
  const say = useWord();
  const org = useOrg();
  const { rights: mine } = useSession();
  const client = useQueryClient();
  const [name, setName] = useState('');
  const [days, setDays] = useState<string>('365');
  const [preset, setPreset] = useState<Preset>(mine.includes('feed.write') ? 'feed' : 'own');
  const [chosen, setChosen] = useState<string[]>([]);
  const add = useMutation({
    mutationFn: (body: Schemas['NewToken']) => answer(api.POST(BASE, { params: { path: { org } }, body })),
    onSuccess: (token) => {
      added(token);
      void client.invalidateQueries();
    },
  });
  const fault = (field: string) =>
    add.error === null ? undefined : problemOf(add.error).fields.find((one) => one.field === field)?.reason;
  const reading = mine.filter((right) => right.endsWith('.read') && right !== 'users.read' && right !== 'tokens.read');
  const rights = preset === 'feed' ? ['feed.write'] : preset === 'read' ? reading : chosen;
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    add.mutate({ name, rights, days: parseInt(days, 10) });
  };
  return (
    <form onSubmit={submit}>
      <Stack>
        <TextInput
          label={t('tokens.name')}
          description={t('tokens.name.hint')}
          value={name}
          onChange={(event) => setName(event.currentTarget.value)}
          error={fault('name')}
          maxLength={100}
          required
          withAsterisk={false}
          data-autofocus
        />
        <Select
          label={t('tokens.days')}
          allowDeselect={false}
          data={DAYS.map((one) => ({ value: one, label: t(`tokens.days.${one}`) }))}
          value={days}
          onChange={(value) => setDays(value ?? '365')}
          error={fault('days')}
        />
        <Radio.Group
          label={t('tokens.may')}
          description={t('tokens.may.hint')}
          value={preset}
          onChange={(value) => setPreset(value)}
        >
          <Stack gap="xs" mt="xs">
            {mine.includes('feed.write') && <Radio value="feed" label={t('tokens.preset.feed')} />}
            <Radio value="read" label={t('tokens.preset.read')} />
            <Radio value="own" label={t('tokens.preset.own')} />
          </Stack>
        </Radio.Group>
        {preset === 'own' && (
          <Fieldset legend={t('tokens.preset.own')}>
            <Checkbox.Group value={chosen} onChange={setChosen} error={fault('rights')} aria-label={t('tokens.may')}>
              <Stack gap={6}>
                {mine.map((right) => (
                  <Checkbox key={right} value={right} size="sm" label={say('right', right)} />
                ))}
              </Stack>
            </Checkbox.Group>
          </Fieldset>
        )}
        {add.error !== null && <ProblemNote error={add.error} />}
        <Group justify="flex-end">
          <Button variant="default" onClick={close}>
            {t('action.cancel')}
          </Button>
          <Button type="submit" loading={add.isPending} disabled={rights.length === 0}>
            {t('tokens.add')}
          </Button>
        </Group>
      </Stack>
    </form>
  );
}
