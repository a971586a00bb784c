// Adding and renaming organizations.
import { Button, Group, Modal, Radio, Select, Stack, TextInput } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useState, type SubmitEvent } from 'react';
import { answer, api, problemOf, type Schemas } from '../../api/client';
import { useWords } from '../../i18n';
import { useSession } from '../../session';
import { ProblemNote } from '../../ui/Problem';
import type { Forest, Organization } from './data';

const TOP = '';
/** What usually stands below what. */
const BELOW: Record<string, string> = { operator: 'partner', partner: 'customer', customer: 'site', site: 'site' };

/** A short name made of a name: what is typed first is usually good enough. */
export function slugOf(name: string): string {
  return name
    .toLowerCase()
    .replaceAll('ä', 'ae')
    .replaceAll('ö', 'oe')
    .replaceAll('ü', 'ue')
    .replaceAll('ß', 'ss')
    .normalize('NFD')
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '')
    .slice(0, 64);
}

export function AddDialog(props: {
  below: string | null;
  forest: Forest;
  close: () => void;
  added: (id: string) => void;
}) {
  const { t } = useWords();
  return (
    <Modal opened={props.below !== null} onClose={props.close} title={t('organizations.add.title')}>
      {props.below !== null && <AddForm {...props} below={props.below} />}
    </Modal>
  );
}

function AddForm({ below, forest, close, added }: { below: string; forest: Forest; close: () => void; added: (id: string) => void }) {
  const { t } = useWords();
  const session = useSession();
  const client = useQueryClient();
  const mayTop = session.organization == null;
  const [parent, setParent] = useState(below);
  const [name, setName] = useState('');
  const [id, setId] = useState<string | null>(null);
  const [kind, setKind] = useState(BELOW[forest.byId.get(below)?.kind ?? ''] ?? 'customer');
  const add = useMutation({
    mutationFn: (body: Schemas['NewOrganization']) => answer(api.POST('/api/v1/organizations', { body })),
    onSuccess: (made) => {
      close();
      notifications.show({ color: 'green', message: t('organizations.added', { name: made.name }) });
      void client.invalidateQueries().then(() => added(made.id));
    },
  });
  const fault = (field: string) =>
    add.error === null ? undefined : problemOf(add.error).fields.find((one) => one.field === field)?.reason;
  const slug = id ?? slugOf(name);
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    add.mutate({ id: slug, name, kind, parent: parent === TOP ? null : parent });
  };
  const places = [...forest.byId.values()].map((one) => ({ value: one.id, label: one.name }));
  const named = new Set(places.map((one) => one.label));
  // Two of one name are told apart by their short names.
  if (named.size < places.length) for (const place of places) place.label = `${place.label} (${place.value})`;
  return (
    <form onSubmit={submit}>
      <Stack>
        <TextInput
          label={t('organizations.name')}
          value={name}
          onChange={(event) => setName(event.currentTarget.value)}
          error={fault('name')}
          maxLength={200}
          required
          withAsterisk={false}
          data-autofocus
        />
        <TextInput
          label={t('organizations.id')}
          description={t('organizations.id.hint')}
          value={slug}
          onChange={(event) => setId(event.currentTarget.value)}
          error={fault('id')}
          maxLength={64}
          required
          withAsterisk={false}
        />
        <Select
          label={t('organizations.above')}
          data={mayTop ? [{ value: TOP, label: t('organizations.above.none') }, ...places] : places}
          value={parent}
          onChange={(value) => setParent(value ?? TOP)}
          allowDeselect={false}
          searchable
          limit={100}
          error={fault('parent')}
        />
        <Radio.Group label={t('organizations.kind')} value={kind} onChange={setKind} error={fault('kind')}>
          <Stack gap="xs" mt={4}>
            {(['partner', 'customer', 'site', ...(mayTop ? (['operator'] as const) : [])] as const).map((one) => (
              <Radio
                key={one}
                value={one}
                label={t(`organizations.kind.${one}`)}
                description={t(`organizations.kind.${one}.help`)}
              />
            ))}
          </Stack>
        </Radio.Group>
        {add.error !== null && <ProblemNote error={add.error} />}
        <Group justify="flex-end">
          <Button variant="default" onClick={close}>
            {t('action.cancel')}
          </Button>
          <Button type="submit" loading={add.isPending}>
            {t('organizations.add')}
          </Button>
        </Group>
      </Stack>
    </form>
  );
}

export function RenameDialog({ one, close }: { one: Organization | null; close: () => void }) {
  const { t } = useWords();
  return (
    <Modal
      opened={one !== null}
      onClose={close}
      title={one === null ? '' : t('organizations.rename.title', { name: one.name })}
    >
      {one !== null && <RenameForm one={one} close={close} />}
    </Modal>
  );
}

function RenameForm({ one, close }: { one: Organization; close: () => void }) {
  const { t } = useWords();
  const client = useQueryClient();
  const [name, setName] = useState(one.name);
  const rename = useMutation({
    mutationFn: () =>
      answer(api.PATCH('/api/v1/organizations/{org}', { params: { path: { org: one.id } }, body: { name } })),
    onSuccess: (now) => {
      close();
      notifications.show({ color: 'green', message: t('organizations.renamed', { name: now.name }) });
      void client.invalidateQueries();
    },
  });
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    rename.mutate();
  };
  return (
    <form onSubmit={submit}>
      <Stack>
        <TextInput
          label={t('organizations.name')}
          value={name}
          onChange={(event) => setName(event.currentTarget.value)}
          maxLength={200}
          required
          withAsterisk={false}
          data-autofocus
        />
        {rename.error !== null && <ProblemNote error={rename.error} />}
        <Group justify="flex-end">
          <Button variant="default" onClick={close}>
            {t('action.cancel')}
          </Button>
          <Button type="submit" loading={rename.isPending}>
            {t('action.save')}
          </Button>
        </Group>
      </Stack>
    </form>
  );
}
