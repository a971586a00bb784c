// Taking back what was written begins with a plan: it shows what would be restored, and nothing is written by making it.
import { Alert, Button, Checkbox, Group, Modal, Stack, Text, type ButtonProps } from '@mantine/core';
import { useMutation } from '@tanstack/react-query';
import { useState } from 'react';
import { useNavigate } from 'react-router';
import { answer, api, type Schemas } from '../api/client';
import { useWords } from '../i18n';
import { useMay, useOrg } from '../session';
import { ProblemNote } from './Problem';

export function TakeBack(props: {
  wish: Schemas['UndoWish'];
  label?: string;
  /** Names it where several of them are on a page. */
  of?: string;
  button?: ButtonProps;
}) {
  const { t } = useWords();
  const org = useOrg();
  const navigate = useNavigate();
  const mayPlan = useMay('plans.write');
  const [asking, setAsking] = useState(false);
  const [credit, setCredit] = useState(true);
  const undo = useMutation({
    mutationFn: () =>
      answer(
        api.POST('/api/v1/organizations/{org}/undo', { params: { path: { org } }, body: { ...props.wish, credit } }),
      ),
    onSuccess: (made) => {
      setAsking(false);
      void navigate(`/o/${org}/plans/${encodeURIComponent(made.plan_id)}`);
    },
  });
  if (!mayPlan) return null;
  const close = () => {
    setAsking(false);
    setCredit(true);
    undo.reset();
  };
  const label = props.label ?? t('plan.undo');
  return (
    <>
      <Button
        variant="default"
        onClick={() => setAsking(true)}
        {...(props.of === undefined ? {} : { 'aria-label': `${label}: ${props.of}` })}
        {...props.button}
      >
        {label}
      </Button>
      <Modal opened={asking} onClose={close} title={t('plan.undo.title')}>
        <Stack>
          {props.of !== undefined && (
            <Text size="sm" fw={500}>
              {props.of}
            </Text>
          )}
          <Alert variant="light" color="cyan">
            {t('plan.undo.lead')}
          </Alert>
          <Checkbox
            label={t('plan.undo.credit')}
            description={t('plan.undo.credit.hint')}
            checked={credit}
            onChange={(event) => setCredit(event.currentTarget.checked)}
          />
          {undo.error !== null && <ProblemNote error={undo.error} />}
          <Group justify="flex-end">
            <Button variant="default" onClick={close}>
              {t('action.cancel')}
            </Button>
            <Button loading={undo.isPending} onClick={() => undo.mutate()} data-autofocus>
              {t('plan.undo.do')}
            </Button>
          </Group>
        </Stack>
      </Modal>
    </>
  );
}
