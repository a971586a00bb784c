// The connections of an organization: testing them, replacing their keys, reading through them, and callbacks.
import { Badge, Box, Button, Group, Modal, PasswordInput, Stack, Text, TextInput, Title } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { IconPlug, IconPlus } from '@tabler/icons-react';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useState, type SubmitEvent } from 'react';
import { Link } from 'react-router';
import { answer, api, problemOf, queries } from '../api/client';
import { useStart } from '../api/runs';
import { useFormats } from '../format';
import { useWords } from '../i18n';
import { useMay, useOrg } from '../session';
import { Facts } from '../ui/Changes';
import { Confirm } from '../ui/Confirm';
import { ShownOnce } from '../ui/Copy';
import { Empty, Page, Waiting } from '../ui/Page';
import { ProblemNote } from '../ui/Problem';
import { RunProgress } from '../ui/RunProgress';
import { BASE, useConnections, useInherited, useTest, type Connection, type Tested } from './connections/data';
import { RightsReport } from './connections/Rights';

export default function ConnectionsPage() {
  const { t } = useWords();
  const org = useOrg();
  const mayChange = useMay('connections.write');
  const own = queries.useQuery('get', '/api/v1/organizations/{org}', { params: { path: { org } } });
  const found = useConnections(org);
  const inherited = useInherited(org);
  const add = (
    <Button
      component={Link}
      to={`/o/${encodeURIComponent(org)}/connections/new`}
      leftSection={<IconPlus size={16} aria-hidden />}
    >
      {t('connections.add')}
    </Button>
  );
  const items = found.data?.items;
  return (
    <Page
      title={t('connections.title')}
      lead={t('connections.lead', { name: own.data?.name ?? org })}
      actions={mayChange && items !== undefined && items.length > 0 && add}
    >
      {items === undefined ? (
        found.error === null ? (
          <Box className="panel" mih={240}>
            <Waiting rows={5} />
          </Box>
        ) : (
          <ProblemNote error={found.error} retry={() => void found.refetch()} />
        )
      ) : items.length === 0 ? (
        <Box className="panel">
          <Empty
            icon={<IconPlug size={32} stroke={1.4} aria-hidden />}
            title={t('connections.none')}
            detail={t('connections.none.detail')}
            action={mayChange ? add : <Text size="sm">{t('connections.none.ask')}</Text>}
          />
        </Box>
      ) : (
        items.map((one) => <Card key={`${one.name} ${one.url}`} connection={one} inherited={inherited(one)} />)
      )}
    </Page>
  );
}

function Card({ connection, inherited }: { connection: Connection; inherited: boolean }) {
  const { t } = useWords();
  const { instant } = useFormats();
  const org = useOrg();
  const mayChange = useMay('connections.write');
  const mayRun = useMay('runs.write');
  const { name } = connection;
  const test = useTest(org);
  const start = useStart(org);
  const [run, setRun] = useState<string | null>(null);
  const [rotating, setRotating] = useState(false);
  const [tested, setTested] = useState<Tested | null>(null);
  const begin = () => test.mutate(name, { onSuccess: setTested });
  return (
    <Box component="section" className="panel" p="lg" aria-label={name}>
      <Stack gap="md">
        <Group justify="space-between" gap="sm">
          <Group gap="sm">
            <Title order={2}>{name}</Title>
            {inherited && (
              <Badge className="badge" color="indigo" variant="light" tt="none" fw={500} radius="sm">
                {t('connections.inherited')}
              </Badge>
            )}
          </Group>
          <Group gap="xs">
            {mayChange && (
              <Button
                size="xs"
                variant="light"
                loading={test.isPending}
                onClick={begin}
                aria-label={t('connections.test.of', { name })}
              >
                {t('connections.test')}
              </Button>
            )}
            {mayRun && (
              <Button
                size="xs"
                variant="default"
                loading={start.isPending}
                onClick={() =>
                  start.mutate({ kind: 'pull', connection: name }, { onSuccess: (begun) => setRun(begun.run_id) })
                }
                title={t('connections.read.lead')}
                aria-label={t('connections.read.of', { name })}
              >
                {t('connections.read')}
              </Button>
            )}
            {mayChange && !inherited && (
              <Button
                size="xs"
                variant="default"
                onClick={() => setRotating(true)}
                aria-label={t('connections.rotate.of', { name })}
              >
                {t('connections.rotate')}
              </Button>
            )}
          </Group>
        </Group>
        {inherited && (
          <Text size="sm" c="dimmed">
            {t('connections.inherited.note')}
          </Text>
        )}
        <Facts
          facts={[
            [t('connections.url'), connection.url],
            [t('connections.company'), connection.company],
            [t('connections.publicKey'), connection.public_key],
            [t('connections.clientId'), connection.client_id],
            [t('connections.since'), instant(connection.created_at)],
          ]}
        />
        {start.error !== null && <ProblemNote error={start.error} />}
        {run !== null && <RunProgress id={run} onClose={() => setRun(null)} />}
        {test.isPending && (
          <Text size="sm" c="dimmed" role="status">
            {t('connections.testing')}
          </Text>
        )}
        {test.error !== null && <ProblemNote error={test.error} retry={begin} />}
        {tested !== null && test.error === null && (
          <RightsReport tested={tested} again={begin} working={test.isPending} />
        )}
        {mayChange && !inherited && <Callback name={name} />}
      </Stack>
      <RotateDialog
        connection={rotating ? connection : null}
        close={() => setRotating(false)}
        rotated={(found) => {
          setRotating(false);
          setTested(found);
        }}
      />
    </Box>
  );
}

/** Where ConnectWise tells of changes: an address that is shown once. */
function Callback({ name }: { name: string }) {
  const { t } = useWords();
  const org = useOrg();
  const client = useQueryClient();
  const [ending, setEnding] = useState(false);
  const params = { path: { org, connection: name } };
  const make = useMutation({ mutationFn: () => answer(api.POST(`${BASE}/{connection}/callback`, { params })) });
  const end = useMutation({
    mutationFn: () => answer(api.DELETE(`${BASE}/{connection}/callback`, { params })),
    onSuccess: () => {
      setEnding(false);
      make.reset();
      notifications.show({ color: 'green', message: t('connections.callback.ended') });
      void client.invalidateQueries();
    },
  });
  return (
    <details className="inputs">
      <summary>{t('connections.callback')}</summary>
      <Stack gap="sm" pt="xs">
        <Text size="sm" maw="44rem">
          {t('connections.callback.lead')}
        </Text>
        {make.data?.address != null && (
          <ShownOnce
            title={t('connections.callback.made')}
            value={make.data.address}
            note={t('connections.callback.note')}
          />
        )}
        {make.error !== null && <ProblemNote error={make.error} />}
        <Group gap="xs">
          <Button size="xs" variant="default" loading={make.isPending} onClick={() => make.mutate()}>
            {t('connections.callback.make')}
          </Button>
          <Button size="xs" variant="subtle" color="gray" onClick={() => setEnding(true)}>
            {t('connections.callback.end')}
          </Button>
        </Group>
      </Stack>
      <Confirm
        opened={ending}
        close={() => {
          end.reset();
          setEnding(false);
        }}
        title={t('connections.callback.end.title', { name })}
        label={t('connections.callback.end')}
        act={() => end.mutate()}
        working={end.isPending}
        error={end.error}
      >
        <Text size="sm">{t('connections.callback.end.lead')}</Text>
      </Confirm>
    </details>
  );
}

function RotateDialog(props: { connection: Connection | null; close: () => void; rotated: (tested: Tested) => void }) {
  const { t } = useWords();
  const { connection } = props;
  return (
    <Modal
      opened={connection !== null}
      onClose={props.close}
      title={connection === null ? '' : t('connections.rotate.title', { name: connection.name })}
    >
      {connection !== null && <RotateForm {...props} connection={connection} />}
    </Modal>
  );
}

function RotateForm({ connection, close, rotated }: { connection: Connection; close: () => void; rotated: (tested: Tested) => void }) {
  const { t } = useWords();
  const org = useOrg();
  const client = useQueryClient();
  const [publicKey, setPublicKey] = useState('');
  const [privateKey, setPrivateKey] = useState('');
  const [clientId, setClientId] = useState('');
  const given = (text: string) => (text.trim() === '' ? null : text.trim());
  const rotate = useMutation({
    mutationFn: () => {
      const params = { path: { org, connection: connection.name } };
      const body = { private_key: privateKey, public_key: given(publicKey), client_id: given(clientId) };
      return answer(api.POST(`${BASE}/{connection}/rotate`, { params, body }));
    },
    onSuccess: (tested) => {
      notifications.show({ color: 'green', message: t('connections.rotated', { name: connection.name }) });
      rotated(tested);
      void client.invalidateQueries();
    },
  });
  const fault = (field: string) =>
    rotate.error === null ? undefined : problemOf(rotate.error).fields.find((one) => one.field === field)?.reason;
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    rotate.mutate();
  };
  return (
    <form onSubmit={submit} autoComplete="off">
      <Stack>
        <Text size="sm">{t('connections.rotate.lead')}</Text>
        <TextInput
          label={t('connections.publicKey')}
          description={t('connections.keep')}
          placeholder={connection.public_key}
          value={publicKey}
          onChange={(event) => setPublicKey(event.currentTarget.value)}
          error={fault('public_key')}
          data-autofocus
        />
        <PasswordInput
          label={t('connections.privateKey')}
          description={t('connect.privateKey.hint')}
          autoComplete="off"
          value={privateKey}
          onChange={(event) => setPrivateKey(event.currentTarget.value)}
          error={fault('private_key')}
          required
          withAsterisk={false}
        />
        <TextInput
          label={t('connections.clientId')}
          description={t('connections.keep')}
          placeholder={connection.client_id}
          value={clientId}
          onChange={(event) => setClientId(event.currentTarget.value)}
          error={fault('client_id')}
        />
        {rotate.error !== null && <ProblemNote error={rotate.error} />}
        <Group justify="flex-end">
          <Button variant="default" onClick={close}>
            {t('action.cancel')}
          </Button>
          <Button type="submit" loading={rotate.isPending}>
            {t('connections.rotate')}
          </Button>
        </Group>
      </Stack>
    </form>
  );
}
