import { Box, Button, Center, PasswordInput, Stack, Text, TextInput, Title } from '@mantine/core';
import { useMutation } from '@tanstack/react-query';
import { useEffect, useRef, useState, type ReactNode, type SubmitEvent } from 'react';
import { answer, api } from '../api/client';
import { useWords } from '../i18n';
import { useKnown } from '../session';
import { LanguageSwitch } from '../shell/Shell';
import { ProblemNote } from '../ui/Problem';

/** A quiet page with one thing to do. */
export function Gate({ title, lead, children }: { title: string; lead: string; children: ReactNode }) {
  return (
    <Center mih="100vh" p="md" component="main">
      <Stack w="100%" maw={380} gap="lg">
        <Stack gap={6} align="center">
          <img src="/icon.svg" alt="" width={44} height={44} />
          <Title order={1}>{title}</Title>
          <Text c="dimmed" size="sm" ta="center">
            {lead}
          </Text>
        </Stack>
        <Box className="panel" p="lg">
          {children}
        </Box>
        <LanguageSwitch />
      </Stack>
    </Center>
  );
}

/** On this machine alone an address may carry what to sign in with: the demonstration prints such a one. */
function fromAddress(): { email: string; password: string } | null {
  const local = ['127.0.0.1', 'localhost', '[::1]'].includes(window.location.hostname);
  const given = new URLSearchParams(window.location.hash.slice(1));
  const [email, password] = [given.get('email'), given.get('password')];
  return local && email !== null && password !== null ? { email, password } : null;
}

export default function SignIn() {
  const { t } = useWords();
  const { begin, ended } = useKnown();
  const [email, setEmail] = useState('');
  const [password, setPassword] = useState('');
  const sign = useMutation({
    mutationFn: (body: { email: string; password: string }) => answer(api.POST('/api/v1/session', { body })),
    onSuccess: begin,
  });
  const tried = useRef(false);
  const { mutate } = sign;
  useEffect(() => {
    const given = fromAddress();
    if (given === null || tried.current) return;
    tried.current = true;
    window.history.replaceState(null, '', window.location.pathname);
    mutate(given);
  }, [mutate]);
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    mutate({ email, password });
  };
  return (
    <Gate title={t('signIn.title')} lead={t('signIn.lead')}>
      <form onSubmit={submit}>
        <Stack>
          {ended && sign.error === null && (
            <Text size="sm" role="status">
              {t('signIn.ended')}
            </Text>
          )}
          {sign.error !== null && <ProblemNote error={sign.error} />}
          <TextInput
            label={t('signIn.email')}
            type="email"
            name="email"
            autoComplete="username"
            value={email}
            onChange={(event) => setEmail(event.currentTarget.value)}
            required
            withAsterisk={false}
            autoFocus
          />
          <PasswordInput
            label={t('signIn.password')}
            name="password"
            autoComplete="current-password"
            value={password}
            onChange={(event) => setPassword(event.currentTarget.value)}
            required
            withAsterisk={false}
          />
          <Button type="submit" loading={sign.isPending} fullWidth mt="xs">
            {t('signIn.submit')}
          </Button>
        </Stack>
      </form>
    </Gate>
  );
}
