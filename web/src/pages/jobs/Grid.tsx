// The rows of a job: what is in the way, why, and the way to solve it. Filtered here: a job brings all of its rows.
import { Anchor, Button, Code, Group, Select, Stack, Text, TextInput } from '@mantine/core';
import { IconDownload, IconSearch } from '@tabler/icons-react';
import { useState } from 'react';
import { Link } from 'react-router';
import type { Names } from '../../api/names';
import { useFormats } from '../../format';
import { useWords } from '../../i18n';
import { useMay, useOrg } from '../../session';
import { SeverityBadge, useWord } from '../../ui/Badges';
import { DataTable, type Column } from '../../ui/DataTable';
import { Told, useRemedy } from '../../ui/Findings';
import { Empty, Panel } from '../../ui/Page';
import type { Subject } from '../mapping/data';
import { MapDialog } from '../mapping/MapDialog';
import { mappingFor } from '../mapping/solve';
import type { GridRow, Job } from './data';

const AT_ONCE = 100;
const SEVERITIES = ['error', 'warning', 'info'];

interface Numbered {
  at: number;
  row: GridRow;
}

export function Grid({ job, names, title }: { job: Job; names: Names; title: string }) {
  const { t } = useWords();
  const { count } = useFormats();
  const org = useOrg();
  const say = useWord();
  const [severity, setSeverity] = useState('');
  const [code, setCode] = useState('');
  const [search, setSearch] = useState('');
  const [most, setMost] = useState(AT_ONCE);
  const [mapping, setMapping] = useState<Subject | null>(null);
  const columns = useColumns(names, setMapping);
  if (job.rows.length === 0) return null;
  const codes = [...new Set(job.rows.map((row) => row.code))].sort();
  const wanted = search.trim().toLocaleLowerCase();
  const about = (row: GridRow) =>
    [
      row.customer_id,
      row.source != null && row.customer_id != null ? names.customer(row.source, row.customer_id) : null,
      row.product_id,
      row.source != null && row.product_id != null ? names.product(row.source, row.product_id) : null,
      row.subscription_id,
      row.order_id,
    ]
      .join(' ')
      .toLocaleLowerCase();
  const shown = job.rows
    .map((row, at): Numbered => ({ at, row }))
    .filter(
      ({ row }) =>
        (severity === '' || row.severity === severity) &&
        (code === '' || row.code === code) &&
        (wanted === '' || about(row).includes(wanted)),
    );
  const grid = `/api/v1/organizations/${encodeURIComponent(org)}/jobs/${encodeURIComponent(job.job_id)}/grid`;
  return (
    <Panel
      title={title}
      flush
      aside={
        <Button
          component="a"
          href={grid}
          download={`trueup-${job.job_id}.csv`}
          variant="default"
          size="xs"
          leftSection={<IconDownload size={14} aria-hidden />}
        >
          {t('job.grid.download')}
        </Button>
      }
    >
      <Group px="lg" py="sm" gap="sm" align="flex-end" className="line" role="search">
        <TextInput
          flex="1 1 12rem"
          label={t('job.grid.search')}
          placeholder={t('job.grid.search.hint')}
          leftSection={<IconSearch size={16} aria-hidden />}
          value={search}
          onChange={(event) => setSearch(event.currentTarget.value)}
        />
        <Select
          label={t('job.grid.severity')}
          w={170}
          allowDeselect={false}
          value={severity}
          onChange={(value) => setSeverity(value ?? '')}
          data={[
            { value: '', label: t('exceptions.severity.all') },
            ...SEVERITIES.map((one) => ({ value: one, label: say('severity', one) })),
          ]}
        />
        <Select
          label={t('job.grid.code')}
          w={240}
          allowDeselect={false}
          value={code}
          onChange={(value) => setCode(value ?? '')}
          data={[
            { value: '', label: t('job.grid.code.all') },
            ...codes.map((one) => ({ value: one, label: `${say('code', one)} (${one})` })),
          ]}
        />
        <Text size="sm" c="dimmed" aria-live="polite" pb={8}>
          {t('job.grid.count', { shown: count(shown.length), all: count(job.rows.length) })}
        </Text>
      </Group>
      <DataTable
        label={title}
        columns={columns}
        rows={shown.slice(0, most)}
        id={({ at }) => String(at)}
        empty={<Empty title={t('job.grid.empty')} />}
        footer={
          shown.length > most && (
            <Group justify="center" p="sm">
              <Button variant="default" size="xs" onClick={() => setMost(most + AT_ONCE)}>
                {t('action.more')}
              </Button>
            </Group>
          )
        }
      />
      <MapDialog subject={mapping} close={() => setMapping(null)} />
    </Panel>
  );
}

function useColumns(names: Names, map: (subject: Subject) => void): Column<Numbered>[] {
  const { t } = useWords();
  const { day } = useFormats();
  const org = useOrg();
  const say = useWord();
  const remedy = useRemedy();
  const mayMap = useMay('mappings.write');
  return [
    {
      key: 'what',
      header: t('job.grid.col.what'),
      bare: true,
      width: '13rem',
      cell: ({ row }) => (
        <Stack gap={4} align="flex-start">
          <Text size="sm" fw={500}>
            {say('code', row.code)}
          </Text>
          <Group gap={6}>
            <SeverityBadge severity={row.severity} />
            <Code>{row.code}</Code>
          </Group>
        </Stack>
      ),
    },
    {
      key: 'who',
      header: t('job.grid.col.who'),
      cell: ({ row }) =>
        row.customer_id == null ? (
          '–'
        ) : (
          <>
            <Text size="sm" component="span" display="block">
              {row.source == null ? row.customer_id : names.customer(row.source, row.customer_id)}
            </Text>
            {row.agreement_id != null && (
              <Text size="xs" c="dimmed" component="span">
                {names.agreement(row.agreement_id)}
              </Text>
            )}
          </>
        ),
    },
    {
      key: 'about',
      header: t('job.grid.col.about'),
      cell: ({ row }) => {
        const parts = [
          row.source != null && row.product_id != null ? names.product(row.source, row.product_id) : row.product_id,
          row.subscription_id,
          row.date == null ? null : day(row.date),
        ].filter((one) => one != null);
        return (
          <>
            {parts.map((part, at) => (
              <Text key={at} size={at === 0 ? 'sm' : 'xs'} c={at === 0 ? undefined : 'dimmed'} component="span" display="block">
                {part}
              </Text>
            ))}
            {row.task_id != null && (
              <Anchor
                component={Link}
                to={`/o/${org}/tasks/${encodeURIComponent(row.task_id)}`}
                className="plain"
                size="xs"
              >
                {t('change.toTask')}
              </Anchor>
            )}
          </>
        );
      },
    },
    {
      key: 'why',
      header: t('job.grid.col.why'),
      bare: true,
      cell: ({ row }) => {
        const subject = mappingFor(
          {
            code: row.code,
            source: row.source ?? null,
            customer: row.customer_id ?? null,
            product: row.product_id ?? null,
            subscription: row.subscription_id ?? null,
          },
          names,
        );
        return (
          <Stack gap={4} align="flex-start">
            <Told code={row.code} message={row.message} />
            <Text size="sm" c="dimmed">
              {t('problem.whatToDo')}: {remedy(row)}
            </Text>
            {subject !== null && mayMap && (
              <Button
                size="compact-sm"
                variant="light"
                onClick={() => map(subject)}
                aria-label={`${t(`task.map.${subject.kind}`)}: ${subject.name}`}
              >
                {t(`task.map.${subject.kind}`)}
              </Button>
            )}
          </Stack>
        );
      },
    },
  ];
}
