// Taking a text along: to the clipboard, also where the page has no secure address and browsers keep theirs to themselves.
import { Alert, Button, Code, Group, Stack, Text, type ButtonProps } from '@mantine/core';
import { IconCheck, IconCopy, IconKey } from '@tabler/icons-react';
import { useState } from 'react';
import { useWords } from '../i18n';

/** Whether it is in the clipboard now. */
export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement('textarea');
    area.value = text;
    // A dialog keeps the focus within itself.
    const within = document.activeElement?.closest('[role=dialog]') ?? document.body;
    within.append(area);
    area.select();
    // eslint-disable-next-line @typescript-eslint/no-deprecated -- the only way over plain HTTP
    const done = document.execCommand('copy');
    area.remove();
    return done;
  }
}

export function CopyButton({ text, label, ...rest }: { text: string; label: string } & ButtonProps) {
  const { t } = useWords();
  const [state, setState] = useState<'idle' | 'done' | 'failed'>('idle');
  const tell = (next: 'done' | 'failed') => {
    setState(next);
    setTimeout(() => setState('idle'), 2_500);
  };
  return (
    <>
      <Button
        size="xs"
        variant="default"
        leftSection={state === 'done' ? <IconCheck size={16} aria-hidden /> : <IconCopy size={16} aria-hidden />}
        {...rest}
        onClick={() => void copyText(text).then((done) => tell(done ? 'done' : 'failed'))}
      >
        {label}
      </Button>
      <span role="status" className="hidden">
        {state === 'done' && t('copy.done')}
        {state === 'failed' && t('copy.failed')}
      </span>
    </>
  );
}

/** What is shown this once: it is kept nowhere in readable form. */
export function ShownOnce({ title, value, note }: { title: string; value: string; note: string }) {
  const { t } = useWords();
  return (
    <Alert
      color="yellow"
      variant="light"
      icon={<IconKey aria-hidden />}
      title={title}
      styles={{ title: { color: 'var(--mantine-color-text)' } }}
    >
      <Stack gap="xs">
        <Group gap="sm">
          <Code fz="sm" style={{ overflowWrap: 'anywhere' }} data-once>
            {value}
          </Code>
          <CopyButton text={value} label={t('copy.copy')} />
        </Group>
        <Text size="sm">{note}</Text>
      </Stack>
    </Alert>
  );
}
