// Changing one setting, with the control that its values ask for.
import { Button, Group, Modal, Radio, Select, Stack, Text, TextInput } from '@mantine/core';
import { useMemo, useState, type ReactNode, type SubmitEvent } from 'react';
import { useWords } from '../../i18n';
import { DecimalInput } from '../../ui/DecimalInput';
import { useChange } from './data';
import { Unsaved } from './Meanwhile';
import { Reach } from './Reach';
import { cadenceWords, captionOf, controlOf, useSettingWords, type Setting } from './words';

const MARKERS = ['auto', 'serial_number', 'custom_field', 'none'] as const;
const CADENCES = ['off', '1m', '2m', '5m', '10m', '15m', '20m', '30m', 'hourly'];
const MORNING = '06:30';

export function EditSetting({ org, setting, close }: { org: string; setting: Setting | null; close: () => void }) {
  const words = useSettingWords();
  return (
    <Modal opened={setting !== null} onClose={close} title={setting === null ? '' : words.label(setting)}>
      {setting !== null && <Form key={setting.key} org={org} setting={setting} close={close} />}
    </Modal>
  );
}

function Form({ org, setting, close }: { org: string; setting: Setting; close: () => void }) {
  const { t } = useWords();
  const words = useSettingWords();
  const [value, setValue] = useState(setting.value);
  const change = useChange(org, close);
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    change.mutate({ seen: setting, value });
  };
  return (
    <form onSubmit={submit}>
      <Stack>
        <Text size="sm" id="setting-help">
          {words.help(setting)}
        </Text>
        <Editor setting={setting} value={value} setValue={setValue} />
        <Text size="xs" c="dimmed">
          {t('settings.builtIn', { value: words.value(setting, setting.default) })}
        </Text>
        <Reach org={org} setting={setting} />
        <Unsaved error={change.error} keep={close} overrule={(seen) => change.mutate({ seen, value })} />
        <Group justify="flex-end">
          <Button variant="default" onClick={close}>
            {t('action.cancel')}
          </Button>
          <Button type="submit" loading={change.isPending}>
            {t('action.save')}
          </Button>
        </Group>
      </Stack>
    </form>
  );
}

interface Part {
  setting: Setting;
  value: string;
  setValue: (value: string) => void;
}

function Editor(props: Part): ReactNode {
  const { t } = useWords();
  const words = useSettingWords();
  const { setting, value, setValue } = props;
  const control = controlOf(setting);
  const name = words.label(setting);
  switch (control.kind) {
    case 'choice':
      return (
        <Choice
          name={name}
          value={value}
          setValue={setValue}
          choices={control.values.map((one) => ({ value: one, label: words.value(setting, one) }))}
        />
      );
    case 'marker':
      return <Marker {...props} />;
    case 'cadence':
      return <Cadence {...props} />;
    case 'zone':
      return <Zone {...props} />;
    case 'number':
    case 'whole':
      return (
        <DecimalInput
          label={t('settings.value')}
          aria-describedby="setting-help"
          whole={control.kind === 'whole'}
          value={value}
          setValue={setValue}
          data-autofocus
        />
      );
    default:
      return (
        <TextInput
          type={control.kind === 'date' ? 'date' : 'text'}
          label={t('settings.value')}
          aria-describedby="setting-help"
          value={value}
          onChange={(event) => setValue(event.currentTarget.value)}
          data-autofocus
        />
      );
  }
}

function Choice(props: {
  name: string;
  value: string;
  setValue: (value: string) => void;
  choices: { value: string; label: string }[];
}) {
  return (
    <Radio.Group value={props.value} onChange={props.setValue} aria-label={props.name} aria-describedby="setting-help">
      <Stack gap="xs">
        {props.choices.map((one) => (
          <Radio
            key={one.value}
            value={one.value}
            label={one.label}
            data-autofocus={one.value === props.value || undefined}
          />
        ))}
      </Stack>
    </Radio.Group>
  );
}

function Marker({ setting, value, setValue }: Part) {
  const { t } = useWords();
  const words = useSettingWords();
  const own = value.startsWith('custom_field');
  return (
    <>
      <Choice
        name={words.label(setting)}
        value={own ? 'custom_field' : value}
        setValue={(next) => setValue(next === 'custom_field' ? 'custom_field:' : next)}
        choices={MARKERS.map((one) => ({ value: one, label: t(`setting.marker.${one}`) }))}
      />
      {own && (
        <TextInput
          label={t('setting.marker.caption')}
          value={captionOf(value)}
          onChange={(event) => setValue(`custom_field:${event.currentTarget.value}`)}
          required
        />
      )}
    </>
  );
}

function Cadence({ value, setValue }: Part) {
  const words = useWords();
  const { t } = words;
  const daily = value.startsWith('daily ');
  const monthly = value.startsWith('monthly ');
  const [day = '1', monthlyTime = MORNING] = monthly ? value.slice('monthly '.length).split(' ') : [];
  const time = daily ? value.slice('daily '.length) : monthlyTime;
  const known = CADENCES.includes(value) || daily || monthly ? CADENCES : [...CADENCES, value];
  const data = known.map((one) => ({ value: one, label: cadenceWords(words, one) }));
  const days = [...Array.from({ length: 31 }, (_, at) => String(at + 1)), 'last'];
  const begin = (kind: string | null) => {
    if (kind === 'daily') return `daily ${time}`;
    return kind === 'monthly' ? `monthly ${day} ${time}` : (kind ?? 'off');
  };
  const at = (next: string) => setValue(monthly ? `monthly ${day} ${next}` : `daily ${next}`);
  return (
    <Group align="flex-end" gap="sm">
      <Select
        flex="1 1 12rem"
        label={t('cadence.often')}
        aria-describedby="setting-help"
        allowDeselect={false}
        data={[
          ...data,
          { value: 'daily', label: t('cadence.dailyChoice') },
          { value: 'monthly', label: t('cadence.monthlyChoice') },
        ]}
        value={daily ? 'daily' : monthly ? 'monthly' : value}
        onChange={(next) => setValue(begin(next))}
        data-autofocus
      />
      {monthly && (
        <Select
          flex="1 1 9rem"
          label={t('cadence.day')}
          allowDeselect={false}
          data={days.map((one) => ({ value: one, label: one === 'last' ? t('cadence.lastDay') : t('cadence.dayOf', { day: one }) }))}
          value={day}
          onChange={(next) => next !== null && setValue(`monthly ${next} ${time}`)}
        />
      )}
      {(daily || monthly) && (
        <TextInput
          type="time"
          label={t('cadence.time')}
          value={time}
          onChange={(event) => at(event.currentTarget.value)}
          required
          withAsterisk={false}
        />
      )}
    </Group>
  );
}

function Zone({ value, setValue }: Part) {
  const { t } = useWords();
  const zones = useMemo(() => [...new Set([value, 'UTC', ...Intl.supportedValuesOf('timeZone')])], [value]);
  return (
    <Select
      label={t('setting.schedule.time_zone')}
      aria-describedby="setting-help"
      searchable
      allowDeselect={false}
      data={zones}
      limit={200}
      value={value}
      onChange={(next) => next !== null && setValue(next)}
      data-autofocus
    />
  );
}
