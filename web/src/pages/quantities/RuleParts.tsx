// The parts of a rule that are lists: what is taken away first, and tiers.
import { ActionIcon, Button, Fieldset, Group, Select, Stack, TextInput } from '@mantine/core';
import { IconPlus, IconTrash } from '@tabler/icons-react';
import { useWords } from '../../i18n';
import { DecimalInput } from '../../ui/DecimalInput';
import type { Counted } from './data';
import { row, type Draft } from './rule';

interface Part {
  draft: Draft;
  set: <K extends keyof Draft>(name: K, value: Draft[K]) => void;
}

const COUNT = '';

export function Exclusions({ draft, set, counted, source }: Part & { counted: Counted; source: string }) {
  const { t } = useWords();
  const change = (key: number, part: Partial<Draft['exclude'][number]>) =>
    set(
      'exclude',
      draft.exclude.map((one) => (one.key === key ? { ...one, ...part } : one)),
    );
  const services = counted.services.filter((one) => one.source === source);
  return (
    <Fieldset legend={t('quantities.rule.exclude')} variant="filled">
      <Stack gap="sm">
        {draft.exclude.map((one) => (
          <Group key={one.key} align="flex-end" gap="sm">
            <Select
              flex="1 1 9rem"
              label={t('quantities.rule.exclude.what')}
              allowDeselect={false}
              value={one.service}
              onChange={(value) => change(one.key, { service: value ?? COUNT })}
              data={[
                { value: COUNT, label: t('quantities.rule.exclude.count') },
                ...services.map((known) => ({ value: known.service, label: known.name })),
              ]}
            />
            {one.service === COUNT && (
              <DecimalInput
                flex="0 1 6rem"
                label={t('change.quantity')}
                value={one.quantity}
                setValue={(quantity) => change(one.key, { quantity })}
                required
                withAsterisk={false}
              />
            )}
            <TextInput
              flex="2 1 10rem"
              label={t('tasks.reason')}
              value={one.reason}
              onChange={(event) => change(one.key, { reason: event.currentTarget.value })}
              maxLength={200}
              required
              withAsterisk={false}
            />
            <Remove act={() => set('exclude', draft.exclude.filter((other) => other.key !== one.key))} />
          </Group>
        ))}
        <Add
          label={t('quantities.rule.exclude.add')}
          act={() => set('exclude', [...draft.exclude, row({ reason: '', quantity: '', service: COUNT })])}
        />
      </Stack>
    </Fieldset>
  );
}

export function Tiers({ draft, set }: Part) {
  const { t } = useWords();
  const change = (key: number, part: Partial<Draft['tiers'][number]>) =>
    set(
      'tiers',
      draft.tiers.map((one) => (one.key === key ? { ...one, ...part } : one)),
    );
  return (
    <Fieldset legend={t('quantities.rule.tiers')} variant="filled">
      <Stack gap="sm">
        {draft.tiers.map((one) => (
          <Group key={one.key} align="flex-end" gap="sm">
            <DecimalInput
              flex="1 1 8rem"
              label={t('quantities.rule.tiers.from')}
              value={one.from}
              setValue={(from) => change(one.key, { from })}
              required
              withAsterisk={false}
            />
            <DecimalInput
              flex="1 1 8rem"
              label={t('quantities.rule.tiers.bill')}
              value={one.bill}
              setValue={(bill) => change(one.key, { bill })}
              required
              withAsterisk={false}
            />
            <Remove act={() => set('tiers', draft.tiers.filter((other) => other.key !== one.key))} />
          </Group>
        ))}
        <Add label={t('quantities.rule.tiers.add')} act={() => set('tiers', [...draft.tiers, row({ from: '', bill: '' })])} />
      </Stack>
    </Fieldset>
  );
}

function Add({ label, act }: { label: string; act: () => void }) {
  return (
    <Group>
      <Button size="compact-sm" variant="default" leftSection={<IconPlus size={14} aria-hidden />} onClick={act}>
        {label}
      </Button>
    </Group>
  );
}

function Remove({ act }: { act: () => void }) {
  const { t } = useWords();
  return (
    <ActionIcon variant="subtle" color="gray" size="lg" aria-label={t('quantities.rule.remove')} onClick={act}>
      <IconTrash size={16} aria-hidden />
    </ActionIcon>
  );
}
