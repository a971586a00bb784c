import { Anchor, Box, Code, Group, Stack, Text } from '@mantine/core';
import { useState } from 'react';
import type { Schemas } from '../api/client';
import { useFormats } from '../format';
import { useWords } from '../i18n';
import { SeverityBadge } from './Badges';
import { sentence } from './Problem';

type Finding = Schemas['FindingDoc'];

/** What was found: what it is, why, and what to do. */
export function FindingText({ finding }: { finding: Finding }) {
  const { t } = useWords();
  const { money } = useFormats();
  return (
    <Stack gap={4}>
      <Group gap="sm" justify="space-between" align="flex-start" wrap="nowrap">
        <Group gap="xs">
          <Text size="sm" fw={600}>
            {finding.title}
          </Text>
          <SeverityBadge severity={finding.severity} />
          <Code>{finding.code}</Code>
        </Group>
        {finding.amount != null && (
          <Text size="sm" fw={600} className="num">
            {money(finding.amount.amount, finding.amount.currency)}
          </Text>
        )}
      </Group>
      <Text size="sm">{sentence(finding.message)}</Text>
      <Text size="sm" c="dimmed">
        {t('problem.whatToDo')}: {finding.fix}
      </Text>
      {finding.their_words != null && (
        <Text size="sm" c="dimmed">
          {t('problem.theirs')}: <q>{finding.their_words}</q>
        </Text>
      )}
    </Stack>
  );
}

/** The first few; the others on demand, so that what follows stays in sight. */
const AT_ONCE = 3;

export function FindingList({ findings }: { findings: Finding[] }) {
  const { t } = useWords();
  const [all, setAll] = useState(false);
  const shown = all ? findings : findings.slice(0, AT_ONCE);
  return (
    <>
      {shown.map((finding, at) => (
        <Box key={`${finding.code} ${at}`} className="line" px="lg" py="sm">
          <FindingText finding={finding} />
        </Box>
      ))}
      {shown.length < findings.length && (
        <Box px="lg" py="xs">
          <Anchor component="button" type="button" size="sm" onClick={() => setAll(true)}>
            {t('action.all', { n: findings.length })}
          </Anchor>
        </Box>
      )}
    </>
  );
}
