// By which rule alerts become tickets: each value with the organization that set it, set here or inherited.
import { Badge, Box, Button, Group, Select, Stack, Text } from '@mantine/core';
import { useState } from 'react';
import { useSearchParams } from 'react-router';
import { useWords } from '../../i18n';
import { useMay, useOrg } from '../../session';
import { Confirm } from '../../ui/Confirm';
import { DataTable, type Column } from '../../ui/DataTable';
import { SetBy, SetHere } from '../../ui/Origin';
import { Empty, Panel, Waiting } from '../../ui/Page';
import { ProblemNote } from '../../ui/Problem';
import {
  EVERY,
  SEVERITIES,
  setRule,
  unsetRule,
  useAlertWrite,
  useRules,
  type RuleEntry,
  type RuleValue,
  type Which,
} from './data';
import { TargetDialog } from './TargetDialog';
import { ValueDialog } from './ValueDialog';
import { GROUPS, groupOf, useAlertWords } from './words';

export function Rules() {
  const { t } = useWords();
  const [params, setParams] = useSearchParams();
  const which: Which = { kind: params.get('kind') ?? EVERY, severity: params.get('severity') };
  const found = useRules(which);
  const choose = (next: Which) =>
    setParams(
      {
        tab: 'rules',
        ...(next.kind === EVERY ? {} : { kind: next.kind }),
        ...(next.severity === null ? {} : { severity: next.severity }),
      },
      { replace: true },
    );
  if (found.data === undefined) {
    return found.error === null ? (
      <Box className="panel" mih={400}>
        <Waiting rows={10} />
      </Box>
    ) : (
      <ProblemNote error={found.error} retry={() => void found.refetch()} />
    );
  }
  return (
    <Stack gap="lg">
      <Panel title={t('alerts.rules.set')} flush>
        <Entries rows={found.data.rules} choose={choose} />
      </Panel>
      <Chooser which={which} kinds={found.data.kinds.map((one) => one.kind)} rules={found.data.rules} choose={choose} />
      <Values which={which} values={found.data.values} />
    </Stack>
  );
}

/** What this organization and those above it set. */
function Entries({ rows, choose }: { rows: RuleEntry[]; choose: (which: Which) => void }) {
  const { t, tn } = useWords();
  const org = useOrg();
  const words = useAlertWords();
  const mayChange = useMay('settings.write');
  const [removing, setRemoving] = useState<RuleEntry | null>(null);
  const columns: Column<RuleEntry>[] = [
    {
      key: 'kind',
      header: t('alerts.kind'),
      bare: true,
      cell: (row) => (
        <>
          <Text size="sm" fw={500} component="span" display="block">
            {words.kind(row.kind)}
          </Text>
          <Text size="xs" c="dimmed" component="span">
            {words.severity(row.severity)}
          </Text>
        </>
      ),
    },
    {
      key: 'says',
      header: t('alerts.rules.says'),
      cell: (row) => (
        <>
          <Makes row={row} />
          {row.labels['board'] !== undefined && (
            <Text size="sm" component="span">
              {t('alerts.rules.onBoard', { board: row.labels['board'] })}
            </Text>
          )}
          <Text size="xs" c="dimmed" component="span" display="block">
            {tn('alerts.rules.values', Object.keys(row.values).length)}
          </Text>
        </>
      ),
    },
    {
      key: 'from',
      header: t('settings.col.from'),
      width: '10rem',
      cell: (row) => (row.from === org ? <SetHere /> : <SetBy organization={row.from} />),
    },
    {
      key: 'do',
      header: t('mapping.col.do'),
      bare: true,
      width: '13rem',
      cell: (row) => (
        <Group gap="xs">
          <Button
            size="compact-sm"
            variant="default"
            onClick={() => choose({ kind: row.kind, severity: row.severity ?? null })}
            aria-label={t('alerts.rules.show.of', { kind: words.kind(row.kind) })}
          >
            {t('alerts.rules.show')}
          </Button>
          {mayChange && row.from === org && (
            <Button
              size="compact-sm"
              variant="subtle"
              color="gray"
              onClick={() => setRemoving(row)}
              aria-label={t('alerts.rules.remove.of', { kind: words.kind(row.kind) })}
            >
              {t('alerts.rules.remove')}
            </Button>
          )}
        </Group>
      ),
    },
  ];
  return (
    <>
      <DataTable
        label={t('alerts.rules.set')}
        columns={columns}
        rows={rows}
        id={(row) => `${row.from}/${row.kind}/${row.severity ?? ''}`}
        empty={<Empty title={t('alerts.rules.none')} detail={t('alerts.rules.none.detail')} />}
      />
      <RemoveRule rule={removing} close={() => setRemoving(null)} />
    </>
  );
}

function Makes({ row }: { row: RuleEntry }) {
  const { t } = useWords();
  const psa = row.values['psa'];
  if (psa === undefined) return null;
  return (
    <Badge className="badge" color={psa === 'on' ? 'green' : 'gray'} variant="light" tt="none" fw={500} radius="sm" mr={6}>
      {t(psa === 'on' ? 'alerts.rules.makes' : 'alerts.rules.makesNone')}
    </Badge>
  );
}

function RemoveRule({ rule, close }: { rule: RuleEntry | null; close: () => void }) {
  const { t } = useWords();
  const words = useAlertWords();
  const write = useAlertWrite(unsetRule, close);
  return (
    <Confirm
      opened={rule !== null}
      close={() => {
        write.reset();
        close();
      }}
      title={rule === null ? '' : t('alerts.rules.remove.title', { kind: words.kind(rule.kind) })}
      label={t('alerts.rules.remove')}
      act={() => rule !== null && write.mutate({ kind: rule.kind, severity: rule.severity ?? null })}
      working={write.isPending}
      error={write.error}
    >
      <Text size="sm">{t('alerts.rules.remove.lead')}</Text>
    </Confirm>
  );
}

/** Which rule is looked at; a kind that nobody knows yet may be typed. */
function Chooser(props: { which: Which; kinds: string[]; rules: RuleEntry[]; choose: (which: Which) => void }) {
  const { t } = useWords();
  const words = useAlertWords();
  const [search, setSearch] = useState('');
  const { which, choose } = props;
  const known = [...new Set([EVERY, ...props.kinds, ...props.rules.map((rule) => rule.kind), which.kind])];
  const data = known.map((kind) => ({ value: kind, label: words.kind(kind) }));
  const typed = search.trim();
  const isNew = typed !== '' && !data.some((one) => one.label === typed || one.value === typed);
  return (
    <Group gap="sm" align="flex-end" role="search">
      <Select
        flex="1 1 16rem"
        maw={420}
        label={t('alerts.rules.kind')}
        description={t('alerts.rules.kind.help')}
        searchable
        allowDeselect={false}
        maxDropdownHeight={420}
        data={isNew ? [...data, { value: typed, label: typed }] : data}
        value={which.kind}
        onChange={(kind) => kind !== null && choose({ ...which, kind })}
        searchValue={search}
        onSearchChange={setSearch}
      />
      <Select
        w={220}
        label={t('alerts.col.severity')}
        allowDeselect={false}
        data={[
          { value: '', label: t('alerts.severity.every') },
          ...SEVERITIES.map((one) => ({ value: one, label: t(`alerts.severity.${one}`) })),
        ]}
        value={which.severity ?? ''}
        onChange={(severity) => choose({ ...which, severity: severity === null || severity === '' ? null : severity })}
      />
    </Group>
  );
}

/** Every value that holds, in groups, with the level that it comes from. */
function Values({ which, values }: { which: Which; values: RuleValue[] }) {
  const { t } = useWords();
  const words = useAlertWords();
  const mayChange = useMay('settings.write');
  const [editing, setEditing] = useState<RuleValue | null>(null);
  const [placing, setPlacing] = useState(false);
  const [resetting, setResetting] = useState<RuleValue | null>(null);
  return (
    <>
      {GROUPS.map(({ id }) => (
        <Panel
          key={id}
          title={t(`alerts.group.${id}`)}
          flush
          aside={
            id === 'target' &&
            mayChange && (
              <Button size="compact-sm" variant="default" onClick={() => setPlacing(true)}>
                {t('alerts.target.change')}
              </Button>
            )
          }
        >
          <ValueRows
            label={t(`alerts.group.${id}`)}
            which={which}
            rows={values.filter((value) => groupOf(value.key) === id)}
            {...(mayChange ? { reset: setResetting, ...(id === 'target' ? {} : { edit: setEditing }) } : {})}
          />
        </Panel>
      ))}
      <TargetDialog opened={placing} which={which} values={values} close={() => setPlacing(false)} />
      <ValueDialog value={editing} which={which} close={() => setEditing(null)} />
      <ResetValue value={resetting} which={which} title={resetting === null ? '' : words.label(resetting)} close={() => setResetting(null)} />
    </>
  );
}

function ValueRows(props: {
  label: string;
  which: Which;
  rows: RuleValue[];
  edit?: (value: RuleValue) => void;
  reset?: (value: RuleValue) => void;
}) {
  const { t } = useWords();
  const words = useAlertWords();
  const { edit, reset } = props;
  const columns: Column<RuleValue>[] = [
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
    {
      key: 'value',
      header: t('settings.col.value'),
      width: '26%',
      cell: (row) => <span style={{ whiteSpace: row.form === 'text' ? 'pre-line' : undefined }}>{words.value(row)}</span>,
    },
    { key: 'from', header: t('settings.col.from'), width: '10rem', cell: (row) => <From row={row} which={props.which} /> },
  ];
  if (reset !== undefined) {
    columns.push({
      key: 'do',
      header: t('settings.col.do'),
      bare: true,
      width: '11rem',
      cell: (row) => (
        <Group gap="xs" wrap="nowrap">
          {edit !== undefined && (
            <Button
              size="compact-sm"
              variant="default"
              onClick={() => edit(row)}
              aria-label={t('settings.change.of', { name: words.label(row) })}
            >
              {t('settings.change')}
            </Button>
          )}
          {row.own && (
            <Button
              size="compact-sm"
              variant="subtle"
              color="gray"
              onClick={() => reset(row)}
              aria-label={t('alerts.inherit.of', { name: words.label(row) })}
            >
              {t('alerts.inherit')}
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

/** Which organization said so, and for which kind where that is another one. */
function From({ row, which }: { row: RuleValue; which: Which }) {
  const { t } = useWords();
  const words = useAlertWords();
  const org = useOrg();
  if (row.from == null) {
    return (
      <Text size="sm" c="dimmed" component="span">
        {t('settings.from.default')}
      </Text>
    );
  }
  return (
    <>
      {row.from === org ? <SetHere /> : <SetBy organization={row.from} />}
      {row.set_for != null && row.set_for !== which.kind && (
        <Text size="xs" c="dimmed" component="span" display="block">
          {t('alerts.setFor', { kind: words.kind(row.set_for) })}
        </Text>
      )}
    </>
  );
}

function ResetValue(props: { value: RuleValue | null; which: Which; title: string; close: () => void }) {
  const { t } = useWords();
  const { value, which, close } = props;
  const write = useAlertWrite(setRule, close);
  return (
    <Confirm
      opened={value !== null}
      close={() => {
        write.reset();
        close();
      }}
      title={t('alerts.inherit.title', { name: props.title })}
      label={t('alerts.inherit')}
      grave={false}
      act={() => value !== null && write.mutate({ ...which, values: { [value.key]: null } })}
      working={write.isPending}
      error={write.error}
    >
      <Text size="sm">{t('alerts.inherit.lead')}</Text>
    </Confirm>
  );
}
