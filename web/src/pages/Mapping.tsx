// What at the source is what in ConnectWise.
import { Alert, Button, FileButton, Group, List, Select, Stack, Tabs, Text } from '@mantine/core';
import { IconDownload, IconUpload } from '@tabler/icons-react';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useSearchParams } from 'react-router';
import { send, type Schemas } from '../api/client';
import { useSourceList } from '../api/sources';
import { useWords } from '../i18n';
import { useMay, useOrg } from '../session';
import { Page } from '../ui/Page';
import { withoutCommands } from '../ui/plain';
import { ProblemNote, sentence } from '../ui/Problem';
import { Companies } from './mapping/Companies';
import { Others } from './mapping/Others';
import { Records } from './mapping/Records';

const TABS = ['customer', 'product', 'fee', 'agreement', 'companies'] as const;
type Tab = (typeof TABS)[number];

export default function MappingPage() {
  const { t } = useWords();
  const org = useOrg();
  const [params, setParams] = useSearchParams();
  const tab = TABS.find((one) => one === params.get('tab')) ?? 'customer';
  const client = useQueryClient();
  const mayMap = useMay('mappings.write');
  const path = `/api/v1/organizations/${encodeURIComponent(org)}/mappings`;
  // A file, a suggestion and an imported company are of one source.
  const { sources, error, retry } = useSourceList(org);
  const wanted = params.get('source');
  const usual = sources?.includes('default') === true ? 'default' : (sources?.[0] ?? 'default');
  const source = wanted !== null && sources?.includes(wanted) === true ? wanted : usual;
  const of = `source=${encodeURIComponent(source)}`;
  const set = (values: Record<string, string | null>) =>
    setParams(
      (now) => {
        for (const [name, value] of Object.entries(values)) {
          if (value === null) now.delete(name);
          else now.set(name, value);
        }
        return now;
      },
      { replace: true },
    );
  const take = useMutation({
    mutationFn: async (file: File) =>
      (await send(`${path}/import?${of}`, 'POST', 'text/csv', await file.text())) as Schemas['MappingImportDoc'],
    onSuccess: () => void client.invalidateQueries(),
  });
  return (
    <Page
      title={t('mapping.title')}
      lead={t('mapping.lead')}
      actions={
        <>
          {sources !== undefined && sources.length > 1 && (
            <Select
              w={170}
              label={t('mapping.col.source')}
              allowDeselect={false}
              data={sources}
              value={source}
              onChange={(value) => set({ source: value })}
            />
          )}
          <Button
            component="a"
            href={`${path}/export?${of}`}
            download
            variant="default"
            leftSection={<IconDownload size={16} aria-hidden />}
          >
            {t('mapping.export')}
          </Button>
          {mayMap && (
            <FileButton accept=".csv,text/csv" onChange={(file) => file !== null && take.mutate(file)}>
              {(props) => (
                <Button
                  {...props}
                  variant="default"
                  loading={take.isPending}
                  disabled={sources === undefined}
                  leftSection={<IconUpload size={16} aria-hidden />}
                >
                  {t('mapping.import')}
                </Button>
              )}
            </FileButton>
          )}
        </>
      }
    >
      {error !== null && <ProblemNote error={error} about={t('mapping.sources')} retry={retry} />}
      {take.error !== null && <ProblemNote error={take.error} />}
      {take.data !== undefined && <Taken result={take.data} close={take.reset} />}
      <Tabs
        value={tab}
        onChange={(value) => set({ tab: value === 'customer' ? null : value })}
        keepMounted={false}
      >
        <Tabs.List mb="lg">
          {TABS.map((one) => (
            <Tabs.Tab key={one} value={one}>
              {t(`mapping.tab.${one}`)}
            </Tabs.Tab>
          ))}
        </Tabs.List>
        {TABS.map((one) => (
          <Tabs.Panel key={one} value={one}>
            <Stack gap="lg">
              <Content tab={one} source={source} />
            </Stack>
          </Tabs.Panel>
        ))}
      </Tabs>
    </Page>
  );
}

function Content({ tab, source }: { tab: Tab; source: string }) {
  switch (tab) {
    case 'customer':
    case 'product':
      return <Records kind={tab} suggest={source} />;
    case 'fee':
    case 'agreement':
      return <Others kind={tab} />;
    case 'companies':
      return <Companies key={source} source={source} />;
  }
}

/** What became of a file: every row that was refused, with its line and reason. */
function Taken({ result, close }: { result: Schemas['MappingImportDoc']; close: () => void }) {
  const { t, tn } = useWords();
  const good = result.refused.length === 0 && result.conflicts.length === 0;
  return (
    <Alert
      variant="light"
      color={good ? 'green' : 'yellow'}
      title={tn('mapping.import.saved', result.saved)}
      withCloseButton
      closeButtonLabel={t('action.close')}
      onClose={close}
    >
      {result.refused.length > 0 && (
        <>
          <Group gap="xs">
            <Text size="sm" fw={500}>
              {tn('mapping.import.refused', result.refused.length)}
            </Text>
          </Group>
          <List size="sm">
            {result.refused.slice(0, 50).map((row) => (
              <List.Item key={`${row.line} ${row.field ?? ''}`}>
                {t('mapping.import.line', { n: row.line })}: {row.field} {sentence(row.reason)}
              </List.Item>
            ))}
          </List>
        </>
      )}
      {result.conflicts.map((conflict) => (
        <Text size="sm" key={conflict.reason}>
          {sentence(conflict.reason)} {withoutCommands(conflict.fix)}
        </Text>
      ))}
    </Alert>
  );
}
