// The pages behind sign-in, and what stands before it.
import { Anchor, Center, Loader, localStorageColorSchemeManager, MantineProvider, mergeThemeOverrides, Stack, Text } from '@mantine/core';
import { Notifications } from '@mantine/notifications';
import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { lazy, Suspense, useEffect, useMemo, type ReactNode } from 'react';
import { BrowserRouter, Link, Navigate, Route, Routes, useParams } from 'react-router';
import { problemOf, queries } from './api/client';
import { LanguageProvider, useWords } from './i18n';
import { OrganizationProvider, SessionProvider, useKnown, useSession } from './session';
import { Boundary } from './shell/Boundary';
import { PLACES } from './shell/routes';
import { Brand, Shell } from './shell/Shell';
import { Page } from './ui/Page';
import { ProblemNote } from './ui/Problem';
import { theme, variables } from './theme';

const SignIn = lazy(() => import('./pages/SignIn'));
const ChangePassword = lazy(() => import('./pages/ChangePassword'));

const LAST = 'trueup-organization';
const schemes = localStorageColorSchemeManager({ key: 'trueup-color-scheme' });

const client = new QueryClient({
  defaultOptions: {
    queries: {
      // Without a network a question is asked all the same, and fails: the reader sees at once how it stands.
      networkMode: 'always',
      refetchOnReconnect: true,
      staleTime: 10_000,
      // A refusal stays a refusal; only what did not arrive is asked for again.
      retry: (failures, error) => failures < 2 && problemOf(error).status >= 500,
    },
    // What could not be sent has failed. Kept for later it would be written when the network is back, though its dialog was
    // cancelled or its page left long ago.
    mutations: { networkMode: 'always' },
  },
});

export function App() {
  return (
    <LanguageProvider>
      <Painted>
        <QueryClientProvider client={client}>
          <Notifications position="bottom-right" />
          <SessionProvider>
            <BrowserRouter>
              <Boundary>
                <Suspense fallback={<Starting />}>
                  <Entrance />
                </Suspense>
              </Boundary>
            </BrowserRouter>
          </SessionProvider>
        </QueryClientProvider>
      </Painted>
    </LanguageProvider>
  );
}

/** The components with the names that they have for screen readers, in the reader's language. */
function Painted({ children }: { children: ReactNode }) {
  const { t } = useWords();
  const named = useMemo(() => {
    const close = { closeButtonProps: { 'aria-label': t('action.close') } };
    const toggle = { visibilityToggleButtonProps: { 'aria-label': t('app.showPassword') } };
    return mergeThemeOverrides(theme, {
      components: {
        Notification: { defaultProps: close },
        Modal: { defaultProps: { ...close, centered: true } },
        PasswordInput: { defaultProps: toggle },
      },
    });
  }, [t]);
  return (
    <MantineProvider
      theme={named}
      cssVariablesResolver={variables}
      colorSchemeManager={schemes}
      defaultColorScheme="auto"
    >
      {children}
    </MantineProvider>
  );
}

function Starting() {
  const { t } = useWords();
  return (
    <Center mih="100vh" role="status">
      <Stack align="center" gap="xs" className="late">
        <Loader size="sm" aria-hidden />
        <Text size="sm" c="dimmed">
          {t('app.loading')}
        </Text>
      </Stack>
    </Center>
  );
}

function Entrance() {
  const { session, error, retry } = useKnown();
  if (session === undefined) {
    if (error == null) return <Starting />;
    return (
      <Center mih="100vh" p="md" component="main">
        <ProblemNote error={error} retry={retry} />
      </Center>
    );
  }
  if (session === null) return <SignIn />;
  if (session.must_change_password) return <ChangePassword />;
  return (
    <Routes>
      <Route path="/o/:org" element={<Organization />}>
        {PLACES.map(({ path, right, page: Content }) => (
          <Route
            key={path}
            path={path}
            element={right === undefined || session.rights.includes(right) ? <Content /> : <Forbidden />}
          />
        ))}
        <Route path="*" element={<NotFound />} />
      </Route>
      <Route path="*" element={<Home />} />
    </Routes>
  );
}

function Organization() {
  const { org = '' } = useParams();
  const { t } = useWords();
  const found = queries.useQuery('get', '/api/v1/organizations/{org}', { params: { path: { org } } });
  const known = found.data?.id;
  useEffect(() => {
    if (known !== undefined) localStorage.setItem(LAST, known);
  }, [known]);
  if (found.error !== null && problemOf(found.error).status === 404) {
    return (
      <Center mih="100vh" p="md" component="main">
        <Stack align="center" gap="xs">
          <Text component="h1" fw={600} fz="lg" m={0}>
            {t('app.organization.unknown')}
          </Text>
          <Anchor component={Link} to="/">
            {t('app.toOverview')}
          </Anchor>
        </Stack>
      </Center>
    );
  }
  return (
    <OrganizationProvider value={org}>
      <Shell key={org} />
    </OrganizationProvider>
  );
}

/** To the organization that was open last, as far as it can still be seen. */
function Home() {
  const session = useSession();
  const found = queries.useQuery('get', '/api/v1/organizations', { params: { query: { limit: 200 } } });
  const { t } = useWords();
  if (found.error !== null) {
    return (
      <Center mih="100vh" p="md" component="main">
        <ProblemNote error={found.error} retry={() => void found.refetch()} />
      </Center>
    );
  }
  if (found.data === undefined) return <Starting />;
  const seen = found.data.items.map((one) => one.id);
  const last = localStorage.getItem(LAST);
  const org = last !== null && seen.includes(last) ? last : (session.organization ?? seen[0]);
  if (org !== undefined) return <Navigate to={`/o/${org}`} replace />;
  return (
    <Center mih="100vh" component="main">
      <Stack align="center">
        <Brand />
        <Text>{t('app.organization.none')}</Text>
      </Stack>
    </Center>
  );
}

function Forbidden() {
  const { t } = useWords();
  return (
    <Page title={t('app.forbidden')} lead={t('app.forbidden.fix')}>
      <Anchor component={Link} to="/">
        {t('app.toOverview')}
      </Anchor>
    </Page>
  );
}

function NotFound() {
  const { t } = useWords();
  return (
    <Page title={t('app.notFound')} lead={t('app.notFound.fix')}>
      <Anchor component={Link} to="/">
        {t('app.toOverview')}
      </Anchor>
    </Page>
  );
}
