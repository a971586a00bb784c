// Setting a line by hand: only what may be set, beside what was computed.
import { Button, Group, Modal, Select, SimpleGrid, Stack, Text, Textarea, TextInput } from '@mantine/core';
import { useState, type SubmitEvent } from 'react';
import { problemOf } from '../../api/client';
import { useWords } from '../../i18n';
import type { Change } from '../../ui/Changes';
import { DecimalInput } from '../../ui/DecimalInput';
import { ProblemNote } from '../../ui/Problem';
import { editable, editKey, type Edit } from './data';

/** Names of the request, and of the field of a change that each one sets. */
const SETS = {
  quantity: 'quantity',
  unit_price: 'unitPrice',
  unit_cost: 'unitCost',
  effective: 'effectiveDate',
  cancelled: 'cancelledDate',
  description: 'description',
  invoice_description: 'invoiceDescription',
  bill: 'billCustomer',
  taxable: 'taxableFlag',
} as const;
type Name = keyof typeof SETS;
const BILL = ['billable', 'do_not_bill', 'no_charge'] as const;

export function EditDialog(props: {
  change: Change;
  name: string;
  close: () => void;
  save: (edit: Edit) => void;
  working: boolean;
  error: unknown;
}) {
  const { t } = useWords();
  const { change } = props;
  const key = editKey(change);
  const fields = editable(change);
  const now = (name: Name) => change.fields[SETS[name]]?.to ?? '';
  const [values, setValues] = useState<Partial<Record<Name, string>>>({});
  const faults = props.error == null ? [] : problemOf(props.error).fields;
  const fault = (name: Name) => faults.find((one) => one.field === `edits.${key}.${name}`)?.reason;
  const others = props.error != null && !fields.some((name) => fault(name) !== undefined);
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    const edit: Edit = { key };
    for (const name of fields) {
      const value = values[name];
      if (value === undefined || value === now(name)) continue;
      if (name === 'taxable') edit.taxable = value === 'true';
      else edit[name] = value.trim();
    }
    props.save(edit);
  };
  const field = (name: Name) => {
    const common = { key: name, label: t(`sync.field.${name}`), error: fault(name), value: values[name] ?? now(name) };
    const set = (value: string) => setValues({ ...values, [name]: value });
    if (name === 'bill') {
      return (
        <Select
          {...common}
          key={name}
          allowDeselect={false}
          onChange={(value) => set(value ?? 'billable')}
          data={BILL.map((value) => ({ value, label: t(`sync.bill.${value}`) }))}
        />
      );
    }
    if (name === 'taxable') {
      return (
        <Select
          {...common}
          key={name}
          allowDeselect={false}
          onChange={(value) => set(value ?? 'true')}
          data={[
            { value: 'true', label: t('sync.tax.yes') },
            { value: 'false', label: t('sync.tax.no') },
          ]}
        />
      );
    }
    if (name !== 'effective' && name !== 'cancelled') {
      return <DecimalInput {...common} key={name} setValue={set} />;
    }
    return (
      <TextInput
        {...common}
        key={name}
        type="date"
        description={name === 'cancelled' ? t('sync.edit.cancelled.hint') : undefined}
        onChange={(event) => set(event.currentTarget.value)}
      />
    );
  };
  const isText = (name: Name) => name === 'description' || name === 'invoice_description';
  return (
    <Modal opened onClose={props.close} title={t('sync.edit.of', { name: props.name })} size="lg">
      <form onSubmit={submit}>
        <Stack>
          <Text size="sm">{t('sync.edit.lead')}</Text>
          <SimpleGrid cols={{ base: 1, xs: 2 }}>{fields.filter((name) => !isText(name)).map(field)}</SimpleGrid>
          {fields.filter(isText).map((name) => (
            <Textarea
              key={name}
              label={t(`sync.field.${name}`)}
              error={fault(name)}
              value={values[name] ?? now(name)}
              onChange={(event) => setValues({ ...values, [name]: event.currentTarget.value })}
              autosize
            />
          ))}
          {others && <ProblemNote error={props.error} />}
          <Group justify="space-between">
            {change.edited != null ? (
              <Button
                variant="subtle"
                px={0}
                disabled={props.working}
                onClick={() => props.save({ key, as_proposed: true })}
              >
                {t('sync.edit.reset')}
              </Button>
            ) : (
              <span />
            )}
            <Group>
              <Button variant="default" onClick={props.close}>
                {t('action.cancel')}
              </Button>
              <Button type="submit" loading={props.working}>
                {t('sync.edit.save')}
              </Button>
            </Group>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
