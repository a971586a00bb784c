// Changing one value of a rule, with the control that its form asks for.
import { Button, Code, Group, Modal, Radio, Select, Stack, Text, Textarea, TextInput } from '@mantine/core';
import { useMemo, useState, type SubmitEvent } from 'react';
import { useWords } from '../../i18n';
import { useOrg } from '../../session';
import { DecimalInput } from '../../ui/DecimalInput';
import { Picker } from '../../ui/Picker';
import { ProblemNote } from '../../ui/Problem';
import { findTargets } from '../mapping/data';
import { setRule, useAlertWrite, type RuleValue, type Which } from './data';
import { useAlertWords } from './words';

export function ValueDialog(props: { value: RuleValue | null; which: Which; close: () => void }) {
  const words = useAlertWords();
  const { value } = props;
  return (
    <Modal
      opened={value !== null}
      onClose={props.close}
      size={value?.form === 'text' ? 'lg' : 'md'}
      title={value === null ? '' : words.label(value)}
    >
      {value !== null && <Form key={value.key} {...props} value={value} />}
    </Modal>
  );
}

function Form({ value, which, close }: { value: RuleValue; which: Which; close: () => void }) {
  const { t } = useWords();
  const words = useAlertWords();
  const [text, setText] = useState(value.value);
  const [label, setLabel] = useState(value.label ?? '');
  const write = useAlertWrite(setRule, close);
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    write.mutate({ ...which, values: { [value.key]: text } });
  };
  return (
    <form onSubmit={submit}>
      <Stack>
        <Text size="sm" id="value-help">
          {words.help(value)}
        </Text>
        <Editor
          value={value}
          text={text}
          setText={setText}
          label={label}
          choose={(next, shown) => {
            setText(next);
            setLabel(shown);
          }}
        />
        {(value.form === 'line' || value.form === 'text') && (
          <Text size="xs" c="dimmed">
            {t('alerts.value.variables')}{' '}
            {[...value.allowed.matchAll(/\{\w+\}/g)].map(([name]) => (
              <Code key={name} mr={4}>
                {name}
              </Code>
            ))}
          </Text>
        )}
        {write.error !== null && <ProblemNote error={write.error} />}
        <Group justify="flex-end">
          <Button variant="default" onClick={close}>
            {t('action.cancel')}
          </Button>
          <Button type="submit" loading={write.isPending}>
            {t('action.save')}
          </Button>
        </Group>
      </Stack>
    </form>
  );
}

interface Part {
  value: RuleValue;
  text: string;
  setText: (text: string) => void;
  label: string;
  choose: (text: string, label: string) => void;
}

function Editor({ value, text, setText, label, choose }: Part) {
  const { t } = useWords();
  const org = useOrg();
  const words = useAlertWords();
  const own = { 'aria-describedby': 'value-help', 'data-autofocus': true };
  switch (value.form) {
    case 'switch':
    case 'choice':
      return (
        <Radio.Group value={text} onChange={setText} aria-label={words.label(value)} aria-describedby="value-help">
          <Stack gap="xs">
            {value.choices.map((one) => (
              <Radio
                key={one}
                value={one}
                label={words.choice(value, one)}
                data-autofocus={one === text || undefined}
              />
            ))}
          </Stack>
        </Radio.Group>
      );
    case 'number':
      return <DecimalInput label={t('settings.value')} whole value={text} setValue={setText} {...own} />;
    case 'pick':
      return (
        <Picker
          label={t('mapping.target.customer')}
          of={[org, 'customer']}
          find={(search) => findTargets(org, 'customer', search)}
          value={text === '' ? null : { value: text, label: label === '' ? `#${text}` : label }}
          choose={(choice) => choose(choice?.value ?? '', choice?.label ?? '')}
        />
      );
    case 'text':
      return (
        <Textarea
          label={t('settings.value')}
          autosize
          minRows={6}
          maxRows={16}
          value={text}
          onChange={(event) => setText(event.currentTarget.value)}
          {...own}
        />
      );
    case 'zone':
      return <Zone text={text} setText={setText} />;
    default:
      return (
        <TextInput
          label={t('settings.value')}
          placeholder={value.form === 'hours' ? '22:00-06:00' : undefined}
          value={text}
          onChange={(event) => setText(event.currentTarget.value)}
          {...own}
        />
      );
  }
}

function Zone({ text, setText }: { text: string; setText: (text: string) => void }) {
  const { t } = useWords();
  const zones = useMemo(
    () => [...new Set([...(text === '' ? [] : [text]), 'UTC', ...Intl.supportedValuesOf('timeZone')])],
    [text],
  );
  return (
    <Select
      label={t('setting.schedule.time_zone')}
      searchable
      clearable
      data={zones}
      limit={200}
      value={text === '' ? null : text}
      onChange={(next) => setText(next ?? '')}
      data-autofocus
    />
  );
}
