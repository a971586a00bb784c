import { Alert, Box, Button, Center, Divider, PasswordInput, Stack, Text, TextInput, Title } from '@mantine/core';
import { useMutation } from '@tanstack/react-query';
import { useEffect, useRef, useState, type ReactNode, type SubmitEvent } from 'react';
import { answer, api, queries } from '../api/client';
import { useWords } from '../i18n';
import { useKnown } from '../session';
import { LanguageSwitch } from '../shell/Shell';
import { Waiting } from '../ui/Page';
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

const REFUSALS = ['failed', 'unknown', 'disabled', 'away'] as const;
const BACK = 'sign_in';

/** Why somebody came back from another service without a session. */
function refusal(): (typeof REFUSALS)[number] | undefined {
  const said = new URLSearchParams(window.location.search).get(BACK);
  return REFUSALS.find((one) => one === said);
}

/** Whoever opened a page without a session comes back to it. */
function wanted(): string {
  const { pathname, search } = window.location;
  return encodeURIComponent(refusal() === undefined ? pathname + search : '/');
}

export default function SignIn() {
  const { t } = useWords();
  const { begin, ended } = useKnown();
  const [email, setEmail] = useState('');
  const [password, setPassword] = useState('');
  const [refused, setRefused] = useState(refusal);
  // Where nobody tells the ways, the password is the one that is always there.
  const ways = queries.useQuery('get', '/api/v1/session/ways', {}, { retry: false });
  const sign = useMutation({
    mutationFn: (body: { email: string; password: string }) => answer(api.POST('/api/v1/session', { body })),
    onMutate: () => setRefused(undefined),
    onSuccess: begin,
  });
  const tried = useRef(false);
  const { mutate } = sign;
  useEffect(() => {
    const given = fromAddress();
    // Read again, the page would say once more what was read already.
    if (given !== null || refusal() !== undefined) window.history.replaceState(null, '', window.location.pathname);
    if (given === null || tried.current) return;
    tried.current = true;
    mutate(given);
  }, [mutate]);
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    mutate({ email, password });
  };
  const other = ways.data?.oidc;
  return (
    <Gate title={t('signIn.title')} lead={t('signIn.lead')}>
      <Stack>
        {ended && sign.error === null && (
          <Text size="sm" role="status">
            {t('signIn.ended')}
          </Text>
        )}
        {refused !== undefined && (
          <Alert
            color="red"
            variant="light"
            role="alert"
            title={t(`signIn.back.${refused}`)}
            styles={{ title: { color: 'var(--mantine-color-text)' } }}
          >
            {t(`signIn.back.${refused}.fix`)}
          </Alert>
        )}
        {sign.error !== null && <ProblemNote error={sign.error} />}
        {ways.isPending && <Waiting rows={3} />}
        {other != null && (
          <Button
            component="a"
            href={`${other.start}?back=${wanted()}`}
            variant={ways.data?.password === true ? 'default' : 'filled'}
            fullWidth
            styles={{
              root: { alignItems: 'center', display: 'flex', height: 'auto', justifyContent: 'center', minHeight: 36, paddingBlock: 6 },
              inner: { height: 'auto' },
              label: { height: 'auto', overflow: 'visible', textAlign: 'center', whiteSpace: 'normal' },
            }}
          >
            {t('signIn.by', { name: other.name })}
          </Button>
        )}
        {other != null && ways.data?.password === true && <Divider label={t('signIn.or')} />}
        {(ways.data?.password ?? !ways.isPending) && (
          <form onSubmit={submit}>
            <Stack>
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
        )}
      </Stack>
    </Gate>
  );
}
