// How levels become the quantity of a catalog item: only what is filled in is done.
import { Button, Checkbox, Fieldset, Group, Modal, Select, SimpleGrid, Stack, Text } from '@mantine/core';
import { useState, type SubmitEvent } from 'react';
import { useWords } from '../../i18n';
import { useOrg } from '../../session';
import { DecimalInput } from '../../ui/DecimalInput';
import { ProblemNote } from '../../ui/Problem';
import { PLAIN, setRule, unset, useQuantityWrite, type Counted, type Service } from './data';
import { draftOf, ruleOf, ruleOfDraft, type Draft } from './rule';
import { Exclusions, Tiers } from './RuleParts';

const UNITS = ['GB', 'GiB', 'TB', 'TiB'] as const;

export function RuleDialog(props: { service: Service | null; counted: Counted; close: () => void }) {
  const { t } = useWords();
  const { service, counted } = props;
  const item = service?.identifier ?? null;
  const name = service?.catalog_item_id == null ? item : counted.names.item(service.catalog_item_id, item);
  return (
    <Modal
      opened={item !== null}
      onClose={props.close}
      size="lg"
      title={name === null ? '' : t('quantities.rule.title', { name })}
    >
      {service !== null && item !== null && <Form {...props} service={service} item={item} />}
    </Modal>
  );
}

function Form(props: { service: Service; item: string; counted: Counted; close: () => void }) {
  const { t } = useWords();
  const org = useOrg();
  const { service, counted, item } = props;
  const holds = ruleOf(counted, service);
  const [draft, setDraft] = useState(() => draftOf(holds?.rule ?? PLAIN));
  const set = <K extends keyof Draft>(name: K, value: Draft[K]) => setDraft((now) => ({ ...now, [name]: value }));
  const write = useQuantityWrite(setRule, props.close);
  const reset = useQuantityWrite(unset, props.close);
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    write.mutate({ source: service.source, product: item, rule: ruleOfDraft(draft) as unknown as Record<string, never> });
  };
  const bytes = counted.services.some((one) => one.identifier === item && one.unit?.startsWith('byte') === true);
  const error = write.error ?? reset.error;
  return (
    <form onSubmit={submit}>
      <Stack>
        <Text size="sm">{t('quantities.rule.lead')}</Text>
        <Checkbox
          label={t('quantities.rule.add_up')}
          description={t('quantities.rule.add_up.help')}
          checked={draft.add_up}
          onChange={(event) => set('add_up', event.currentTarget.checked)}
        />
        {draft.add_up && (
          <Select
            label={t('quantities.rule.combine')}
            allowDeselect={false}
            value={draft.combine}
            onChange={(value) => set('combine', (value ?? 'sum'))}
            data={(['sum', 'smallest', 'largest'] as const).map((value) => ({
              value,
              label: t(`quantities.rule.combine.${value}`),
            }))}
          />
        )}
        {(bytes || draft.unit !== '') && (
          <Select
            label={t('quantities.rule.unit')}
            allowDeselect={false}
            value={draft.unit}
            onChange={(value) => set('unit', value ?? '')}
            data={[
              { value: '', label: t('quantities.rule.unit.none') },
              ...UNITS.map((value) => ({ value, label: t(`quantities.rule.unit.${value}`) })),
            ]}
          />
        )}
        <Exclusions draft={draft} set={set} counted={counted} source={service.source} />
        <SimpleGrid cols={{ base: 1, xs: 3 }}>
          {(['included', 'minimum', 'maximum'] as const).map((name) => (
            <DecimalInput
              key={name}
              label={t(`quantities.rule.${name}`)}
              value={draft[name]}
              setValue={(value) => set(name, value)}
            />
          ))}
        </SimpleGrid>
        <SimpleGrid cols={{ base: 1, xs: 2 }}>
          <Select
            label={t('quantities.rule.rounding')}
            allowDeselect={false}
            value={draft.rounding}
            onChange={(value) => set('rounding', (value ?? 'auto'))}
            data={(['auto', 'up', 'down', 'nearest'] as const).map((value) => ({
              value,
              label: t(`quantities.rule.rounding.${value}`),
            }))}
          />
          <DecimalInput
            label={t('quantities.rule.decimals')}
            whole
            value={draft.decimals}
            setValue={(value) => set('decimals', value)}
          />
          <DecimalInput
            label={t('quantities.rule.pack')}
            value={draft.pack}
            setValue={(value) => set('pack', value)}
          />
          {draft.pack !== '' && (
            <Select
              label={t('quantities.rule.pack.bill')}
              allowDeselect={false}
              value={draft.packBills}
              onChange={(value) => set('packBills', value === 'units' ? 'units' : 'packs')}
              data={(['packs', 'units'] as const).map((value) => ({
                value,
                label: t(`quantities.rule.pack.${value}`),
              }))}
            />
          )}
        </SimpleGrid>
        <Tiers draft={draft} set={set} />
        <Fieldset legend={t('quantities.rule.ratio')} variant="filled">
          <SimpleGrid cols={{ base: 1, xs: 2 }}>
            <DecimalInput
              label={t('quantities.rule.ratio.of')}
              value={draft.of}
              setValue={(value) => set('of', value)}
            />
            <DecimalInput
              label={t('quantities.rule.ratio.per')}
              value={draft.per}
              setValue={(value) => set('per', value)}
            />
          </SimpleGrid>
        </Fieldset>
        {error !== null && <ProblemNote error={error} />}
        <Group justify="space-between">
          {holds !== undefined && holds.from === org ? (
            <Button
              variant="subtle"
              px={0}
              loading={reset.isPending}
              onClick={() => reset.mutate({ source: service.source, kind: 'product', id: item, customer: null })}
            >
              {t('quantities.reset')}
            </Button>
          ) : (
            <span />
          )}
          <Group>
            <Button variant="default" onClick={props.close}>
              {t('action.cancel')}
            </Button>
            <Button type="submit" loading={write.isPending}>
              {t('action.save')}
            </Button>
          </Group>
        </Group>
      </Stack>
    </form>
  );
}
