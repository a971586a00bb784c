import { Box, Group, Skeleton, Stack, Text, Title, VisuallyHidden } from '@mantine/core';
import { useDocumentTitle } from '@mantine/hooks';
import type { ReactNode } from 'react';
import { useWords } from '../i18n';

/** A page: one heading, its actions, its content. */
export function Page(props: {
  title: string;
  lead?: ReactNode;
  actions?: ReactNode;
  children: ReactNode;
}) {
  const { t } = useWords();
  useDocumentTitle(`${props.title} · ${t('app.name')}`);
  return (
    <Stack gap="lg">
      <Group justify="space-between" align="flex-start" gap="sm">
        <Box flex="1 1 16rem">
          <Title order={1}>{props.title}</Title>
          {props.lead !== undefined && (
            <Text c="dimmed" size="sm" mt={4} maw="44rem" component="div">
              {props.lead}
            </Text>
          )}
        </Box>
        {props.actions !== undefined && <Group gap="sm">{props.actions}</Group>}
      </Group>
      {props.children}
    </Stack>
  );
}

/** A part of a page, with a heading of its own. */
export function Panel(props: { title?: string; aside?: ReactNode; children: ReactNode; flush?: boolean }) {
  return (
    <Box component="section" className="panel">
      {props.title !== undefined && (
        <Group justify="space-between" px="lg" pt="md" pb={props.flush ? 'xs' : 0}>
          <Title order={2}>{props.title}</Title>
          {props.aside}
        </Group>
      )}
      <Box p={props.flush ? 0 : 'lg'} pt={props.title !== undefined && !props.flush ? 'sm' : undefined}>
        {props.children}
      </Box>
    </Box>
  );
}

/** Holds the place of what is being read, so that nothing jumps, and says what it is. */
export function Waiting({ rows = 4, what }: { rows?: number; what?: string }) {
  const { t } = useWords();
  return (
    <Stack gap="sm" p="md" aria-busy="true">
      <VisuallyHidden role="status">{what ?? t('app.loading')}</VisuallyHidden>
      {Array.from({ length: rows }, (_, at) => (
        <Skeleton key={at} height={18} width={`${88 - ((at * 17) % 40)}%`} radius="sm" />
      ))}
      <Text size="xs" c="dimmed" className="late" aria-hidden>
        {what ?? t('app.loading')}
      </Text>
    </Stack>
  );
}

/** Nothing to show, why, and what to do about it. */
export function Empty(props: { title: string; detail?: string; action?: ReactNode; icon?: ReactNode }) {
  return (
    <Stack align="center" gap={6} py="xl" px="md" ta="center">
      {props.icon}
      <Text fw={500}>{props.title}</Text>
      {props.detail !== undefined && (
        <Text size="sm" c="dimmed" maw="30rem">
          {props.detail}
        </Text>
      )}
      {props.action !== undefined && <Box mt="xs">{props.action}</Box>}
    </Stack>
  );
}
