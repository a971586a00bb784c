// What a test found: which rights the API member lacks, as a table that can be handed on.
import { Alert, Badge, Box, Button, Group, Stack, Switch, Text } from '@mantine/core';
import { IconAlertTriangle, IconCircleCheck, IconHelpCircle } from '@tabler/icons-react';
import { useState } from 'react';
import { useWords } from '../../i18n';
import { useWord } from '../../ui/Badges';
import { CopyButton } from '../../ui/Copy';
import { DataTable, type Column } from '../../ui/DataTable';
import type { Right, Tested } from './data';

const ORDER: Record<string, number> = { missing: 0, unknown: 1, granted: 2 };
const COLORS: Record<string, string> = { missing: 'red', unknown: 'gray', granted: 'green' };

export function RightsReport({ tested, again, working }: { tested: Tested; again: () => void; working: boolean }) {
  const { t, tn } = useWords();
  const missing = tested.rights.filter((right) => right.state === 'missing');
  const unknown = tested.rights.filter((right) => right.state === 'unknown');
  const [all, setAll] = useState(false);
  const ticket = useTicket(tested, missing);
  const shown = all ? [...tested.rights].sort(byState) : missing.length > 0 ? missing : unknown;
  const about = [
    tested.version == null ? null : t('connect.version', { version: tested.version }),
    tested.cloud == null ? null : t(tested.cloud ? 'connect.cloud' : 'connect.own'),
    t('connect.marker', { where: tested.marker }),
  ].filter((one) => one !== null);
  return (
    <Stack gap="sm">
      {missing.length > 0 ? (
        <Alert
          color="red"
          variant="light"
          role="alert"
          icon={<IconAlertTriangle aria-hidden />}
          title={tn('rights.missing', missing.length)}
          styles={{ title: { color: 'var(--mantine-color-text)' } }}
        >
          <Stack gap="xs" align="flex-start">
            <Text size="sm">{t('rights.missing.lead')}</Text>
            <Group gap="xs">
              <CopyButton text={ticket} label={t('rights.copy')} />
              <Button size="xs" variant="default" loading={working} onClick={again}>
                {t('rights.again')}
              </Button>
            </Group>
          </Stack>
        </Alert>
      ) : unknown.length > 0 ? (
        <Alert
          color="gray"
          variant="light"
          icon={<IconHelpCircle aria-hidden />}
          title={tn('rights.unknown', unknown.length)}
          styles={{ title: { color: 'var(--mantine-color-text)' } }}
        >
          <Text size="sm">{t('rights.unknown.lead')}</Text>
        </Alert>
      ) : (
        <Alert
          color="green"
          variant="light"
          role="status"
          icon={<IconCircleCheck aria-hidden />}
          title={t('rights.ok')}
          styles={{ title: { color: 'var(--mantine-color-text)' } }}
        >
          <Text size="sm">{t('connect.done.all')}</Text>
        </Alert>
      )}
      <Group justify="space-between" gap="sm">
        <Text size="sm" c="dimmed">
          {about.join(' · ')}
        </Text>
        <Switch label={t('rights.all')} checked={all} onChange={(event) => setAll(event.currentTarget.checked)} />
      </Group>
      {shown.length > 0 && (
        <Box className="panel">
          <RightsTable rights={shown} />
        </Box>
      )}
      <ForTickets tested={tested} all={all} />
    </Stack>
  );
}

/** Tickets are another part of the work: billing is as good without their rights. */
function ForTickets({ tested, all }: { tested: Tested; all: boolean }) {
  const { t, tn } = useWords();
  const missing = tested.ticket_rights.filter((right) => right.state === 'missing');
  const text = useTicket(tested, missing);
  const shown = all ? [...tested.ticket_rights].sort(byState) : missing;
  if (shown.length === 0) return null;
  return (
    <>
      {missing.length > 0 && (
        <Alert
          color="yellow"
          variant="light"
          icon={<IconHelpCircle aria-hidden />}
          title={tn('rights.tickets.missing', missing.length)}
          styles={{ title: { color: 'var(--mantine-color-text)' } }}
        >
          <Stack gap="xs" align="flex-start">
            <Text size="sm">{t('rights.tickets.lead')}</Text>
            <CopyButton text={text} label={t('rights.copy')} />
          </Stack>
        </Alert>
      )}
      <Box className="panel">
        <RightsTable rights={shown} label={t('rights.tickets.table')} />
      </Box>
    </>
  );
}

function byState(a: Right, b: Right): number {
  return (ORDER[a.state] ?? 3) - (ORDER[b.state] ?? 3);
}

export function RightsTable({ rights, label }: { rights: Right[]; label?: string }) {
  const { t } = useWords();
  const say = useWord();
  const columns: Column<Right>[] = [
    { key: 'module', header: t('rights.module'), cell: (row) => row.module },
    { key: 'function', header: t('rights.function'), cell: (row) => row.function },
    { key: 'level', header: t('rights.level'), cell: (row) => row.level },
    { key: 'purpose', header: t('rights.purpose'), cell: (row) => say('rights.for', row.purpose) },
    {
      key: 'state',
      header: t('rights.state'),
      cell: (row) => (
        <Badge className="badge" color={COLORS[row.state] ?? 'gray'} variant="light" tt="none" fw={500} radius="sm">
          {say('rights.state', row.state)}
        </Badge>
      ),
    },
  ];
  return (
    <DataTable
      label={label ?? t('rights.table')}
      columns={columns}
      rows={rights}
      id={(row) => `${row.module}/${row.function}/${row.level}`}
      empty={null}
    />
  );
}

/** Words for whoever manages ConnectWise. */
function useTicket(tested: Tested, missing: Right[]): string {
  const { t } = useWords();
  const say = useWord();
  const rows = missing.map(
    (right) => `- ${right.module} > ${right.function} > ${right.level}: ${say('rights.for', right.purpose)}`,
  );
  const tables = missing.some((right) => right.function.startsWith('Table Setup'));
  return [
    t('rights.ticket', { company: tested.connection.company }),
    '',
    ...rows,
    '',
    t('rights.ticket.end'),
    ...(tables ? [t('rights.ticket.tables')] : []),
  ].join('\n');
}
