// Choosing one of very many records: the server searches, what is typed only asks.
import { Select, type SelectProps } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { useWords } from '../i18n';

export interface Choice {
  value: string;
  label: string;
}

export function Picker(props: {
  label: string;
  /** Names the list in the cache. */
  of: readonly unknown[];
  find: (search: string) => Promise<Choice[]>;
  value: Choice | null;
  choose: (choice: Choice | null) => void;
  description?: string;
  inputProps?: SelectProps;
}) {
  const { t } = useWords();
  const [search, setSearch] = useState('');
  const [wanted] = useDebouncedValue(search, 200);
  const asked = wanted === props.value?.label ? '' : wanted;
  const found = useQuery({ queryKey: ['pick', ...props.of, asked], queryFn: () => props.find(asked) });
  const choices = found.data ?? [];
  const known = props.value !== null && !choices.some((one) => one.value === props.value?.value);
  const data = known && props.value !== null ? [props.value, ...choices] : choices;
  return (
    <Select
      label={props.label}
      description={props.description}
      placeholder={t('pick.placeholder')}
      searchable
      clearable
      data={data}
      // What fits was decided by the server.
      filter={({ options }) => options}
      value={props.value?.value ?? null}
      onChange={(value) => props.choose(data.find((one) => one.value === value) ?? null)}
      searchValue={search}
      onSearchChange={setSearch}
      nothingFoundMessage={t(found.isPending ? 'app.loading' : 'pick.none')}
      maxDropdownHeight={260}
      comboboxProps={{ withinPortal: true }}
      {...props.inputProps}
    />
  );
}
