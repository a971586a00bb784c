// Where tickets go and as what: chosen together, since most of it belongs to the board.
import { Button, Group, Modal, Select, SimpleGrid, Stack, Text } from '@mantine/core';
import { useState, type SubmitEvent } from 'react';
import { useWords } from '../../i18n';
import { Waiting } from '../../ui/Page';
import { ProblemNote } from '../../ui/Problem';
import { setRule, useAlertWrite, usePlaces, type RuleValue, type Which } from './data';
import { choicesFor, TARGET, withChoice, type Chosen, type TargetField } from './places';
import { useAlertWords } from './words';

/** What a list calls "this organization says nothing". */
const INHERIT = 'inherit';
/** What a list calls "nothing is chosen": ConnectWise takes what it would take. */
const NOTHING = 'nothing';

export function TargetDialog(props: { opened: boolean; which: Which; values: RuleValue[]; close: () => void }) {
  const { t } = useWords();
  const words = useAlertWords();
  return (
    <Modal
      opened={props.opened}
      onClose={props.close}
      size="xl"
      title={t('alerts.target.title', { kind: words.kind(props.which.kind) })}
    >
      {props.opened && <Form {...props} />}
    </Modal>
  );
}

function Form({ which, values, close }: { which: Which; values: RuleValue[]; close: () => void }) {
  const { t } = useWords();
  const rowOf = (field: TargetField) => values.find((value) => value.key === field);
  const [before] = useState(() => {
    const own = (field: TargetField) => {
      const row = rowOf(field);
      return row?.own === true ? row.value : null;
    };
    return Object.fromEntries(TARGET.map((field) => [field, own(field)])) as Chosen;
  });
  const [chosen, setChosen] = useState(before);
  /** What counts: what is chosen here, else what is inherited as far as that is known. */
  const held = (field: TargetField): string => {
    const row = rowOf(field);
    return chosen[field] ?? (row === undefined || row.own ? '' : row.value);
  };
  const places = usePlaces(held('board'));
  const write = useAlertWrite(setRule, close);
  const changed = TARGET.filter((field) => chosen[field] !== before[field]);
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    write.mutate({ ...which, values: Object.fromEntries(changed.map((field) => [field, chosen[field]])) });
  };
  if (places.data === undefined) {
    return places.error === null ? (
      <Waiting rows={6} what={t('alerts.target.reading')} />
    ) : (
      <ProblemNote error={places.error} retry={() => void places.refetch()} />
    );
  }
  const read = places.data;
  return (
    <form onSubmit={submit}>
      <Stack>
        <Text size="sm">{t('alerts.target.lead')}</Text>
        <SimpleGrid cols={{ base: 1, sm: 2 }}>
          {TARGET.map((field) => (
            <Place
              key={field}
              field={field}
              row={rowOf(field)}
              value={chosen[field]}
              choices={choicesFor(field, read, held).map((one) => ({ value: String(one.id), label: one.name }))}
              choose={(value) => setChosen(withChoice(chosen, field, value, held))}
            />
          ))}
        </SimpleGrid>
        {read.members == null && (
          <Text size="sm" c="dimmed">
            {t('alerts.target.noMembers')}
          </Text>
        )}
        {places.error !== null && <ProblemNote error={places.error} />}
        {write.error !== null && <ProblemNote error={write.error} />}
        <Group justify="flex-end">
          <Button variant="default" onClick={close}>
            {t('action.cancel')}
          </Button>
          <Button type="submit" loading={write.isPending} disabled={changed.length === 0}>
            {t('action.save')}
          </Button>
        </Group>
      </Stack>
    </form>
  );
}

function Place(props: {
  field: TargetField;
  row: RuleValue | undefined;
  value: string | null;
  choices: { value: string; label: string }[];
  choose: (value: string | null) => void;
}) {
  const { t } = useWords();
  const words = useAlertWords();
  const { field, row, value, choices } = props;
  // What was chosen and is gone or inactive is still said by the name that it had.
  const gone = value !== null && value !== '' && !choices.some((one) => one.value === value);
  const inherited = row !== undefined && !row.own ? t('alerts.target.inherited', { value: words.value(row) }) : t('alerts.inherit');
  return (
    <Select
      label={words.label({ key: field })}
      allowDeselect={false}
      searchable
      maxDropdownHeight={320}
      data={[
        { value: INHERIT, label: inherited },
        { value: NOTHING, label: t('alerts.value.board') },
        ...(gone ? [{ value, label: row?.label ?? `#${value}` }] : []),
        ...choices,
      ]}
      value={value === null ? INHERIT : value === '' ? NOTHING : value}
      onChange={(next) => props.choose(next === INHERIT || next === null ? null : next === NOTHING ? '' : next)}
    />
  );
}
