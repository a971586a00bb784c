// Companies of ConnectWise that can become customers: the complete ones all at once, the others one by one.
import { Box, Button, Group, Modal, Stack, Text, TextInput } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useState, type SubmitEvent } from 'react';
import { answer, api, queries, type Schemas } from '../../api/client';
import { useFormats } from '../../format';
import { useWords } from '../../i18n';
import { useMay, useOrg } from '../../session';
import { useWord } from '../../ui/Badges';
import { DataTable, type Column } from '../../ui/DataTable';
import { Empty } from '../../ui/Page';
import { ProblemNote } from '../../ui/Problem';

type Company = Schemas['CompanyDoc'];

const BASE = '/api/v1/organizations/{org}';

function useImport(source: string, done: () => void) {
  const { tn } = useWords();
  const org = useOrg();
  const client = useQueryClient();
  return useMutation({
    mutationFn: (body: Schemas['CompanyImport']) =>
      answer(api.POST(`${BASE}/companies/import`, { params: { path: { org } }, body: { source, ...body } })),
    onSuccess: (result) => {
      done();
      notifications.show({ color: 'green', message: tn('mapping.imported', result.saved.length) });
      void client.invalidateQueries();
    },
  });
}

export function Companies({ source }: { source: string }) {
  const { t } = useWords();
  const { ago } = useFormats();
  const say = useWord();
  const org = useOrg();
  const mayMap = useMay('mappings.write');
  const [filling, setFilling] = useState<Company | null>(null);
  const [shown, setShown] = useState(100);
  const found = queries.useQuery('get', `${BASE}/companies`, { params: { path: { org }, query: { source } } });
  const all = useImport(source, () => undefined);
  const rows = found.data?.items.filter((company) => company.customers.length === 0);
  const complete = (rows ?? []).filter((company) => company.missing.length === 0).length;
  const columns: Column<Company>[] = [
    {
      key: 'name',
      header: t('mapping.target.customer'),
      bare: true,
      cell: (company) => (
        <>
          <Text size="sm" fw={500} component="span" display="block">
            {company.name}
          </Text>
          <Text size="xs" c="dimmed" component="span">
            {company.identifier}
          </Text>
        </>
      ),
    },
    {
      key: 'missing',
      header: t('mapping.companies.missing'),
      cell: (company) =>
        company.missing.length === 0
          ? t('mapping.companies.complete')
          : company.missing.map((field) => say('mapping.fill', field)).join(', '),
    },
  ];
  if (mayMap) {
    columns.push({
      key: 'do',
      header: t('mapping.col.do'),
      bare: true,
      cell: (company) => (
        <Button
          size="compact-sm"
          variant="default"
          onClick={() => setFilling(company)}
          aria-label={t('mapping.companies.title', { name: company.name })}
        >
          {t('mapping.companies.import')}
        </Button>
      ),
    });
  }
  return (
    <>
      <Box className="panel">
        <Group p="md" justify="space-between" className="line">
          <Text size="sm" c="dimmed">
            {t('mapping.companies.lead')}{' '}
            {found.data !== undefined && t('overview.picture', { when: ago(found.data.read_at) })}
          </Text>
          {mayMap && complete > 0 && (
            <Button loading={all.isPending} onClick={() => all.mutate({})}>
              {t('mapping.companies.all')}
            </Button>
          )}
        </Group>
        {all.error !== null && (
          <Box p="md">
            <ProblemNote error={all.error} />
          </Box>
        )}
        <DataTable
          label={t('mapping.tab.companies')}
          columns={columns}
          rows={rows?.slice(0, shown)}
          id={(company) => String(company.company_id)}
          error={found.error}
          retry={() => void found.refetch()}
          empty={<Empty title={t('mapping.companies.none')} />}
          footer={
            rows !== undefined &&
            rows.length > shown && (
              <Group justify="center" p="sm">
                <Button variant="default" size="xs" onClick={() => setShown(shown + 100)}>
                  {t('action.more')}
                </Button>
              </Group>
            )
          }
        />
      </Box>
      <Modal
        opened={filling !== null}
        onClose={() => setFilling(null)}
        title={t('mapping.companies.title', { name: filling?.name ?? '' })}
        closeButtonProps={{ 'aria-label': t('action.close') }}
      >
        {filling !== null && <Fill company={filling} source={source} close={() => setFilling(null)} />}
      </Modal>
    </>
  );
}

type Field = keyof Schemas['Filling'];

function Fill({ company, source, close }: { company: Company; source: string; close: () => void }) {
  const { t } = useWords();
  const say = useWord();
  const [fill, setFill] = useState<Partial<Record<Field, string>>>({});
  const take = useImport(source, close);
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    take.mutate({ company_ids: [company.company_id], fill: company.missing.length > 0 ? fill : null });
  };
  return (
    <form onSubmit={submit}>
      <Stack>
        <Text size="sm">
          {t(company.missing.length > 0 ? 'mapping.companies.fill' : 'mapping.companies.ready')}
        </Text>
        {company.missing.map((name, at) => (
          <TextInput
            key={name}
            label={say('mapping.fill', name)}
            value={fill[name as Field] ?? ''}
            onChange={(event) => setFill({ ...fill, [name]: event.currentTarget.value })}
            required
            withAsterisk={false}
            data-autofocus={at === 0 || undefined}
          />
        ))}
        {take.error !== null && <ProblemNote error={take.error} />}
        <Group justify="flex-end">
          <Button variant="default" onClick={close}>
            {t('action.cancel')}
          </Button>
          <Button type="submit" loading={take.isPending}>
            {t('mapping.companies.import')}
          </Button>
        </Group>
      </Stack>
    </form>
  );
}
