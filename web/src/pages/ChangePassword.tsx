import { Anchor, Button, PasswordInput, Stack } from '@mantine/core';
import { useMutation } from '@tanstack/react-query';
import { useState, type SubmitEvent } from 'react';
import { answer, api, problemOf } from '../api/client';
import { useWords } from '../i18n';
import { useKnown, useSession } from '../session';
import { ProblemNote } from '../ui/Problem';
import { Gate } from './SignIn';

const SHORTEST = 12;

export default function ChangePassword() {
  const { t } = useWords();
  const session = useSession();
  const { begin, signOut } = useKnown();
  const [current, setCurrent] = useState('');
  const [wanted, setWanted] = useState('');
  const [again, setAgain] = useState('');
  const [asked, setAsked] = useState(false);
  const change = useMutation({
    mutationFn: () => answer(api.PUT('/api/v1/session/password', { body: { current, new: wanted } })),
    onSuccess: begin,
  });
  const short = wanted.length < SHORTEST;
  const differ = wanted !== again;
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    setAsked(true);
    if (!short && !differ) change.mutate();
  };
  const faults = change.error === null ? [] : problemOf(change.error).fields;
  const fault = (field: string) => faults.find((one) => one.field === field)?.reason;
  const ofNew = asked && short ? t('password.short') : fault('new');
  return (
    <Gate title={t('password.title')} lead={t('password.lead')}>
      <form onSubmit={submit} noValidate>
        <Stack>
          {change.error !== null && faults.length === 0 && <ProblemNote error={change.error} />}
          <input type="hidden" name="username" autoComplete="username" value={session.actor} readOnly />
          <PasswordInput
            label={t('password.current')}
            autoComplete="current-password"
            name="current"
            value={current}
            onChange={(event) => setCurrent(event.currentTarget.value)}
            error={fault('current')}
            autoFocus
          />
          <PasswordInput
            label={t('password.new')}
            description={t('password.hint')}
            autoComplete="new-password"
            name="new"
            value={wanted}
            onChange={(event) => setWanted(event.currentTarget.value)}
            error={ofNew}
          />
          <PasswordInput
            label={t('password.repeat')}
            autoComplete="new-password"
            name="again"
            value={again}
            onChange={(event) => setAgain(event.currentTarget.value)}
            error={asked && !short && differ ? t('password.differ') : undefined}
          />
          <Button type="submit" loading={change.isPending} fullWidth mt="xs">
            {t('password.submit')}
          </Button>
          <Anchor component="button" type="button" size="sm" onClick={() => void signOut()}>
            {t('app.signOut')}
          </Anchor>
        </Stack>
      </form>
    </Gate>
  );
}
