// Settings of an organization: what holds, where it was set, and changing or resetting it.
import { Box, Button, Group, Stack, Switch, Text, TextInput, Title } from '@mantine/core';
import { IconAdjustments, IconSearch } from '@tabler/icons-react';
import { useState } from 'react';
import { useWords } from '../../i18n';
import { useMay } from '../../session';
import { Confirm } from '../../ui/Confirm';
import { DataTable, type Column } from '../../ui/DataTable';
import { SetBy, SetHere } from '../../ui/Origin';
import { Empty, Panel, Waiting } from '../../ui/Page';
import { ProblemNote } from '../../ui/Problem';
import { useChange, useSettings } from './data';
import { EditSetting } from './EditSetting';
import { Unsaved } from './Meanwhile';
import { Reach } from './Reach';
import { GROUPS, groupOf, useSettingWords, type GroupId, type Setting } from './words';

/** Every setting, in groups, with a search. */
export function AllSettings({ org, title }: { org: string; title?: string }) {
  const { t } = useWords();
  const words = useSettingWords();
  const [search, setSearch] = useState('');
  const [onlyOwn, setOnlyOwn] = useState(false);
  const mayChange = useMay('settings.write');
  const wanted = search.trim().toLocaleLowerCase();
  const fits = (setting: Setting) =>
    (!onlyOwn || setting.own) &&
    (wanted === '' ||
      [setting.key, words.label(setting), words.help(setting), words.value(setting)].some((text) =>
        text.toLocaleLowerCase().includes(wanted),
      ));
  return (
    <Stack gap="lg">
      {title !== undefined && <Title order={2}>{title}</Title>}
      <Group gap="lg" align="flex-end" role="search">
        <TextInput
          flex="1 1 14rem"
          label={t('settings.search')}
          leftSection={<IconSearch size={16} aria-hidden />}
          value={search}
          onChange={(event) => setSearch(event.currentTarget.value)}
        />
        <Switch
          label={t('settings.onlyOwn')}
          checked={onlyOwn}
          onChange={(event) => setOnlyOwn(event.currentTarget.checked)}
          mb={8}
        />
      </Group>
      {!mayChange && (
        <Text size="sm" c="dimmed">
          {t('settings.readOnly')}
        </Text>
      )}
      <SettingGroups
        org={org}
        fits={fits}
        none={t(onlyOwn && wanted === '' ? 'settings.none.own' : 'settings.none')}
      />
    </Stack>
  );
}

/** The groups that have something to show. */
export function SettingGroups(props: {
  org: string;
  fits?: (setting: Setting) => boolean;
  groups?: readonly GroupId[];
  none?: string;
}) {
  const { t } = useWords();
  const { org } = props;
  const found = useSettings(org);
  const [editing, setEditing] = useState<Setting | null>(null);
  const [resetting, setResetting] = useState<Setting | null>(null);
  if (found.data === undefined) {
    return found.error === null ? (
      <Box className="panel" mih={400}>
        <Waiting rows={10} />
      </Box>
    ) : (
      <ProblemNote error={found.error} retry={() => void found.refetch()} />
    );
  }
  const items = found.data.items.filter((setting) => props.fits?.(setting) ?? true);
  const shown = GROUPS.filter((group) => props.groups?.includes(group.id) ?? true)
    .map(({ id }) => ({ id, rows: items.filter((setting) => groupOf(setting.key) === id) }))
    .filter((group) => group.rows.length > 0);
  return (
    <>
      {shown.length === 0 && (
        <Box className="panel">
          <Empty icon={<IconAdjustments size={32} stroke={1.4} aria-hidden />} title={props.none ?? t('settings.none')} />
        </Box>
      )}
      {shown.map(({ id, rows }) => (
        <Panel key={id} title={t(`setting.group.${id}`)} flush>
          {(id === 'brakes' || id === 'approval') && (
            <Text size="sm" c="dimmed" px="lg" pb="xs" maw="48rem">
              {t(`setting.group.${id}.lead`)}
            </Text>
          )}
          <Rows org={org} label={t(`setting.group.${id}`)} rows={rows} edit={setEditing} reset={setResetting} />
        </Panel>
      ))}
      <EditSetting org={org} setting={editing} close={() => setEditing(null)} />
      <ResetSetting org={org} setting={resetting} close={() => setResetting(null)} />
    </>
  );
}

function Rows(props: {
  org: string;
  label: string;
  rows: Setting[];
  edit: (setting: Setting) => void;
  reset: (setting: Setting) => void;
}) {
  const { t } = useWords();
  const words = useSettingWords();
  const mayChange = useMay('settings.write');
  const columns: Column<Setting>[] = [
    {
      key: 'name',
      header: t('settings.col.setting'),
      bare: true,
      cell: (row) => (
        <>
          <Text size="sm" fw={500} component="span" display="block">
            {words.label(row)}
          </Text>
          <Text size="xs" c="dimmed" component="span" display="block" maw="34rem">
            {words.help(row)}
          </Text>
        </>
      ),
    },
    { key: 'value', header: t('settings.col.value'), width: '24%', cell: (row) => words.value(row) },
    { key: 'from', header: t('settings.col.from'), width: '8.5rem', cell: (row) => <From setting={row} /> },
  ];
  if (mayChange) {
    columns.push({
      key: 'do',
      header: t('settings.col.do'),
      bare: true,
      width: '10.5rem',
      cell: (row) =>
        isFixed(row) ? (
          <Text size="xs" c="dimmed" component="span">
            {t('settings.fixed')}
          </Text>
        ) : (
          <Group gap="xs" wrap="nowrap">
            <Button
              size="compact-sm"
              variant="default"
              onClick={() => props.edit(row)}
              aria-label={t('settings.change.of', { name: words.label(row) })}
            >
              {t('settings.change')}
            </Button>
            {row.own && (
              <Button
                size="compact-sm"
                variant="subtle"
                color="gray"
                onClick={() => props.reset(row)}
                aria-label={t('settings.reset.of', { name: words.label(row) })}
              >
                {t('settings.reset')}
              </Button>
            )}
          </Group>
        ),
    });
  }
  return (
    <div className="under">
      <DataTable label={props.label} columns={columns} rows={props.rows} id={(row) => row.key} empty={null} />
    </div>
  );
}

/** A value from the start of the service wins over whatever is stored. */
export function isFixed(setting: Setting): boolean {
  return setting.from === 'environment' || setting.from === 'flag';
}

const ABOVE = 'organization:above';

export function From({ setting }: { setting: Setting }) {
  const { t } = useWords();
  if (setting.own) return <SetHere />;
  const quiet = (text: string) => (
    <Text size="sm" c="dimmed" component="span">
      {text}
    </Text>
  );
  if (setting.from === ABOVE) return quiet(t('settings.from.above'));
  if (setting.from.startsWith('organization:')) {
    return <SetBy organization={setting.from.slice('organization:'.length)} />;
  }
  if (setting.from === 'file') return quiet(t('settings.from.file'));
  return quiet(t(isFixed(setting) ? 'settings.from.environment' : 'settings.from.default'));
}

export function ResetSetting({ org, setting, close }: { org: string; setting: Setting | null; close: () => void }) {
  const { t } = useWords();
  const words = useSettingWords();
  const change = useChange(org, close);
  const done = () => {
    change.reset();
    close();
  };
  return (
    <Confirm
      opened={setting !== null}
      close={done}
      title={setting === null ? '' : t('settings.reset.title', { name: words.label(setting) })}
      label={t('settings.reset')}
      grave={false}
      act={() => setting !== null && change.mutate({ seen: setting, value: null })}
      working={change.isPending}
      error={null}
    >
      <Text size="sm">
        {setting !== null && t('settings.reset.lead', { value: words.value(setting) })}
      </Text>
      {setting !== null && <Reach org={org} setting={setting} />}
      <Unsaved error={change.error} keep={done} overrule={(seen) => change.mutate({ seen, value: null })} />
    </Confirm>
  );
}
