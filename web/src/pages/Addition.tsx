// Why is this 8? Every value of a line with its calculation, its inputs, and what happened to it over time.
import { Box, Code, Group, Stack, Text, Timeline } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { Link, useParams } from 'react-router';
import { answer, api } from '../api/client';
import { fetchNames } from '../api/names';
import { useFormats } from '../format';
import { useWords } from '../i18n';
import { useOrg } from '../session';
import { useWord } from '../ui/Badges';
import { Facts } from '../ui/Changes';
import { useFieldValue } from '../ui/fields';
import { Empty, Page, Panel, Waiting } from '../ui/Page';
import { ProblemNote } from '../ui/Problem';
import { TakeBack } from '../ui/TakeBack';
import { useActor, useSaid } from '../ui/said';

interface Value {
  value: string | null;
  before: string | null;
  formula: string;
  reason: string;
  order_id: string | null;
  plan_id: string | null;
  inputs: Record<string, unknown>;
}
interface Entry {
  number: number;
  at: string;
  actor: string;
  action: string;
  detail: { reason?: string | null };
}
interface Explanation {
  addition_id: number;
  agreement_id: number | null;
  product_id: string | null;
  subscription_id: string | null;
  role: string | null;
  deleted: boolean;
  /** Whether an undo has settled it: there is nothing to take back any more. */
  settled: boolean;
  source_record: unknown;
  values: Record<string, Value>;
  entries: Entry[];
  changes: { currency: string }[];
}

/** The values that people ask for first. */
const ORDER = ['quantity', 'unitPrice', 'unitCost', 'effectiveDate', 'cancelledDate', 'product'];
const PATH = '/api/v1/organizations/{org}/additions/{addition}/explanation';

/** Whose agreement it is; none where ConnectWise has it no more. */
async function companyOf(org: string, agreement: number): Promise<number | null> {
  const path = '/api/v1/organizations/{org}/agreements/{agreement}';
  const { data } = await api.GET(path, { params: { path: { org, agreement } } });
  return data?.agreement.company_id ?? null;
}

async function load(org: string, addition: number) {
  const found = (await answer(
    api.GET(PATH, { params: { path: { org, addition } } }),
  )) as unknown as Explanation;
  const agreements = found.agreement_id === null ? [] : [found.agreement_id];
  const company = found.agreement_id === null ? null : await companyOf(org, found.agreement_id);
  const companies = company === null ? [] : [company];
  return { found, company, names: await fetchNames(org, { agreements, companies }) };
}

export default function AdditionPage() {
  const { t } = useWords();
  const org = useOrg();
  const say = useWord();
  const { addition = '' } = useParams();
  const explained = useQuery({
    queryKey: ['explanation', org, addition],
    queryFn: () => load(org, parseInt(addition, 10)),
  });
  if (explained.data === undefined) {
    return (
      <Page title={t('why.title', { id: addition })}>
        {explained.error === null ? (
          <Box className="panel">
            <Waiting rows={8} />
          </Box>
        ) : (
          <ProblemNote error={explained.error} retry={() => void explained.refetch()} />
        )}
      </Page>
    );
  }
  const { found, company, names } = explained.data;
  const keys = Object.keys(found.values).sort((a, b) => rank(a) - rank(b));
  const lead = [
    company === null ? null : names.company(company),
    found.agreement_id === null ? null : names.agreement(found.agreement_id),
    found.product_id,
    found.subscription_id,
    found.role === null ? null : say('change.role', found.role),
    found.deleted ? t('why.deleted') : found.settled ? t('why.settled') : null,
  ].filter((one) => one !== null);
  return (
    <Page
      title={t('why.title', { id: addition })}
      lead={lead.join(' · ')}
      actions={
        keys.length > 0 &&
        !found.deleted &&
        !found.settled && <TakeBack wish={{ additions: [parseInt(addition, 10)] }} label={t('undo.line')} />
      }
    >
      {keys.length === 0 ? (
        <Box className="panel">
          <Empty title={t('why.none')} />
        </Box>
      ) : (
        <Panel title={t('why.values')} flush>
          {keys.map((key) => {
            const value = found.values[key];
            return value === undefined ? null : (
              <ValueOf key={key} name={key} value={value} currency={found.changes[0]?.currency} />
            );
          })}
        </Panel>
      )}
      <Past entries={found.entries} />
      {found.source_record != null && (
        <Panel title={t('why.source')}>
          <Code block tabIndex={0} aria-label={t('why.source')} style={{ whiteSpace: 'pre-wrap', overflowWrap: 'anywhere' }}>
            {JSON.stringify(found.source_record, null, 2)}
          </Code>
        </Panel>
      )}
    </Page>
  );
}

function rank(name: string): number {
  const at = ORDER.indexOf(name);
  return at < 0 ? ORDER.length : at;
}

function isRecord(input: unknown): input is Record<string, unknown> {
  return typeof input === 'object' && input !== null && !Array.isArray(input);
}

function ValueOf({ name, value, currency }: { name: string; value: Value; currency: string | undefined }) {
  const { said, days } = useSaid();
  const { decimals } = useFormats();
  const { t } = useWords();
  const say = useWord();
  const written = (input: unknown) => days(decimals(String(input)));
  const shown = useFieldValue();
  const org = useOrg();
  const inputs = Object.entries(value.inputs).filter(([, input]) => input !== null && typeof input !== 'object');
  const records = ['line', 'order', 'agreement'].map((key) => value.inputs[key]).filter(isRecord);
  const netted = value.inputs['netted_lines'];
  if (Array.isArray(netted)) records.push(...netted.filter(isRecord));
  return (
    <Box className="line" px="lg" py="md">
      <Group justify="space-between" align="baseline" gap="md">
        <Text size="sm" c="dimmed">
          {say('field', name)}
        </Text>
        <Text fw={600} className="num">
          {value.before !== null && value.before !== value.value && (
            <Text span size="sm" c="dimmed" td="line-through" mr={8}>
              {shown(name, value.before, currency)}
            </Text>
          )}
          {shown(name, value.value, currency)}
        </Text>
      </Group>
      <Text size="sm" className="formula" lang="en">
        {said(decimals(value.formula))}
      </Text>
      {value.reason !== value.formula && (
        <Text size="sm" c="dimmed" lang="en">
          {said(value.reason)}
        </Text>
      )}
      {(inputs.length > 0 || records.length > 0) && (
        <details className="inputs">
          <summary>{t('why.inputs')}</summary>
          <Facts facts={inputs.map(([key, input]) => [key.replaceAll('_', ' '), written(input)])} />
          {records.map((record, at) => (
            <Facts
              key={at}
              facts={Object.entries(record)
                .filter(([, input]) => input !== null && typeof input !== 'object')
                .map(([key, input]) => [key.replaceAll('_', ' '), written(input)])}
            />
          ))}
        </details>
      )}
      <Group gap="md" mt={4}>
        {value.order_id !== null && (
          <Text size="xs" c="dimmed">
            {t('change.order')}: {value.order_id}
          </Text>
        )}
        {value.plan_id !== null && (
          <Link className="plain" to={`/o/${org}/plans/${encodeURIComponent(value.plan_id)}`}>
            {t('run.toPlan')}
          </Link>
        )}
      </Group>
    </Box>
  );
}

function Past({ entries }: { entries: Entry[] }) {
  const who = useActor();
  const { said } = useSaid();
  const { t } = useWords();
  const { instant } = useFormats();
  const say = useWord();
  if (entries.length === 0) return null;
  return (
    <Panel title={t('why.past')}>
      <Timeline bulletSize={14} lineWidth={2} active={entries.length}>
        {entries.map((entry) => (
          <Timeline.Item key={entry.number} title={say('audit', entry.action)}>
            <Stack gap={0}>
              {typeof entry.detail.reason === 'string' && (
                <Text size="sm">{said(entry.detail.reason)}</Text>
              )}
              <Text size="xs" c="dimmed">
                {instant(entry.at)} · {who(entry.actor)}
              </Text>
            </Stack>
          </Timeline.Item>
        ))}
      </Timeline>
    </Panel>
  );
}
