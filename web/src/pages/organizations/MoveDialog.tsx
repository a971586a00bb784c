// Placing an organization below another one: what that changes is shown first, and exactly that is done.
import { Alert, Box, Button, Group, Modal, Select, Stack, Text } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { keepPreviousData, useMutation, useQueryClient } from '@tanstack/react-query';
import { useState, type ReactNode } from 'react';
import { answer, api, queries, type Schemas } from '../../api/client';
import { useWords } from '../../i18n';
import { useSession } from '../../session';
import { useWord } from '../../ui/Badges';
import { Waiting } from '../../ui/Page';
import { ProblemNote } from '../../ui/Problem';
import { useSettings } from '../settings/data';
import { useSettingWords } from '../settings/words';
import type { Forest, Organization } from './data';

type Move = Schemas['MoveDoc'];
const PATH = '/api/v1/organizations/{org}/move';
const TOP = '';

interface Part {
  one: Organization;
  forest: Forest;
  close: () => void;
}

export function MoveDialog({ one, ...rest }: Omit<Part, 'one'> & { one: Organization | null }) {
  const { t } = useWords();
  return (
    <Modal
      opened={one !== null}
      onClose={rest.close}
      title={one === null ? '' : t('organizations.move.title', { name: one.name })}
      size="lg"
    >
      {one !== null && <MoveForm one={one} {...rest} />}
    </Modal>
  );
}

/** An organization with all below it cannot be placed there. */
function within(forest: Forest, id: string): Set<string> {
  const found = new Set([id]);
  for (const at of found) for (const below of forest.below.get(at) ?? []) found.add(below.id);
  return found;
}

function MoveForm({ one, forest, close }: Part) {
  const { t } = useWords();
  const session = useSession();
  const client = useQueryClient();
  const [parent, setParent] = useState<string | null>(null);
  const query = parent === null || parent === TOP ? {} : { parent };
  const params = { path: { org: one.id }, query };
  const found = queries.useQuery('get', PATH, { params }, {
    enabled: parent !== null,
    placeholderData: keepPreviousData,
    staleTime: 0,
    retry: false,
  });
  const move = useMutation({
    mutationFn: (token: string) =>
      answer(api.POST(PATH, { params: { path: { org: one.id } }, body: { ...query, token } })),
    onSuccess: () => {
      close();
      const place = parent === null || parent === TOP ? t('organizations.top') : (forest.byId.get(parent)?.name ?? parent);
      notifications.show({ color: 'green', message: t('organizations.moved', { name: one.name, place }) });
      void client.invalidateQueries();
    },
    // What was shown is not so any more: it is read anew beside the words why.
    onError: () => void found.refetch(),
  });
  const own = within(forest, one.id);
  const places = [...forest.byId.values()]
    .filter((place) => !own.has(place.id) && place.id !== one.parent)
    .map((place) => ({ value: place.id, label: place.name }));
  const isNamedTwice = new Set(places.map((place) => place.label)).size < places.length;
  if (isNamedTwice) for (const place of places) place.label = `${place.label} (${place.value})`;
  const mayTop = session.organization == null && one.parent != null;
  const shown = parent === null ? undefined : found.data;
  const isCurrent = shown !== undefined && !found.isFetching && found.error === null;
  return (
    <Stack>
      <Text size="sm">{t('organizations.move.lead')}</Text>
      <Select
        label={t('organizations.move.where')}
        data={mayTop ? [{ value: TOP, label: t('organizations.above.none') }, ...places] : places}
        value={parent}
        onChange={(value) => {
          move.reset();
          setParent(value);
        }}
        allowDeselect={false}
        searchable
        limit={100}
        placeholder={t('organizations.move.choose')}
        nothingFoundMessage={t('organizations.none')}
        data-autofocus
      />
      {found.error !== null && <ProblemNote error={found.error} />}
      {parent !== null && found.data === undefined && found.error === null && <Waiting rows={4} />}
      {shown !== undefined && found.error === null && (
        <Box aria-live="polite" aria-busy={found.isFetching}>
          <Outlook move={shown} forest={forest} org={one.id} />
        </Box>
      )}
      {move.error !== null && <ProblemNote error={move.error} />}
      <Group justify="flex-end">
        <Button variant="default" onClick={close}>
          {t('action.cancel')}
        </Button>
        <Button
          disabled={!isCurrent || shown.obstacles.length > 0}
          loading={move.isPending}
          onClick={() => shown !== undefined && move.mutate(shown.token)}
        >
          {t('organizations.move.do')}
        </Button>
      </Group>
    </Stack>
  );
}

/** What changes, in the order in which it matters. */
function Outlook({ move, forest, org }: { move: Move; forest: Forest; org: string }) {
  const { t, tn } = useWords();
  const say = useWord();
  const name = (id: string) => forest.byId.get(id)?.name ?? id;
  const company = (value: string | null | undefined) => value ?? t('organizations.move.noConnection');
  const notes: ReactNode[] = [];
  for (const one of move.companies) {
    const stands = one.mappings > 0 || one.lines > 0;
    const values = { name: name(one.organization), before: company(one.before), after: company(one.after) };
    notes.push(
      <Alert key={`company ${one.organization}`} variant="light" color={stands ? 'red' : 'yellow'} title={t('organizations.move.company', values)}>
        {t(stands ? 'organizations.move.obstacle' : 'organizations.move.company.detail', { mappings: one.mappings, lines: one.lines })}
      </Alert>,
    );
  }
  for (const one of move.imports) {
    notes.push(
      <Alert
        key={`import ${one.importer} ${one.source}`}
        variant="light"
        color="yellow"
        title={t('organizations.move.import', { name: name(one.importer), source: one.source })}
      >
        {t('organizations.move.import.detail')}
      </Alert>,
    );
  }
  const exchanged = [
    ['organizations.move.quantities', move.quantities],
    ['organizations.move.alerts', move.alert_rules],
    ['organizations.move.people', move.people],
  ] as const;
  return (
    <Stack gap="sm">
      <Text size="sm" fw={500}>
        {tn('organizations.move.count', move.organizations.count)}
      </Text>
      {notes}
      {move.settings.length === 0 ? (
        <Text size="sm">{t('organizations.move.noSettings')}</Text>
      ) : (
        <Box>
          <Text size="sm" fw={500}>
            {tn('organizations.move.settings', move.settings.length)}
          </Text>
          <ul className="plainlist">
            {move.settings.map((one) => (
              <ChangedSetting key={`${one.key} ${one.before.value} ${one.after.value} ${one.after.from}`} one={one} org={org} name={name} all={move.organizations.count} />
            ))}
          </ul>
        </Box>
      )}
      {exchanged
        .filter(([, of]) => of.lost > 0 || of.gained > 0)
        .map(([key, of]) => (
          <Text key={key} size="sm">
            {t(key, { lost: of.lost, gained: of.gained })}
          </Text>
        ))}
      {move.pauses.length > 0 && (
        <Alert variant="light" color="cyan" title={t('organizations.move.pauses')}>
          <Text size="sm">{t('organizations.move.pauses.detail')}</Text>
          <ul className="plainlist">
            {move.pauses.map((one) => (
              <li key={`${one.organization} ${one.schedule}`}>
                {name(one.organization)}: {say('schedule', one.schedule)}
              </li>
            ))}
          </ul>
        </Alert>
      )}
    </Stack>
  );
}

function ChangedSetting(props: {
  one: Move['settings'][number];
  org: string;
  name: (id: string) => string;
  all: number;
}) {
  const { t, tn } = useWords();
  const words = useSettingWords();
  const { one, org, name, all } = props;
  const setting = useSettings(org).data?.items.find((item) => item.key === one.key);
  const value = (raw: string) => (setting === undefined ? raw : words.value(setting, raw));
  const from = (text: string) => {
    if (text === 'organization:above') return t('settings.from.above');
    if (text.startsWith('organization:')) return t('settings.from.named', { name: name(text.slice('organization:'.length)) });
    return t(text === 'file' ? 'settings.from.file' : text === 'default' ? 'settings.from.default' : 'settings.from.environment');
  };
  return (
    <li>
      <Text size="sm">
        <b>{setting === undefined ? one.key : words.label(setting)}</b>: {value(one.before.value)} ({from(one.before.from)}) →{' '}
        {value(one.after.value)} ({from(one.after.from)})
        {one.organizations.count < all && <> · {tn('organizations.move.in', one.organizations.count)}</>}
      </Text>
    </li>
  );
}
