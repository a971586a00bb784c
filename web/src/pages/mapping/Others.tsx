// Fees, and agreements chosen for a subscription or a customer.
import { Box, Button, Group, Modal, Stack, TextInput } from '@mantine/core';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { useState, type SubmitEvent } from 'react';
import { useSources } from '../../api/sources';
import { useWords } from '../../i18n';
import { useMay, useOrg } from '../../session';
import { DataTable, Pager, type Column } from '../../ui/DataTable';
import { Empty } from '../../ui/Page';
import { usePages } from '../../ui/usePages';
import { FEE, loadMappings, type MappingDoc, type Subject } from './data';
import { MapDialog } from './MapDialog';
import { ReleaseDialog } from './ReleaseDialog';

export function Others({ kind }: { kind: 'fee' | 'agreement' }) {
  const { t } = useWords();
  const org = useOrg();
  const mayMap = useMay('mappings.write');
  const [mapping, setMapping] = useState<Subject | null>(null);
  const [releasing, setReleasing] = useState<Subject | null>(null);
  const [naming, setNaming] = useState(false);
  const filter: Record<string, string | number> = { kind, limit: 50 };
  const pages = usePages(JSON.stringify([org, kind]));
  if (pages.cursor !== undefined) filter['cursor'] = pages.cursor;
  const list = useQuery({
    queryKey: ['mappings', org, filter],
    queryFn: () => loadMappings(org, filter),
    placeholderData: keepPreviousData,
  });
  const names = list.data?.names;
  const nameOf = (row: MappingDoc) => (kind === 'fee' ? t('mapping.fee.cancellation') : row.source_id);
  const subject = (row: MappingDoc): Subject => ({
    kind,
    source: row.source,
    source_id: row.source_id,
    name: nameOf(row),
    scope: row.scope,
  });
  const columns: Column<MappingDoc>[] = [
    { key: 'name', header: t(`mapping.col.${kind}`), bare: true, cell: nameOf },
    { key: 'source', header: t('mapping.col.source'), cell: (row) => row.source },
    {
      key: 'target',
      header: t(`mapping.target.${kind}`),
      cell: (row) => {
        if (row.psa_id == null) return t('mapping.notBilled');
        return kind === 'fee' ? names?.item(row.psa_id) : names?.agreement(row.psa_id);
      },
    },
  ];
  if (mayMap) {
    columns.push({
      key: 'do',
      header: t('mapping.col.do'),
      bare: true,
      width: '12rem',
      cell: (row) => (
        <Group gap="xs" wrap="nowrap">
          <Button size="compact-sm" variant="default" onClick={() => setMapping(subject(row))}>
            {t('mapping.change')}
          </Button>
          <Button size="compact-sm" variant="subtle" color="gray" onClick={() => setReleasing(subject(row))}>
            {t('mapping.release')}
          </Button>
        </Group>
      ),
    });
  }
  const next = list.data?.page.next_cursor;
  const rows = list.data?.page.items;
  const sources = useSources(org);
  // Each source has a fee of its own.
  const lacking = (sources?.length === 0 ? ['default'] : (sources ?? [])).filter(
    (source) => rows?.some((row) => row.source === source) === false,
  );
  const canAdd = mayMap && (kind === 'agreement' || lacking.length > 0);
  const action = !canAdd ? null : kind === 'agreement' ? (
    <Button size="xs" variant="light" onClick={() => setNaming(true)}>
      {t('mapping.add.agreement')}
    </Button>
  ) : (
    lacking.map((source) => (
      <Button
        key={source}
        size="xs"
        variant="light"
        onClick={() => setMapping({ kind, source, source_id: FEE, name: t('mapping.fee.cancellation') })}
      >
        {lacking.length === 1 && (sources?.length ?? 0) <= 1
          ? t('mapping.add.fee')
          : t('mapping.add.fee.of', { source })}
      </Button>
    ))
  );
  return (
    <>
      <Box className="panel">
        {canAdd && rows !== undefined && rows.length > 0 && (
          <Group p="md" justify="flex-end" className="line">
            {action}
          </Group>
        )}
        <DataTable
          label={t(`mapping.tab.${kind}`)}
          columns={columns}
          rows={rows}
          id={(row) => `${row.source}/${row.source_id}/${row.scope}`}
          error={list.error}
          retry={() => void list.refetch()}
          busy={list.isPlaceholderData}
          empty={<Empty title={t(`mapping.empty.${kind}`)} detail={t(`mapping.empty.${kind}.detail`)} action={<Group gap="xs">{action}</Group>} />}
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
      <Naming
        key={sources?.[0]}
        sources={sources ?? []}
        opened={naming}
        close={() => setNaming(false)}
        named={(source, source_id) => {
          setNaming(false);
          setMapping({ kind: 'agreement', source, source_id, name: source_id });
        }}
      />
      <MapDialog subject={mapping} close={() => setMapping(null)} />
      <ReleaseDialog subject={releasing} close={() => setReleasing(null)} />
    </>
  );
}

/** Which subscription an agreement is chosen for. */
function Naming(props: {
  opened: boolean;
  sources: string[];
  close: () => void;
  named: (source: string, id: string) => void;
}) {
  const { t } = useWords();
  const [source, setSource] = useState(props.sources[0] ?? 'default');
  const [id, setId] = useState('');
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    props.named(source.trim(), id.trim());
  };
  return (
    <Modal
      opened={props.opened}
      onClose={props.close}
      title={t('mapping.add.agreement')}
      closeButtonProps={{ 'aria-label': t('action.close') }}
    >
      <form onSubmit={submit}>
        <Stack>
          <TextInput
            label={t('mapping.col.agreement')}
            description={t('mapping.agreement.hint')}
            value={id}
            onChange={(event) => setId(event.currentTarget.value)}
            required
            data-autofocus
          />
          <TextInput
            label={t('mapping.col.source')}
            value={source}
            onChange={(event) => setSource(event.currentTarget.value)}
            required
          />
          <Group justify="flex-end">
            <Button variant="default" onClick={props.close}>
              {t('action.cancel')}
            </Button>
            <Button type="submit" disabled={id.trim() === '' || source.trim() === ''}>
              {t('mapping.next')}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
