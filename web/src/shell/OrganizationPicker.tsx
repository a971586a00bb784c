import { Combobox, Group, Text, UnstyledButton, useCombobox } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { IconSelector } from '@tabler/icons-react';
import { useState } from 'react';
import { useNavigate } from 'react-router';
import { queries } from '../api/client';
import { useWords } from '../i18n';
import { useOrg } from '../session';

/** Which organization the pages are about; a person of a single one only reads its name. */
export function OrganizationPicker() {
  const { t } = useWords();
  const org = useOrg();
  const navigate = useNavigate();
  const [search, setSearch] = useState('');
  const [wanted] = useDebouncedValue(search, 200);
  const combobox = useCombobox({
    onDropdownClose: () => {
      combobox.resetSelectedOption();
      setSearch('');
    },
    onDropdownOpen: () => combobox.focusSearchInput(),
  });
  const path = '/api/v1/organizations';
  const own = queries.useQuery('get', `${path}/{org}`, { params: { path: { org } } });
  const found = queries.useQuery('get', path, {
    params: { query: { limit: 50, ...(wanted === '' ? {} : { search: wanted }) } },
  });
  const all = found.data?.items ?? [];
  const name = own.data?.name ?? org;
  if (wanted === '' && search === '' && all.length < 2) {
    return (
      <Text size="sm" truncate c="dimmed">
        {name}
      </Text>
    );
  }
  return (
    <Combobox
      store={combobox}
      width={280}
      position="bottom-start"
      onOptionSubmit={(id) => {
        combobox.closeDropdown();
        void navigate(`/o/${id}`);
      }}
    >
      <Combobox.Target targetType="button">
        <UnstyledButton
          onClick={() => combobox.toggleDropdown()}
          px="xs"
          py={4}
          aria-label={`${t('app.organization')}: ${name}`}
          style={{ minWidth: 0 }}
        >
          <Group gap={4} wrap="nowrap">
            <Text size="sm" truncate>
              {name}
            </Text>
            <IconSelector size={16} aria-hidden style={{ flexShrink: 0 }} />
          </Group>
        </UnstyledButton>
      </Combobox.Target>
      <Combobox.Dropdown>
        <Combobox.Search
          value={search}
          onChange={(event) => setSearch(event.currentTarget.value)}
          placeholder={t('app.organization.search')}
          aria-label={t('app.organization.search')}
        />
        <Combobox.Options mah={320} style={{ overflowY: 'auto' }} aria-label={t('app.organization')}>
          {all.map((one) => (
            <Combobox.Option key={one.id} value={one.id} active={one.id === org}>
              <Text size="sm" fw={one.id === org ? 600 : 400}>
                {one.name}
              </Text>
              <Text size="xs" c="dimmed">
                {one.id}
              </Text>
            </Combobox.Option>
          ))}
          {all.length === 0 && <Combobox.Empty>{t('app.organization.none')}</Combobox.Empty>}
        </Combobox.Options>
      </Combobox.Dropdown>
    </Combobox>
  );
}
