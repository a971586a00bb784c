// Saying what something is in ConnectWise: choose it, make it there, or say that it is not billed.
import { Button, Group, Modal, SegmentedControl, Stack, Text, TextInput } from '@mantine/core';
import { useState, type SubmitEvent } from 'react';
import { problemOf } from '../../api/client';
import { useWords } from '../../i18n';
import { useMay, useOrg } from '../../session';
import { Picker, type Choice } from '../../ui/Picker';
import { ProblemNote } from '../../ui/Problem';
import { findTargets, useCreate, useSave, type Subject } from './data';

type Way = 'choose' | 'make' | 'none';
const FILLING = ['contact', 'email', 'phone', 'street', 'city', 'region', 'postcode', 'country'] as const;

export function MapDialog({ subject, close }: { subject: Subject | null; close: () => void }) {
  const { t } = useWords();
  return (
    <Modal
      opened={subject !== null}
      onClose={close}
      title={subject === null ? '' : t('mapping.map.title', { name: subject.name })}
      size="lg"
      closeButtonProps={{ 'aria-label': t('action.close') }}
    >
      {subject !== null && <Form key={`${subject.source}/${subject.source_id}`} subject={subject} close={close} />}
    </Modal>
  );
}

function Form({ subject, close }: { subject: Subject; close: () => void }) {
  const { t } = useWords();
  const mayMake = useMay('connectwise.write');
  const [way, setWay] = useState<Way>('choose');
  const canMake = mayMake && (subject.kind === 'customer' || subject.kind === 'product');
  const ways: { value: Way; label: string }[] = [{ value: 'choose', label: t('mapping.way.choose') }];
  if (canMake) ways.push({ value: 'make', label: t('mapping.way.make') });
  if (subject.kind === 'customer' || subject.kind === 'product') {
    ways.push({ value: 'none', label: t('mapping.way.none') });
  }
  return (
    <Stack>
      {ways.length > 1 && (
        <SegmentedControl
          data={ways}
          value={way}
          onChange={(value) => setWay(value)}
          aria-label={t('mapping.way')}
        />
      )}
      {way === 'choose' && <Choose subject={subject} close={close} />}
      {way === 'make' && <Make subject={subject} close={close} />}
      {way === 'none' && <NotBilled subject={subject} close={close} />}
    </Stack>
  );
}

interface Part {
  subject: Subject;
  close: () => void;
}

function Buttons(props: { close: () => void; label: string; working: boolean; disabled?: boolean }) {
  const { t } = useWords();
  return (
    <Group justify="flex-end">
      <Button variant="default" onClick={props.close}>
        {t('action.cancel')}
      </Button>
      <Button type="submit" loading={props.working} disabled={props.disabled ?? false}>
        {props.label}
      </Button>
    </Group>
  );
}

function Choose({ subject, close }: Part) {
  const { t } = useWords();
  const org = useOrg();
  const [target, setTarget] = useState<Choice | null>(null);
  const save = useSave(close);
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    if (target === null) return;
    const { kind, source, source_id, scope } = subject;
    save.mutate({ kind, source, source_id, scope: scope ?? null, psa_id: parseInt(target.value, 10) });
  };
  return (
    <form onSubmit={submit}>
      <Stack>
        <Picker
          label={t(`mapping.target.${subject.kind}`)}
          of={[org, subject.kind]}
          find={(search) => findTargets(org, subject.kind, search)}
          value={target}
          choose={setTarget}
        />
        {save.error !== null && <ProblemNote error={save.error} />}
        <Buttons close={close} label={t('mapping.map')} working={save.isPending} disabled={target === null} />
      </Stack>
    </form>
  );
}

function Make({ subject, close }: Part) {
  const { t } = useWords();
  const create = useCreate(close);
  const [identifier, setIdentifier] = useState('');
  const [name, setName] = useState(subject.name);
  const [fill, setFill] = useState<Partial<Record<(typeof FILLING)[number], string>>>({});
  const faults = create.error === null ? [] : problemOf(create.error).fields;
  const fault = (field: string) => faults.find((one) => one.field === field)?.reason;
  // What a company needs is asked for once ConnectWise misses it: most customers bring it along.
  const missing = create.error !== null && subject.kind === 'customer';
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    create.mutate({
      kind: subject.kind,
      source: subject.source,
      source_id: subject.source_id,
      name,
      identifier: identifier === '' ? null : identifier,
      fill: Object.keys(fill).length > 0 ? fill : null,
    });
  };
  return (
    <form onSubmit={submit}>
      <Stack>
        <Text size="sm">{t(subject.kind === 'customer' ? 'mapping.make.company' : 'mapping.make.item')}</Text>
        <TextInput
          label={t('mapping.make.name')}
          value={name}
          onChange={(event) => setName(event.currentTarget.value)}
          error={fault('name')}
          maxLength={100}
          required
          withAsterisk={false}
        />
        <TextInput
          label={t('mapping.make.identifier')}
          description={t('mapping.make.identifier.hint')}
          value={identifier}
          onChange={(event) => setIdentifier(event.currentTarget.value)}
          error={fault('identifier')}
          maxLength={75}
        />
        {missing &&
          FILLING.map((field) => (
            <TextInput
              key={field}
              label={t(`mapping.fill.${field}`)}
              value={fill[field] ?? ''}
              onChange={(event) => setFill({ ...fill, [field]: event.currentTarget.value })}
              error={fault(`fill.${field}`)}
            />
          ))}
        {create.error !== null && <ProblemNote error={create.error} />}
        <Buttons close={close} label={t('mapping.make')} working={create.isPending} />
      </Stack>
    </form>
  );
}

function NotBilled({ subject, close }: Part) {
  const { t } = useWords();
  const save = useSave(close);
  const [reason, setReason] = useState('');
  const [until, setUntil] = useState('');
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    const options: Record<string, string> = { do_not_bill: reason, ...(until === '' ? {} : { until }) };
    const { kind, source, source_id, scope } = subject;
    save.mutate({ kind, source, source_id, scope: scope ?? null, psa_id: null, options });
  };
  return (
    <form onSubmit={submit}>
      <Stack>
        <Text size="sm">{t('mapping.none.lead')}</Text>
        <TextInput
          label={t('tasks.reason')}
          value={reason}
          onChange={(event) => setReason(event.currentTarget.value)}
          required
        />
        <TextInput
          type="date"
          label={t('mapping.none.until')}
          description={t('mapping.none.until.hint')}
          value={until}
          onChange={(event) => setUntil(event.currentTarget.value)}
        />
        {save.error !== null && <ProblemNote error={save.error} />}
        <Buttons close={close} label={t('mapping.way.none')} working={save.isPending} disabled={reason.trim() === ''} />
      </Stack>
    </form>
  );
}
