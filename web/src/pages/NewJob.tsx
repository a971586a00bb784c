// Whom a validation looks at: everybody, or customers that are chosen from all pages of the list.
import { Badge, Box, Button, Group, Radio, Stack, Text, TextInput } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { IconSearch, IconUsers } from '@tabler/icons-react';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { useWords } from '../i18n';
import { useMay, useOrg } from '../session';
import { DataTable, Pager, type Column } from '../ui/DataTable';
import { Empty, Page } from '../ui/Page';
import { ProblemNote } from '../ui/Problem';
import { Steps } from '../ui/Steps';
import { usePages } from '../ui/usePages';
import { useBegin } from './jobs/data';
import { useJobSteps } from './jobs/steps';
import { loadRecords, type RecordDoc } from './mapping/data';

export default function NewJobPage() {
  const { t, tn } = useWords();
  const mayPlan = useMay('plans.write');
  const [whom, setWhom] = useState<'all' | 'some'>('all');
  const [chosen, setChosen] = useState<Set<string>>(new Set());
  const { validate } = useBegin();
  const steps = useJobSteps('choose');
  const begin = () => {
    if (whom === 'all') {
      validate.mutate({});
      return;
    }
    // A key of the table is the source and the id; an id may hold a slash as well.
    const customers = [...chosen].map((key) => {
      const at = key.indexOf('/');
      return { source: key.slice(0, at), id: key.slice(at + 1) };
    });
    validate.mutate({ customers });
  };
  const label = whom === 'all' ? t('job.validate.all') : tn('job.validate.count', chosen.size);
  return (
    <Page
      title={t('job.choose.title')}
      lead={t('job.choose.lead')}
      actions={
        mayPlan && (
          <Button loading={validate.isPending} disabled={whom === 'some' && chosen.size === 0} onClick={begin}>
            {whom === 'some' && chosen.size === 0 ? t('job.validate') : label}
          </Button>
        )
      }
    >
      <Steps label={t('job.steps')} steps={steps} />
      {validate.error !== null && <ProblemNote error={validate.error} />}
      <Box className="panel" p="lg">
        <Radio.Group
          label={t('job.choose.whom')}
          value={whom}
          onChange={(value) => setWhom(value === 'some' ? 'some' : 'all')}
        >
          <Stack gap="sm" mt="xs">
            <Radio value="all" label={t('job.choose.all')} description={t('job.choose.all.detail')} />
            <Radio value="some" label={t('job.choose.some')} />
          </Stack>
        </Radio.Group>
      </Box>
      {whom === 'some' && <Customers chosen={chosen} choose={setChosen} />}
    </Page>
  );
}

function Customers(props: { chosen: Set<string>; choose: (chosen: Set<string>) => void }) {
  const { t, tn } = useWords();
  const org = useOrg();
  const [search, setSearch] = useState('');
  const [wanted] = useDebouncedValue(search, 250);
  const filter: Record<string, string | number> = { limit: 50 };
  if (wanted !== '') filter['search'] = wanted;
  const pages = usePages(JSON.stringify([org, filter]));
  if (pages.cursor !== undefined) filter['cursor'] = pages.cursor;
  const list = useQuery({
    queryKey: ['records', org, 'customer', filter],
    queryFn: () => loadRecords(org, 'customer', filter),
    placeholderData: keepPreviousData,
  });
  const names = list.data?.names;
  const columns: Column<RecordDoc>[] = [
    {
      key: 'name',
      header: t('mapping.col.customer'),
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
    {
      key: 'company',
      header: t('mapping.target.customer'),
      cell: (row) => {
        if (row.psa_id != null) return names?.company(row.psa_id);
        if (row.mapped) return t('mapping.notBilled');
        return (
          <Badge className="badge" color="yellow" variant="light" tt="none" fw={500} radius="sm">
            {t('job.choose.unmapped')}
          </Badge>
        );
      },
    },
  ];
  const next = list.data?.page.next_cursor;
  return (
    <Box className="panel">
      <Group p="md" gap="sm" align="flex-end" className="line" role="search">
        <TextInput
          flex="1 1 14rem"
          label={t('tasks.search')}
          leftSection={<IconSearch size={16} aria-hidden />}
          value={search}
          onChange={(event) => setSearch(event.currentTarget.value)}
        />
      </Group>
      {props.chosen.size > 0 && (
        <Group px="md" py="xs" gap="sm" className="line">
          <Text size="sm" fw={500} aria-live="polite">
            {tn('job.choose.count', props.chosen.size)}
          </Text>
          <Button size="compact-sm" variant="subtle" onClick={() => props.choose(new Set())}>
            {t('job.choose.clear')}
          </Button>
        </Group>
      )}
      <DataTable
        label={t('mapping.tab.customer')}
        columns={columns}
        rows={list.data?.page.items}
        id={(row) => `${row.source}/${row.id}`}
        error={list.error}
        retry={() => void list.refetch()}
        busy={list.isPlaceholderData}
        selection={{
          ids: props.chosen,
          change: props.choose,
          all: t('job.choose.page'),
          label: (row) => t('job.choose.one', { name: row.name === '' ? row.id : row.name }),
        }}
        empty={
          wanted === '' ? (
            <Empty
              icon={<IconUsers size={32} stroke={1.4} aria-hidden />}
              title={t('job.choose.nobody')}
              detail={t('job.choose.nobody.detail')}
            />
          ) : (
            <Empty title={t('job.choose.none')} />
          )
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
  );
}
