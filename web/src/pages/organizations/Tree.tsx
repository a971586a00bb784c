// The organizations below each other; what is below one is folded away until it is wanted.
import { ActionIcon, Badge, Box, Group, Text, TextInput, UnstyledButton } from '@mantine/core';
import { IconChevronDown, IconChevronRight, IconSearch } from '@tabler/icons-react';
import { useState } from 'react';
import { useWords } from '../../i18n';
import { useWord } from '../../ui/Badges';
import { Empty } from '../../ui/Page';
import { lineage, type Forest, type Organization } from './data';

/** So many fit beside a page without a search. */
const FOUND = 50;
/** A small tree is shown whole. */
const SMALL = 30;

interface Part {
  forest: Forest;
  chosen: string;
  choose: (id: string) => void;
}

export function Tree(props: Part) {
  const { t } = useWords();
  const { forest, chosen } = props;
  const [search, setSearch] = useState('');
  const [open, setOpen] = useState<ReadonlySet<string>>(
    () =>
      new Set(
        forest.byId.size <= SMALL
          ? forest.below.keys()
          : [...lineage(forest, chosen).map((one) => one.id), ...(forest.tops.length === 1 ? [forest.tops[0]?.id ?? ''] : [])],
      ),
  );
  const toggle = (id: string) =>
    setOpen((now) => {
      const next = new Set(now);
      if (!next.delete(id)) next.add(id);
      return next;
    });
  const wanted = search.trim().toLocaleLowerCase();
  const found = [...forest.byId.values()].filter(
    (one) => one.name.toLocaleLowerCase().includes(wanted) || one.id.includes(wanted),
  );
  return (
    <Box component="section" className="panel" aria-label={t('organizations.tree')}>
      {forest.byId.size > 5 && (
        <Box p="sm" className="line">
          <TextInput
            aria-label={t('organizations.search')}
            placeholder={t('organizations.search')}
            leftSection={<IconSearch size={16} aria-hidden />}
            value={search}
            onChange={(event) => setSearch(event.currentTarget.value)}
          />
        </Box>
      )}
      <Box p="xs" style={{ maxHeight: '70vh', overflowY: 'auto' }}>
        {wanted === '' ? (
          <Branch {...props} level={forest.tops} open={open} toggle={toggle} />
        ) : found.length === 0 ? (
          <Empty title={t('organizations.none')} />
        ) : (
          <Box component="ul" className="tree">
            {found.slice(0, FOUND).map((one) => (
              <li key={one.id}>
                <Choose {...props} one={one} path={lineage(forest, one.id).map((above) => above.name).join(' › ')} />
              </li>
            ))}
          </Box>
        )}
      </Box>
      {(forest.cut || found.length > FOUND) && wanted !== '' && (
        <Text size="xs" c="dimmed" p="sm">
          {t('organizations.more')}
        </Text>
      )}
    </Box>
  );
}

function Branch(props: Part & { level: Organization[]; open: ReadonlySet<string>; toggle: (id: string) => void }) {
  const { t } = useWords();
  const { forest, level, open, toggle } = props;
  return (
    <Box component="ul" className="tree">
      {level.map((one) => {
        const below = forest.below.get(one.id) ?? [];
        const isOpen = open.has(one.id);
        return (
          <li key={one.id}>
            <Group gap={2} wrap="nowrap" align="center">
              {below.length > 0 ? (
                <ActionIcon
                  variant="subtle"
                  color="gray"
                  size="sm"
                  onClick={() => toggle(one.id)}
                  aria-expanded={isOpen}
                  aria-label={t(isOpen ? 'organizations.close' : 'organizations.open', { name: one.name })}
                >
                  {isOpen ? <IconChevronDown size={14} aria-hidden /> : <IconChevronRight size={14} aria-hidden />}
                </ActionIcon>
              ) : (
                <Box w={22} style={{ flexShrink: 0 }} />
              )}
              <Choose {...props} one={one} />
            </Group>
            {isOpen && below.length > 0 && <Branch {...props} level={below} />}
          </li>
        );
      })}
    </Box>
  );
}

function Choose({ one, chosen, choose, path }: Part & { one: Organization; path?: string }) {
  const say = useWord();
  const here = one.id === chosen;
  return (
    <UnstyledButton
      className="way"
      data-active={here || undefined}
      aria-current={here ? 'true' : undefined}
      onClick={() => choose(one.id)}
      px="xs"
      py={6}
      flex={1}
      miw={0}
      w={path === undefined ? undefined : '100%'}
    >
      <Group gap="xs" wrap="nowrap" justify="space-between">
        <Box miw={0}>
          <Text size="sm" truncate>
            {one.name}
          </Text>
          {path !== undefined && path !== '' && (
            <Text size="xs" c="dimmed" truncate>
              {path}
            </Text>
          )}
        </Box>
        <Badge className="badge" variant="light" color="gray" tt="none" fw={500} radius="sm" size="sm">
          {say('organizations.kind', one.kind)}
        </Badge>
      </Group>
    </UnstyledButton>
  );
}
