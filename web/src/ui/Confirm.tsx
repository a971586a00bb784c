// Asking before something is taken away: what it touches stands in the question.
import { Button, Group, Modal, Stack } from '@mantine/core';
import type { ReactNode } from 'react';
import { useWords } from '../i18n';
import { ProblemNote } from './Problem';

export function Confirm(props: {
  opened: boolean;
  close: () => void;
  title: string;
  /** What the button says that goes ahead. */
  label: string;
  act: () => void;
  working: boolean;
  error: unknown;
  /** Whether it takes something away. */
  grave?: boolean;
  children: ReactNode;
}) {
  const { t } = useWords();
  return (
    <Modal opened={props.opened} onClose={props.close} title={props.title}>
      <Stack>
        {props.children}
        {props.error != null && <ProblemNote error={props.error} />}
        <Group justify="flex-end">
          <Button variant="default" onClick={props.close} data-autofocus>
            {t('action.cancel')}
          </Button>
          <Button {...(props.grave === false ? {} : { color: 'red' })} loading={props.working} onClick={props.act}>
            {props.label}
          </Button>
        </Group>
      </Stack>
    </Modal>
  );
}
