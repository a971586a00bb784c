// Customers or products of the sources, those without a mapping first, and what each is in ConnectWise.
import { Badge, Box, Button, Group, Switch, Text, TextInput } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { IconCircleCheck, IconSearch } from '@tabler/icons-react';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { useSearchParams } from 'react-router';
import { useWords } from '../../i18n';
import { useMay, useOrg } from '../../session';
import { DataTable, Pager, type Column } from '../../ui/DataTable';
import { Empty } from '../../ui/Page';
import { usePages } from '../../ui/usePages';
import { loadRecords, type Kind, type RecordDoc, type Subject } from './data';
import { MapDialog } from './MapDialog';
import { ReleaseDialog } from './ReleaseDialog';
import { Suggestions } from './Suggestions';

/** `suggest` is the source whose records are proposed something. */
export function Records({ kind, suggest }: { kind: Kind; suggest: string }) {
  const { t } = useWords();
  const org = useOrg();
  const mayMap = useMay('mappings.write');
  const [params] = useSearchParams();
  const [search, setSearch] = useState(params.get('search') ?? '');
  const [wanted] = useDebouncedValue(search, 250);
  const [open, setOpen] = useState(true);
  const [mapping, setMapping] = useState<Subject | null>(null);
  const [releasing, setReleasing] = useState<Subject | null>(null);
  const filter: Record<string, string | number | boolean> = { limit: 50 };
  if (wanted !== '') filter['search'] = wanted;
  if (open) filter['mapped'] = false;
  const pages = usePages(JSON.stringify([org, kind, filter]));
  if (pages.cursor !== undefined) filter['cursor'] = pages.cursor;
  const list = useQuery({
    queryKey: ['records', org, kind, filter],
    queryFn: () => loadRecords(org, kind, filter),
    placeholderData: keepPreviousData,
  });
  const names = list.data?.names;
  const subject = (row: RecordDoc): Subject => ({ kind, source: row.source, source_id: row.id, name: row.name });
  const target = (row: RecordDoc) => {
    if (!row.mapped) return <Badge className="badge" color="yellow" variant="light" tt="none" radius="sm">{t('mapping.unmapped')}</Badge>;
    if (row.psa_id == null) return <Text size="sm" c="dimmed">{t('mapping.notBilled')}</Text>;
    return kind === 'customer' ? names?.company(row.psa_id) : names?.item(row.psa_id);
  };
  const columns: Column<RecordDoc>[] = [
    {
      key: 'name',
      header: t(`mapping.col.${kind}`),
      bare: true,
      cell: (row) => (
        <>
          <Text size="sm" fw={500} component="span" display="block">
            {row.name === '' ? row.id : row.name}
          </Text>
          <Text size="xs" c="dimmed" component="span">
            {row.id}
          </Text>
        </>
      ),
    },
    { key: 'source', header: t('mapping.col.source'), cell: (row) => row.source },
    { key: 'target', header: t(`mapping.target.${kind}`), cell: target },
  ];
  if (mayMap) {
    columns.push({
      key: 'do',
      header: t('mapping.col.do'),
      bare: true,
      width: '12rem',
      cell: (row) => (
        <Group gap="xs" wrap="nowrap">
          <Button
            size="compact-sm"
            variant={row.mapped ? 'default' : 'light'}
            onClick={() => setMapping(subject(row))}
            aria-label={t(row.mapped ? 'mapping.change.of' : 'mapping.map.of', { name: row.name })}
          >
            {t(row.mapped ? 'mapping.change' : 'mapping.map')}
          </Button>
          {row.mapped && (
            <Button
              size="compact-sm"
              variant="subtle"
              color="gray"
              onClick={() => setReleasing(subject(row))}
              aria-label={t('mapping.release.of', { name: row.name })}
            >
              {t('mapping.release')}
            </Button>
          )}
        </Group>
      ),
    });
  }
  const next = list.data?.page.next_cursor;
  return (
    <>
      <Suggestions key={suggest} kind={kind} source={suggest} />
      <Box className="panel">
        <Group p="md" gap="lg" align="flex-end" className="line" role="search">
          <TextInput
            flex="1 1 14rem"
            label={t('tasks.search')}
            leftSection={<IconSearch size={16} aria-hidden />}
            value={search}
            onChange={(event) => setSearch(event.currentTarget.value)}
          />
          <Switch
            label={t('mapping.onlyOpen')}
            checked={open}
            onChange={(event) => setOpen(event.currentTarget.checked)}
            mb={8}
          />
        </Group>
        <DataTable
          label={t(`mapping.tab.${kind}`)}
          columns={columns}
          rows={list.data?.page.items}
          id={(row) => `${row.source}/${row.id}`}
          error={list.error}
          retry={() => void list.refetch()}
          busy={list.isPlaceholderData}
          empty={
            <Empty
              icon={<IconCircleCheck size={32} stroke={1.4} color="var(--trueup-gain)" aria-hidden />}
              title={t(open && wanted === '' ? 'mapping.allMapped' : 'mapping.nothing')}
            />
          }
          footer={
            <Pager
              page={pages.page}
              hasNext={next != null}
              onPrevious={pages.previous}
              onNext={() => next != null && pages.next(next)}
            />
          }
        />
      </Box>
      <MapDialog subject={mapping} close={() => setMapping(null)} />
      <ReleaseDialog subject={releasing} close={() => setReleasing(null)} />
    </>
  );
}
