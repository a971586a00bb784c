// What the sources count, as what it is billed, and which organization said so.
import { Badge, Box, Button, Group, Stack, Switch, Text, TextInput } from '@mantine/core';
import { IconGauge, IconSearch } from '@tabler/icons-react';
import { useState } from 'react';
import type { Names } from '../../api/names';
import { useFormats } from '../../format';
import { useWords } from '../../i18n';
import { useMay, useOrg } from '../../session';
import { Assigned } from '../../ui/Badges';
import { Confirm } from '../../ui/Confirm';
import { DataTable, Pager, type Column } from '../../ui/DataTable';
import { SetBy, SetHere } from '../../ui/Origin';
import { Empty } from '../../ui/Page';
import { useSlices } from '../../ui/useSlices';
import { AssignDialog } from './AssignDialog';
import {
  unset,
  useCounted,
  useQuantityWrite,
  type Counted,
  type Service,
  type ServiceEntry,
  type Which,
} from './data';
import { ruleOf } from './rule';
import { RuleDialog } from './RuleDialog';
import { useRuleWords } from './words';

type Asked = { what: 'assign' | 'rule'; service: Service };

const idOf = (row: Service) => `${row.source}/${row.service}`;

/** What was said for single customers, beside what holds for all. */
function exceptionsOf(counted: Counted, row: Service): ServiceEntry[] {
  return counted.entries.filter(
    (entry): entry is ServiceEntry =>
      entry.kind === 'service' &&
      entry.customer !== null &&
      entry.source === row.source &&
      entry.service === row.service,
  );
}

export function Services() {
  const { t } = useWords();
  const found = useCounted();
  const [search, setSearch] = useState('');
  const [onlyOpen, setOnlyOpen] = useState(false);
  const [asked, setAsked] = useState<Asked | null>(null);
  const [resetting, setResetting] = useState<(Which & { name: string }) | null>(null);
  const wanted = search.trim().toLocaleLowerCase();
  const rows = found.data?.services.filter(
    (row) =>
      (!onlyOpen || row.state === 'open') &&
      (wanted === '' || row.name.toLocaleLowerCase().includes(wanted) || row.service.toLocaleLowerCase().includes(wanted)),
  );
  const slices = useSlices(rows, `${wanted}/${onlyOpen}`);
  const columns = useColumns(found.data, setAsked, setResetting);
  const none = found.data?.services.length === 0;
  return (
    <>
      <Box className="panel">
        {!none && (
          <Group p="md" gap="sm" align="flex-end" className="line" role="search">
            <TextInput
              flex="1 1 14rem"
              label={t('tasks.search')}
              placeholder={t('quantities.services.search')}
              leftSection={<IconSearch size={16} aria-hidden />}
              value={search}
              onChange={(event) => setSearch(event.currentTarget.value)}
            />
            <Switch
              label={t('quantities.services.onlyOpen')}
              checked={onlyOpen}
              onChange={(event) => setOnlyOpen(event.currentTarget.checked)}
              mb={8}
            />
          </Group>
        )}
        <DataTable
          label={t('quantities.tab.services')}
          columns={columns}
          rows={slices.rows}
          id={idOf}
          error={found.error}
          retry={() => void found.refetch()}
          empty={
            none ? (
              <Empty
                icon={<IconGauge size={32} stroke={1.4} aria-hidden />}
                title={t('quantities.services.none')}
                detail={t('quantities.services.none.detail')}
              />
            ) : (
              <Empty title={t(onlyOpen && wanted === '' ? 'quantities.services.allAssigned' : 'mapping.nothing')} />
            )
          }
          footer={<Pager {...slices.pager} />}
        />
      </Box>
      {found.data !== undefined && (
        <>
          <AssignDialog
            service={asked?.what === 'assign' ? asked.service : null}
            counted={found.data}
            close={() => setAsked(null)}
          />
          <RuleDialog
            service={asked?.what === 'rule' ? asked.service : null}
            counted={found.data}
            close={() => setAsked(null)}
          />
        </>
      )}
      <ResetEntry which={resetting} close={() => setResetting(null)} />
    </>
  );
}

/** Taking away what was set here, with what holds then. */
export function ResetEntry({ which, close }: { which: (Which & { name: string }) | null; close: () => void }) {
  const { t } = useWords();
  const write = useQuantityWrite(unset, close);
  return (
    <Confirm
      opened={which !== null}
      close={() => {
        write.reset();
        close();
      }}
      title={which === null ? '' : t('quantities.reset.title', { name: which.name })}
      label={t('quantities.reset')}
      grave={false}
      act={() => which !== null && write.mutate(which)}
      working={write.isPending}
      error={write.error}
    >
      <Text size="sm">{t('quantities.reset.lead')}</Text>
    </Confirm>
  );
}

function useColumns(
  counted: Counted | undefined,
  ask: (asked: Asked) => void,
  reset: (which: Which & { name: string }) => void,
): Column<Service>[] {
  const { t, tn } = useWords();
  const { level } = useFormats();
  const org = useOrg();
  const mayMap = useMay('mappings.write');
  const ruleWords = useRuleWords();
  const columns: Column<Service>[] = [
    {
      key: 'service',
      header: t('quantities.col.service'),
      bare: true,
      cell: (row) => (
        <>
          <Text size="sm" fw={500} component="span" display="block">
            {row.name}
          </Text>
          <Text size="xs" c="dimmed" component="span" display="block">
            {[row.service === row.name ? null : row.service, row.source === 'default' ? null : row.source]
              .filter((text) => text !== null)
              .join(' · ')}
          </Text>
          {row.deprecated && (
            <Badge className="badge" color="orange" variant="light" tt="none" fw={500} radius="sm">
              {t('quantities.deprecated')}
            </Badge>
          )}
        </>
      ),
    },
    {
      key: 'level',
      header: t('quantities.col.counted'),
      numeric: true,
      cell: (row) => (
        <>
          {row.level == null ? '–' : level(row.level, row.unit)}
          <Text size="xs" c="dimmed" component="span" display="block">
            {tn('quantities.customers', row.customers)}
          </Text>
        </>
      ),
    },
    {
      key: 'as',
      header: t('quantities.col.as'),
      cell: (row) => (
        <Target row={row} names={counted?.names}>
          {counted !== undefined &&
            exceptionsOf(counted, row).map((entry) => (
              <Alone
                key={entry.customer}
                entry={entry}
                counted={counted}
                own={mayMap && entry.from === org}
                reset={() =>
                  reset({
                    source: entry.source,
                    kind: 'service',
                    id: entry.service,
                    customer: entry.customer,
                    name: row.name,
                  })
                }
              />
            ))}
        </Target>
      ),
    },
    {
      key: 'rule',
      header: t('quantities.col.rule'),
      cell: (row) => {
        const rule = counted === undefined ? undefined : ruleOf(counted, row);
        if (row.state !== 'assigned') return '–';
        return (
          <Stack gap={0}>
            {ruleWords(rule?.rule).map((text) => (
              <Text key={text} size="sm" component="span">
                {text}
              </Text>
            ))}
            {rule !== undefined && rule.from !== org && (
              <Text size="xs" c="dimmed" component="span">
                <SetBy organization={rule.from} />
              </Text>
            )}
          </Stack>
        );
      },
    },
    {
      key: 'from',
      header: t('settings.col.from'),
      cell: (row) => (row.from == null ? '–' : row.from === org ? <SetHere /> : <SetBy organization={row.from} />),
    },
  ];
  if (mayMap) {
    columns.push({
      key: 'do',
      header: t('mapping.col.do'),
      bare: true,
      width: '15rem',
      cell: (row) => (
        <Group gap="xs">
          <Button
            size="compact-sm"
            variant={row.state === 'open' ? 'filled' : 'default'}
            onClick={() => ask({ what: 'assign', service: row })}
            aria-label={t(row.state === 'open' ? 'quantities.assign.of' : 'quantities.change.of', { name: row.name })}
          >
            {t(row.state === 'open' ? 'quantities.assign' : 'quantities.change')}
          </Button>
          {row.state === 'assigned' && (
            <Button
              size="compact-sm"
              variant="default"
              onClick={() => ask({ what: 'rule', service: row })}
              aria-label={t('quantities.rule.of', { name: row.name })}
            >
              {t('quantities.rule')}
            </Button>
          )}
          {row.from === org && (
            <Button
              size="compact-sm"
              variant="subtle"
              color="gray"
              onClick={() =>
                reset({ source: row.source, kind: 'service', id: row.service, customer: null, name: row.name })
              }
              aria-label={t('quantities.reset.of', { name: row.name })}
            >
              {t('quantities.reset')}
            </Button>
          )}
        </Group>
      ),
    });
  }
  return columns;
}

function Target({ row, names, children }: { row: Service; names: Names | undefined; children: React.ReactNode }) {
  // One that was chosen in another tenant has no id here.
  const name = row.catalog_item_id == null ? row.identifier : names?.item(row.catalog_item_id, row.identifier);
  return (
    <Stack gap={2} align="flex-start">
      {row.identifier == null ? (
        <Assigned state={row.state} />
      ) : (
        <>
          <Text size="sm" fw={500} component="span">
            {name}
          </Text>
          {row.identifier !== name && (
            <Text size="xs" c="dimmed" component="span">
              {row.identifier}
            </Text>
          )}
        </>
      )}
      {children}
    </Stack>
  );
}

function Alone(props: { entry: ServiceEntry; counted: Counted; own: boolean; reset: () => void }) {
  const { t } = useWords();
  const { entry, counted } = props;
  const name = counted.customers.find((one) => one.source === entry.source && one.customer_id === entry.customer)?.name;
  return (
    <Text size="xs" component="span">
      {t('quantities.alone', {
        customer: name ?? entry.customer ?? '',
        item: entry.target === 'not_assigned' ? t('quantities.state.not_assigned') : counted.names.item(entry.target.item.id, entry.target.item.identifier),
      })}{' '}
      {props.own && (
        <Button size="compact-xs" variant="subtle" px={2} onClick={props.reset} aria-label={t('quantities.reset.of', { name: name ?? entry.service })}>
          {t('quantities.reset')}
        </Button>
      )}
    </Text>
  );
}
