// People of an organization: adding them, their roles, shutting them out, and new one-time passwords.
import { Badge, Box, Button, Group, Modal, Radio, Stack, Text, TextInput } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { IconUserPlus, IconUsers } from '@tabler/icons-react';
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

type Person = Schemas['UserDoc'];
type Asked = { what: 'change' | 'reset' | 'disable'; person: Person };

const BASE = '/api/v1/organizations/{org}/users';
/** The roles that an organization gives; operators are made where the service is installed. */
const ROLES = ['admin', 'partner_operator', 'billing', 'read_only'] as const;

export function People() {
  const { t } = useWords();
  const { dayOf } = useFormats();
  const say = useWord();
  const org = useOrg();
  const session = useSession();
  const mayChange = useMay('users.write');
  const found = queries.useQuery('get', BASE, { params: { path: { org } } });
  const [adding, setAdding] = useState(false);
  const [asked, setAsked] = useState<Asked | null>(null);
  const [once, setOnce] = useState<Person | null>(null);
  const close = () => setAsked(null);
  const change = useChangePerson(close);
  const reset = useReset((person) => {
    close();
    setOnce(person);
  });
  const columns: Column<Person>[] = [
    {
      key: 'person',
      header: t('people.col.person'),
      bare: true,
      cell: (row) => (
        <>
          <Text size="sm" fw={500} component="span" display="block">
            {row.name}
            {row.id === session.id && ` (${t('people.you')})`}
          </Text>
          {row.name !== row.email && (
            <Text size="xs" c="dimmed" component="span">
              {row.email}
            </Text>
          )}
        </>
      ),
    },
    { key: 'role', header: t('people.col.role'), cell: (row) => say('role', row.role) },
    { key: 'state', header: t('people.col.state'), cell: (row) => <State person={row} /> },
    { key: 'added', header: t('people.col.added'), cell: (row) => dayOf(row.created_at) },
  ];
  if (mayChange) {
    columns.push({
      key: 'do',
      header: t('people.col.do'),
      bare: true,
      width: '20rem',
      cell: (row) => (
        <Group gap="xs">
          <Button
            size="compact-sm"
            variant="default"
            onClick={() => setAsked({ what: 'change', person: row })}
            aria-label={t('people.change.of', { name: row.name })}
          >
            {t('people.change')}
          </Button>
          {!row.disabled && (
            <Button
              size="compact-sm"
              variant="default"
              onClick={() => setAsked({ what: 'reset', person: row })}
              aria-label={t('people.reset.of', { name: row.name })}
            >
              {t('people.reset')}
            </Button>
          )}
          {row.id !== session.id && (
            <Button
              size="compact-sm"
              variant="subtle"
              color="gray"
              onClick={() =>
                row.disabled
                  ? change.mutate({ id: row.id, disabled: false })
                  : setAsked({ what: 'disable', person: row })
              }
              aria-label={t(row.disabled ? 'people.enable.of' : 'people.disable.of', { name: row.name })}
            >
              {t(row.disabled ? 'people.enable' : 'people.disable')}
            </Button>
          )}
        </Group>
      ),
    });
  }
  const name = asked?.person.name ?? '';
  return (
    <>
      <Group justify="space-between" gap="sm" align="flex-start">
        <Text size="sm" c="dimmed" maw="44rem" flex="1 1 16rem">
          {t('people.lead')}
        </Text>
        {mayChange && (
          <Button leftSection={<IconUserPlus size={16} aria-hidden />} onClick={() => setAdding(true)}>
            {t('people.add')}
          </Button>
        )}
      </Group>
      {once?.one_time_password != null && (
        <ShownOnce
          title={t('people.once', { name: once.name })}
          value={once.one_time_password}
          note={t('people.once.note')}
        />
      )}
      {asked === null && change.error !== null && <ProblemNote error={change.error} />}
      <Box className="panel">
        <DataTable
          label={t('settings.tab.people')}
          columns={columns}
          rows={found.data?.items}
          id={(row) => row.id}
          error={found.error}
          retry={() => void found.refetch()}
          empty={
            <Empty
              icon={<IconUsers size={32} stroke={1.4} aria-hidden />}
              title={t('people.none')}
              detail={t('people.none.detail')}
            />
          }
        />
      </Box>
      <AddDialog
        opened={adding}
        close={() => setAdding(false)}
        added={(person) => {
          setAdding(false);
          setOnce(person);
        }}
      />
      <ChangeDialog person={asked?.what === 'change' ? asked.person : null} close={close} />
      <Confirm
        opened={asked?.what === 'reset'}
        close={() => {
          reset.reset();
          close();
        }}
        title={t('people.reset.title', { name })}
        label={t('people.reset')}
        act={() => asked !== null && reset.mutate(asked.person.id)}
        working={reset.isPending}
        error={reset.error}
      >
        <Text size="sm">{t('people.reset.lead', { name })}</Text>
      </Confirm>
      <Confirm
        opened={asked?.what === 'disable'}
        close={() => {
          change.reset();
          close();
        }}
        title={t('people.disable.title', { name })}
        label={t('people.disable')}
        act={() => asked !== null && change.mutate({ id: asked.person.id, disabled: true })}
        working={change.isPending}
        error={change.error}
      >
        <Text size="sm">{t('people.disable.lead', { name })}</Text>
      </Confirm>
    </>
  );
}

function State({ person }: { person: Person }) {
  const { t } = useWords();
  const state = person.disabled ? 'disabled' : person.must_change_password ? 'fresh' : 'active';
  const colors = { disabled: 'red', fresh: 'yellow', active: 'green' } as const;
  return (
    <Badge className="badge" color={colors[state]} variant="light" tt="none" fw={500} radius="sm">
      {t(`people.state.${state}`)}
    </Badge>
  );
}

function useChangePerson(done: () => void) {
  const { t } = useWords();
  const org = useOrg();
  const client = useQueryClient();
  return useMutation({
    mutationFn: ({ id, ...body }: { id: string } & Schemas['UserChange']) =>
      answer(api.PATCH(`${BASE}/{user}`, { params: { path: { org, user: id } }, body })),
    onSuccess: (now) => {
      done();
      notifications.show({ color: 'green', message: t('people.changed', { name: now.name }) });
      void client.invalidateQueries();
    },
  });
}

function useReset(done: (person: Person) => void) {
  const org = useOrg();
  const client = useQueryClient();
  return useMutation({
    mutationFn: (user: string) => answer(api.POST(`${BASE}/{user}/reset`, { params: { path: { org, user } } })),
    onSuccess: (person) => {
      done(person);
      void client.invalidateQueries();
    },
  });
}

function RoleChoice({ value, setValue, error }: { value: string; setValue: (role: string) => void; error?: string | undefined }) {
  const { t } = useWords();
  const say = useWord();
  return (
    <Radio.Group label={t('people.role')} value={value} onChange={setValue} error={error}>
      <Stack gap="xs" mt={4}>
        {ROLES.map((role) => (
          <Radio key={role} value={role} label={say('role', role)} description={t(`people.role.${role}.help`)} />
        ))}
      </Stack>
    </Radio.Group>
  );
}

function AddDialog(props: { opened: boolean; close: () => void; added: (person: Person) => void }) {
  const { t } = useWords();
  return (
    <Modal opened={props.opened} onClose={props.close} title={t('people.add.title')}>
      {props.opened && <AddForm close={props.close} added={props.added} />}
    </Modal>
  );
}

function AddForm({ close, added }: { close: () => void; added: (person: Person) => void }) {
  const { t } = useWords();
  const org = useOrg();
  const client = useQueryClient();
  const [email, setEmail] = useState('');
  const [name, setName] = useState('');
  const [role, setRole] = useState('billing');
  const add = useMutation({
    mutationFn: (body: Schemas['NewUser']) => answer(api.POST(BASE, { params: { path: { org } }, body })),
    onSuccess: (person) => {
      added(person);
      void client.invalidateQueries();
    },
  });
  const fault = (field: string) =>
    add.error === null ? undefined : problemOf(add.error).fields.find((one) => one.field === field)?.reason;
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    add.mutate({ email, name: name.trim() === '' ? null : name, role });
  };
  return (
    <form onSubmit={submit}>
      <Stack>
        <TextInput
          type="email"
          label={t('people.email')}
          value={email}
          onChange={(event) => setEmail(event.currentTarget.value)}
          error={fault('email')}
          autoComplete="off"
          required
          withAsterisk={false}
          data-autofocus
        />
        <TextInput
          label={t('people.name')}
          value={name}
          onChange={(event) => setName(event.currentTarget.value)}
          error={fault('name')}
          maxLength={200}
          autoComplete="off"
        />
        <RoleChoice value={role} setValue={setRole} error={fault('role')} />
        {add.error !== null && <ProblemNote error={add.error} />}
        <Group justify="flex-end">
          <Button variant="default" onClick={close}>
            {t('action.cancel')}
          </Button>
          <Button type="submit" loading={add.isPending}>
            {t('people.add')}
          </Button>
        </Group>
      </Stack>
    </form>
  );
}

function ChangeDialog({ person, close }: { person: Person | null; close: () => void }) {
  const { t } = useWords();
  return (
    <Modal
      opened={person !== null}
      onClose={close}
      title={person === null ? '' : t('people.change.title', { name: person.name })}
    >
      {person !== null && <ChangeForm person={person} close={close} />}
    </Modal>
  );
}

function ChangeForm({ person, close }: { person: Person; close: () => void }) {
  const { t } = useWords();
  const session = useSession();
  const [name, setName] = useState(person.name);
  const [role, setRole] = useState(person.role);
  const change = useChangePerson(close);
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    change.mutate({ id: person.id, name, ...(role === person.role ? {} : { role }) });
  };
  return (
    <form onSubmit={submit}>
      <Stack>
        <TextInput
          label={t('people.name')}
          value={name}
          onChange={(event) => setName(event.currentTarget.value)}
          maxLength={200}
          required
          withAsterisk={false}
          data-autofocus
        />
        {person.id !== session.id && <RoleChoice value={role} setValue={setRole} />}
        {role !== person.role && <Text size="sm">{t('people.change.note', { name: person.name })}</Text>}
        {change.error !== null && <ProblemNote error={change.error} />}
        <Group justify="flex-end">
          <Button variant="default" onClick={close}>
            {t('action.cancel')}
          </Button>
          <Button type="submit" loading={change.isPending}>
            {t('action.save')}
          </Button>
        </Group>
      </Stack>
    </form>
  );
}
