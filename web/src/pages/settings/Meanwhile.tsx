// Somebody else set a value while it was being changed: who, when, to what, and what to do now.
import { Alert, Button, Group, Stack, Text } from '@mantine/core';
import { IconUserExclamation } from '@tabler/icons-react';
import { useFormats } from '../../format';
import { useWords } from '../../i18n';
import { ProblemNote } from '../../ui/Problem';
import { useActor } from '../../ui/said';
import { ChangedMeanwhile } from './data';
import { useSettingWords, type Setting } from './words';

/** What kept a change from being saved. */
export function Unsaved(props: {
  error: unknown;
  /** What to do with the value that holds by now. */
  overrule: (now: Setting) => void;
  keep: () => void;
}) {
  const { t } = useWords();
  const { instant } = useFormats();
  const words = useSettingWords();
  const who = useActor();
  const { error } = props;
  if (error === null) return null;
  if (!(error instanceof ChangedMeanwhile)) return <ProblemNote error={error} />;
  const { now, by } = error;
  const value = words.value(now);
  return (
    <Alert
      color="yellow"
      variant="light"
      role="alert"
      icon={<IconUserExclamation aria-hidden />}
      title={t('settings.meanwhile')}
      styles={{ title: { color: 'var(--mantine-color-text)' } }}
    >
      <Stack gap="xs">
        <Text size="sm">
          {by === null
            ? t('settings.meanwhile.value', { value })
            : t('settings.meanwhile.by', { value, actor: who(by.actor), when: instant(by.at) })}
        </Text>
        <Group gap="sm">
          <Button size="xs" variant="default" onClick={props.keep}>
            {t('settings.meanwhile.keep')}
          </Button>
          <Button size="xs" variant="default" onClick={() => props.overrule(now)}>
            {t('settings.meanwhile.overrule')}
          </Button>
        </Group>
      </Stack>
    </Alert>
  );
}
