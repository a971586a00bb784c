import { Alert, Button, Code, Group, Stack, Text } from '@mantine/core';
import { IconAlertTriangle } from '@tabler/icons-react';
import { ownKind, problemOf } from '../api/client';
import { useWords } from '../i18n';
import { useWord } from './Badges';
import { OWN_WAY, withoutCommands } from './plain';
import { useRefusal } from './refusals';
import { useSaid } from './said';

export { sentence } from './text';

/** What went wrong, why, and what to do: in the words of the API, with a way to try again. */
export function ProblemNote({ error, retry, about }: { error: unknown; retry?: () => void; about?: string }) {
  const { t, language } = useWords();
  const say = useWord();
  const refusal = useRefusal();
  const { said } = useSaid();
  const problem = problemOf(error);
  const foreign = ownKind(problem);
  // The API speaks English; what has a code is said in the reader's language.
  const coded = language !== 'en' && problem.code != null;
  const kind = problem.type.slice(problem.type.lastIndexOf(':') + 1);
  const named = (family: string) => {
    const text = say(family, kind);
    return text === kind ? '' : text;
  };
  const title = coded ? say('code', problem.code ?? '') : language === 'en' ? problem.title : named('problem.kind') || problem.title;
  // A refused field is told below, in the reader's language.
  const repeats = problem.fields.some((one) => problem.detail === `\`${one.field}\`: ${one.reason}`);
  const plain = coded || OWN_WAY.has(problem.code ?? '') ? '' : withoutCommands(problem.fix);
  const own = problem.code != null ? say('fix', problem.code) : named('problem.fix') || t('problem.fix.other');
  return (
    <Alert
      color="red"
      variant="light"
      role="alert"
      icon={<IconAlertTriangle aria-hidden />}
      title={[about, foreign === null ? title : t(`problem.${foreign}`, { status: problem.status })].filter((one) => one !== undefined).join(': ')}
      styles={{ title: { color: 'var(--mantine-color-text)' } }}
    >
      <Stack gap="xs">
        {!repeats && (
          <Text size="sm" lang={foreign === null ? 'en' : undefined}>
            {foreign === null ? said(withoutCommands(problem.detail) || title) : t(`problem.${foreign}.detail`, { status: problem.status })}
          </Text>
        )}
        {problem.fields.length > 0 && (
          <ul style={{ margin: 0, paddingInlineStart: '1.2rem' }}>
            {problem.fields.map((fault) => (
              <li key={`${fault.field} ${fault.reason}`}>
                <b>{refusal.field(fault.field)}</b>: {refusal.reason(fault.reason)}
              </li>
            ))}
          </ul>
        )}
        <Text size="sm" lang={foreign !== null || plain === '' ? undefined : 'en'}>
          {foreign !== null ? t(`problem.${foreign}.fix`) : plain === '' ? own : plain}
        </Text>
        {problem.their_words != null && (
          <Text size="sm">
            {t('problem.theirs')}: <q>{problem.their_words}</q>
          </Text>
        )}
        <Group gap="sm">
          {retry !== undefined && (
            <Button size="xs" variant="default" onClick={retry}>
              {t('action.retry')}
            </Button>
          )}
          {problem.code != null && <Code>{problem.code}</Code>}
          {foreign === 'page' && <Code lang="en">{problem.detail}</Code>}
        </Group>
      </Stack>
    </Alert>
  );
}
