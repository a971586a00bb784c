// What is probably what, how sure that is and why; many are accepted at once.
import { Alert, Box, Button, Checkbox, Group, Stack, Text } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { answer, api, queries, type Schemas } from '../../api/client';
import { useFormats } from '../../format';
import { useWords } from '../../i18n';
import { useMay, useOrg } from '../../session';
import { withoutCommands } from '../../ui/plain';
import { ProblemNote, sentence } from '../../ui/Problem';
import type { Kind } from './data';

type Proposal = Schemas['Proposal'];

const BASE = '/api/v1/organizations/{org}';
/** As sure as that is chosen beforehand. */
const SURE = 80;

function keyOf(one: Proposal): string {
  return `${one.source_id} ${one.psa_id}`;
}

/** The surest proposal of each record: the list has the best of each first. */
function best(all: Proposal[], kind: Kind): Proposal[] {
  const seen = new Set<string>();
  return all.filter((one) => {
    if (one.kind !== kind || seen.has(one.source_id)) return false;
    seen.add(one.source_id);
    return true;
  });
}

export function Suggestions({ kind, source }: { kind: Kind; source: string }) {
  const { t, tn } = useWords();
  const { count } = useFormats();
  const org = useOrg();
  const client = useQueryClient();
  const mayMap = useMay('mappings.write');
  const [left, setLeft] = useState<Set<string>>(new Set());
  const [added, setAdded] = useState<Set<string>>(new Set());
  const [refused, setRefused] = useState<Schemas['RefusedMapping'][]>([]);
  const found = queries.useQuery('get', `${BASE}/mappings/suggestions`, {
    params: { path: { org }, query: { source } },
  });
  const accept = useMutation({
    mutationFn: (items: Proposal[]) => {
      const body = { source, items: items.map(({ source_id, psa_id }) => ({ kind, source_id, psa_id })) };
      return answer(api.POST(`${BASE}/mappings/suggestions/accept`, { params: { path: { org } }, body }));
    },
    onSuccess: (done) => {
      setRefused(done.refused);
      if (done.saved.length > 0) {
        const message = `${tn('mapping.accepted', done.saved.length)} ${tn('mapping.moved', done.tasks_moved)}`;
        notifications.show({ color: 'green', message });
      }
      void client.invalidateQueries();
    },
  });
  if (found.error !== null) {
    return <ProblemNote error={found.error} about={t('mapping.suggestions')} retry={() => void found.refetch()} />;
  }
  const rows = best(found.data?.items ?? [], kind);
  if (rows.length === 0 && refused.length === 0) return null;
  const isChosen = (one: Proposal) =>
    added.has(keyOf(one)) || (one.confidence >= SURE && one.taken_by.length === 0 && !left.has(keyOf(one)));
  const chosen = rows.filter(isChosen);
  const toggle = (one: Proposal, on: boolean) => {
    const change = (set: Set<string>, add: boolean) => {
      const next = new Set(set);
      if (add) next.add(keyOf(one));
      else next.delete(keyOf(one));
      return next;
    };
    setAdded(change(added, on));
    setLeft(change(left, !on));
  };
  return (
    <Box component="section" className="panel" aria-label={t('mapping.suggestions')}>
      <Group justify="space-between" px="lg" py="md" className="line">
        <Box>
          <Text component="h2" fw={600} m={0}>
            {t('mapping.suggestions')}
          </Text>
          <Text size="sm" c="dimmed">
            {t('mapping.suggestions.lead')}
          </Text>
        </Box>
        {mayMap && rows.length > 0 && (
          <Button
            loading={accept.isPending}
            disabled={chosen.length === 0}
            onClick={() => accept.mutate(chosen)}
          >
            {tn('mapping.accept', chosen.length)}
          </Button>
        )}
      </Group>
      {accept.error !== null && (
        <Box p="md">
          <ProblemNote error={accept.error} />
        </Box>
      )}
      {refused.map((one) => (
        <Alert key={`${one.source_id} ${one.reason}`} color="yellow" variant="light" radius={0}>
          {one.source_id}: {sentence(one.reason)} {withoutCommands(one.fix)}
        </Alert>
      ))}
      {rows.map((one) => (
        <Group key={keyOf(one)} className="line" px="lg" py="sm" gap="md" wrap="nowrap" align="flex-start">
          {mayMap && (
            <Checkbox
              mt={2}
              checked={isChosen(one)}
              onChange={(event) => toggle(one, event.currentTarget.checked)}
              aria-label={t('mapping.suggestion.of', { name: one.source_name, target: one.psa_name })}
            />
          )}
          <Stack gap={2} flex={1} miw={0}>
            <Text size="sm">
              <b>{one.source_name}</b> {t('mapping.is')} <b>{one.psa_name}</b>
            </Text>
            <Text size="xs" c="dimmed">
              {one.reasons.map((reason) => sentence(reason.words)).join(' ')}
            </Text>
            {one.taken_by.length > 0 && (
              <Text size="xs" className="loss">
                {t('mapping.taken', { by: one.taken_by.join(', ') })}
              </Text>
            )}
          </Stack>
          <Text size="sm" className="num" title={t('mapping.confidence')}>
            {count(one.confidence)} %
          </Text>
        </Group>
      ))}
    </Box>
  );
}
