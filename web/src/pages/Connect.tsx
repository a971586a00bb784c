// Connecting ConnectWise in three steps: where it is, the keys, and what the test found.
import { Anchor, Box, Button, Group, List, PasswordInput, Radio, Stack, Stepper, Text, TextInput } from '@mantine/core';
import { useEffect, useRef, useState, type ReactNode, type SubmitEvent } from 'react';
import { Link } from 'react-router';
import { problemOf } from '../api/client';
import { useStart } from '../api/runs';
import { useWords } from '../i18n';
import { useMay, useOrg } from '../session';
import { Page } from '../ui/Page';
import { withoutCommands } from '../ui/plain';
import { ProblemNote, sentence } from '../ui/Problem';
import { useRefusal } from '../ui/refusals';
import { RunProgress } from '../ui/RunProgress';
import { addressFault } from './connections/address';
import { useAdd, useConnections, useTest, type Tested } from './connections/data';
import { RightsReport } from './connections/Rights';

const SITES = {
  na: 'https://api-na.myconnectwise.net',
  eu: 'https://api-eu.myconnectwise.net',
  au: 'https://api-au.myconnectwise.net',
  za: 'https://api-za.myconnectwise.net',
  staging: 'https://api-staging.connectwisedev.com',
} as const;
type Site = keyof typeof SITES | 'own';
const CHOICES: Site[] = ['na', 'eu', 'au', 'za', 'staging', 'own'];
const USUAL = 'connectwise';
const WRONG_ADDRESS = 'TU1005';
/** What the first step asks for. */
const FIRST: ReadonlySet<string> = new Set(['url', 'company', 'name']);

interface Wanted {
  site: Site;
  url: string;
  company: string;
  name: string;
  publicKey: string;
  privateKey: string;
  clientId: string;
}

const NOTHING: Wanted = {
  site: 'na',
  url: '',
  company: '',
  name: '',
  publicKey: '',
  privateKey: '',
  clientId: '',
};

export default function ConnectPage() {
  const { t } = useWords();
  const org = useOrg();
  const [step, setStep] = useState(0);
  const [wanted, setWanted] = useState(NOTHING);
  const [tested, setTested] = useState<Tested | null>(null);
  const add = useAdd(org);
  const set = (change: Partial<Wanted>) => setWanted((now) => ({ ...now, ...change }));
  const connect = () =>
    add.mutate(
      {
        name: wanted.name.trim() === '' ? null : wanted.name.trim(),
        url: wanted.site === 'own' ? wanted.url : SITES[wanted.site],
        company: wanted.company,
        public_key: wanted.publicKey,
        private_key: wanted.privateKey,
        client_id: wanted.clientId,
      },
      {
        onSuccess: (found) => {
          setTested(found);
          // A secret is not kept longer than it is needed.
          set({ privateKey: '' });
          setStep(2);
        },
        onError: (error) => {
          const { code, fields } = problemOf(error);
          const isOfFirst = fields.some((one) => FIRST.has(one.field)) || (code === WRONG_ADDRESS && wanted.site === 'own');
          if (isOfFirst) setStep(0);
        },
      },
    );
  const refusal = useRefusal();
  const refused = add.error === null ? null : problemOf(add.error);
  // An address that the service cannot use is told at the address, whatever step it was sent from.
  const fault = (field: string) => {
    const found = refused?.fields.find((one) => one.field === field);
    if (found !== undefined) return refusal.reason(found.reason);
    return field === 'url' && refused?.code === WRONG_ADDRESS ? sentence(withoutCommands(refused.detail)) : undefined;
  };
  return (
    <Page title={t('connect.title')} lead={t('connect.lead')}>
      <Box className="panel" p="lg" maw={860}>
        <Stepper
          active={step}
          onStepClick={(to) => tested === null && to < step && setStep(to)}
          allowNextStepsSelect={false}
          size="sm"
          aria-label={t('connect.steps')}
        >
          <Stepper.Step label={t('connect.where')}>
            <Where
              wanted={wanted}
              set={(change) => {
                add.reset();
                set(change);
              }}
              fault={fault}
              next={() => setStep(1)}
            />
          </Stepper.Step>
          <Stepper.Step label={t('connect.keys')}>
            <Keys wanted={wanted} set={set} fault={fault} submit={connect} working={add.isPending} back={() => setStep(0)}>
              {add.error !== null && <ProblemNote error={add.error} />}
            </Keys>
          </Stepper.Step>
          <Stepper.Step label={t('connect.result')}>
            {tested !== null && <Result tested={tested} setTested={setTested} />}
          </Stepper.Step>
        </Stepper>
      </Box>
    </Page>
  );
}

interface Part {
  wanted: Wanted;
  set: (change: Partial<Wanted>) => void;
  fault: (field: string) => string | undefined;
}

function Where({ wanted, set, fault, next }: Part & { next: () => void }) {
  const { t } = useWords();
  const known = useConnections(useOrg());
  const name = wanted.name.trim() === '' ? USUAL : wanted.name.trim();
  const others = known.data?.items ?? [];
  const [looked, setLooked] = useState(false);
  const own = useRef<HTMLInputElement>(null);
  const company = useRef<HTMLInputElement>(null);
  const alias = useRef<HTMLInputElement>(null);
  const wrong = wanted.site === 'own' ? addressFault(wanted.url) : null;
  const faults = {
    url: wrong === null ? undefined : wrong.kind === 'cloud' ? t('connect.url.cloud', wrong) : t(`connect.url.${wrong.kind}`),
    company: wanted.company.trim() === '' ? t('refusal.empty') : undefined,
    name: wanted.name.includes('/') ? t('refusal.slash') : undefined,
  };
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    setLooked(true);
    const first = faults.url !== undefined ? own : faults.company !== undefined ? company : faults.name !== undefined ? alias : null;
    if (first === null) next();
    else first.current?.focus();
  };
  const told = (field: keyof typeof faults) => (looked ? faults[field] : undefined) ?? fault(field);
  return (
    <form onSubmit={submit} noValidate>
      <Stack pt="md">
        <Radio.Group
          label={t('connect.site')}
          description={t('connect.site.hint')}
          value={wanted.site}
          onChange={(value) => set({ site: value })}
        >
          <Stack gap="xs" mt="xs">
            {CHOICES.map((site) => (
              <Radio
                key={site}
                value={site}
                label={t(`connect.site.${site}`)}
                description={site === 'own' ? undefined : SITES[site].replace('https://api-', '')}
              />
            ))}
          </Stack>
        </Radio.Group>
        {wanted.site === 'own' && (
          <TextInput
            label={t('connect.url')}
            description={t('connect.url.hint')}
            placeholder="https://connectwise.example.com"
            value={wanted.url}
            onChange={(event) => set({ url: event.currentTarget.value })}
            error={told('url')}
            ref={own}
            maxLength={500}
            required
            withAsterisk={false}
          />
        )}
        {wrong?.kind === 'cloud' && looked && (
          <Button variant="light" size="xs" w="fit-content" onClick={() => set({ url: wrong.proposed })}>
            {t('connect.url.take', { address: wrong.proposed })}
          </Button>
        )}
        <TextInput
          label={t('connections.company')}
          description={t('connect.company.hint')}
          value={wanted.company}
          onChange={(event) => set({ company: event.currentTarget.value })}
          error={told('company')}
          ref={company}
          maxLength={200}
          required
          withAsterisk={false}
        />
        <TextInput
          label={t('connect.name')}
          description={t('connect.name.hint')}
          placeholder={USUAL}
          value={wanted.name}
          onChange={(event) => set({ name: event.currentTarget.value })}
          error={told('name')}
          ref={alias}
          maxLength={100}
        />
        {others.some((one) => one.name === name) && (
          <Text size="sm" role="status" c="var(--trueup-loss)">
            {t('connect.replaces')}
          </Text>
        )}
        <Group justify="flex-end">
          <Button type="submit">{t('connect.next')}</Button>
        </Group>
      </Stack>
    </form>
  );
}

function Keys(
  props: Part & { submit: () => void; working: boolean; back: () => void; children: ReactNode },
) {
  const { t } = useWords();
  const { wanted, set, fault } = props;
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    props.submit();
  };
  return (
    <form onSubmit={submit} autoComplete="off">
      <Stack pt="md">
        <Box component="section" aria-label={t('connect.how')}>
          <Text size="sm" fw={500} mb={4}>
            {t('connect.how')}
          </Text>
          <List type="ordered" size="sm" spacing={4}>
            <List.Item>{t('connect.how.role')}</List.Item>
            <List.Item>{t('connect.how.member')}</List.Item>
            <List.Item>{t('connect.how.keys')}</List.Item>
            <List.Item>{t('connect.how.client')}</List.Item>
          </List>
        </Box>
        <TextInput
          label={t('connections.publicKey')}
          description={t('connect.publicKey.hint')}
          value={wanted.publicKey}
          onChange={(event) => set({ publicKey: event.currentTarget.value })}
          error={fault('public_key')}
          maxLength={200}
          spellCheck={false}
          required
          withAsterisk={false}
          autoFocus
        />
        <PasswordInput
          label={t('connections.privateKey')}
          description={t('connect.privateKey.hint')}
          autoComplete="off"
          value={wanted.privateKey}
          onChange={(event) => set({ privateKey: event.currentTarget.value })}
          error={fault('private_key')}
          maxLength={200}
          required
          withAsterisk={false}
        />
        <TextInput
          label={t('connections.clientId')}
          description={t('connect.clientId.hint')}
          value={wanted.clientId}
          onChange={(event) => set({ clientId: event.currentTarget.value })}
          error={fault('client_id')}
          maxLength={200}
          spellCheck={false}
          required
          withAsterisk={false}
        />
        {props.working && (
          <Text size="sm" c="dimmed" role="status" className="late">
            {t('connect.working')}
          </Text>
        )}
        {props.children}
        <Group justify="space-between">
          <Button variant="default" onClick={props.back}>
            {t('connect.back')}
          </Button>
          <Button type="submit" loading={props.working}>
            {t('connect.submit')}
          </Button>
        </Group>
      </Stack>
    </form>
  );
}

function Result({ tested, setTested }: { tested: Tested; setTested: (tested: Tested) => void }) {
  const { t } = useWords();
  const org = useOrg();
  const mayRun = useMay('runs.write');
  const test = useTest(org);
  const start = useStart(org);
  const [run, setRun] = useState<string | null>(null);
  const { name } = tested.connection;
  // The button that led here is gone: who uses a keyboard goes on with what was found.
  const top = useRef<HTMLDivElement>(null);
  useEffect(() => top.current?.focus(), []);
  return (
    <Stack pt="md" ref={top} tabIndex={-1} style={{ outline: 'none' }}>
      <RightsReport
        tested={tested}
        again={() => test.mutate(name, { onSuccess: setTested })}
        working={test.isPending}
      />
      {test.error !== null && <ProblemNote error={test.error} />}
      {start.error !== null && <ProblemNote error={start.error} />}
      {run !== null && <RunProgress id={run} />}
      <Group justify="space-between">
        <Anchor component={Link} to={`/o/${encodeURIComponent(org)}/connections`} size="sm">
          {t('connect.later')}
        </Anchor>
        {mayRun && run === null && (
          <Button
            variant={tested.ok ? 'filled' : 'default'}
            loading={start.isPending}
            onClick={() =>
              start.mutate({ kind: 'pull', connection: name }, { onSuccess: (begun) => setRun(begun.run_id) })
            }
          >
            {t('connect.goOn')}
          </Button>
        )}
      </Group>
    </Stack>
  );
}
