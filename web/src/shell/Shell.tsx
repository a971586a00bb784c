// What surrounds every page: who, where, and the way to the others.
import {
  ActionIcon,
  AppShell,
  Box,
  Burger,
  Group,
  Menu,
  Modal,
  NavLink,
  Stack,
  Text,
  UnstyledButton,
  useComputedColorScheme,
  useMantineColorScheme,
} from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { IconBook, IconLanguage, IconLogout, IconMoon, IconSun, IconUser } from '@tabler/icons-react';
import { useMutation } from '@tanstack/react-query';
import { Suspense, useEffect, useRef } from 'react';
import { Link, NavLink as RouterLink, Outlet, useLocation } from 'react-router';
import { LANGUAGES, useWords, type Language } from '../i18n';
import { useKnown, useOrg, useSession } from '../session';
import { useWord } from '../ui/Badges';
import { Waiting } from '../ui/Page';
import { ProblemNote } from '../ui/Problem';
import { Boundary } from './Boundary';
import { OrganizationPicker } from './OrganizationPicker';
import { PLACES, type Place } from './routes';

export function Shell() {
  const { t } = useWords();
  const [open, { toggle, close }] = useDisclosure(false);
  const { pathname } = useLocation();
  const main = useRef<HTMLElement>(null);
  const first = useRef(true);

  // A new page: the menu of a phone closes, and who uses a keyboard or a screen reader begins at its top.
  useEffect(() => {
    close();
    if (first.current) first.current = false;
    else main.current?.focus();
    window.scrollTo(0, 0);
  }, [pathname, close]);

  return (
    <>
      <a className="skip" href="#content" onClick={(event) => (event.preventDefault(), main.current?.focus())}>
        {t('app.skip')}
      </a>
      <AppShell
        header={{ height: 56 }}
        navbar={{ width: 232, breakpoint: 'sm', collapsed: { mobile: !open } }}
        padding={{ base: 'md', md: 'xl' }}
      >
        <AppShell.Header>
          <Group h="100%" px="md" justify="space-between" wrap="nowrap" gap="sm">
            <Group gap="sm" wrap="nowrap" style={{ minWidth: 0 }}>
              <Burger
                opened={open}
                onClick={toggle}
                hiddenFrom="sm"
                size="sm"
                aria-label={t(open ? 'app.menu.close' : 'app.menu')}
                aria-expanded={open}
              />
              <Brand />
              <OrganizationPicker />
            </Group>
            <Group gap={4} wrap="nowrap">
              <Scheme />
              <Account />
            </Group>
          </Group>
        </AppShell.Header>
        <AppShell.Navbar p="sm" aria-label={t('app.navigation')}>
          <Navigation />
        </AppShell.Navbar>
        <AppShell.Main id="content" ref={main} tabIndex={-1}>
          <Box maw={1280} mx="auto">
            <Boundary key={pathname}>
              <Suspense fallback={<Waiting />}>
                <Outlet />
              </Suspense>
            </Boundary>
          </Box>
        </AppShell.Main>
      </AppShell>
    </>
  );
}

export function Brand() {
  const { t } = useWords();
  return (
    <Link to="/" className="brand" aria-label={t('app.home')}>
      <img src="/icon.svg" alt="" width={26} height={26} />
      <Text fw={700} visibleFrom="xs" component="span">
        {t('app.name')}
      </Text>
    </Link>
  );
}

function Navigation() {
  const { t } = useWords();
  const session = useSession();
  const org = useOrg();
  const seen = PLACES.filter((place) => place.right === undefined || session.rights.includes(place.right));
  const links = (group: 'work' | 'manage') =>
    seen.filter((place) => place.nav?.group === group).map((place) => <Way key={place.path} place={place} org={org} />);
  const manage = links('manage');
  return (
    <Stack gap={2}>
      {links('work')}
      {manage.length > 0 && (
        <Text size="xs" c="dimmed" fw={500} px="sm" pt="md" pb={4}>
          {t('nav.manage')}
        </Text>
      )}
      {manage}
    </Stack>
  );
}

function Way({ place, org }: { place: Place; org: string }) {
  const { t } = useWords();
  const { pathname } = useLocation();
  if (place.nav === undefined) return null;
  const { icon: Icon, label, badge: Mark } = place.nav;
  const root = `/o/${org}`;
  const to = place.path === '' ? root : `${root}/${place.path}`;
  const here = place.path === '' ? pathname === root : pathname === to || pathname.startsWith(`${to}/`);
  return (
    <NavLink
      component={RouterLink}
      to={to}
      end={place.path === ''}
      active={here}
      label={t(label)}
      leftSection={<Icon size={18} stroke={1.6} aria-hidden />}
      rightSection={Mark === undefined ? undefined : <Mark />}
      variant="light"
      className="way"
    />
  );
}

function Scheme() {
  const { t } = useWords();
  const { setColorScheme } = useMantineColorScheme();
  const now = useComputedColorScheme('light');
  const next = now === 'dark' ? 'light' : 'dark';
  return (
    <ActionIcon
      variant="subtle"
      color="gray"
      size="lg"
      aria-label={t(next === 'dark' ? 'app.dark' : 'app.light')}
      onClick={() => setColorScheme(next)}
    >
      {next === 'dark' ? <IconMoon size={18} aria-hidden /> : <IconSun size={18} aria-hidden />}
    </ActionIcon>
  );
}

function Account() {
  const { t, language, setLanguage } = useWords();
  const session = useSession();
  const { signOut } = useKnown();
  const leave = useMutation({ mutationFn: signOut });
  const say = useWord();
  return (
    <>
    <Menu position="bottom-end" width={240}>
      <Menu.Target>
        <ActionIcon variant="subtle" color="gray" size="lg" aria-label={t('app.account')}>
          <IconUser size={18} aria-hidden />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        <Box px="sm" py="xs">
          <Text size="sm" fw={500} component="div">
            {session.name ?? session.actor}
          </Text>
          {session.name !== session.actor && (
            <Text size="xs" c="dimmed" component="div">
              {session.actor}
            </Text>
          )}
          {session.role != null && (
            <Text size="xs" c="dimmed" component="div">
              {say('role', session.role)}
            </Text>
          )}
        </Box>
        <Menu.Divider />
        <Languages chosen={language} choose={setLanguage} />
        <Menu.Divider />
        <Menu.Item component="a" href="/docs/" leftSection={<IconBook size={16} aria-hidden />}>
          {t('app.reference')}
        </Menu.Item>
        <Menu.Item leftSection={<IconLogout size={16} aria-hidden />} onClick={() => leave.mutate()}>
          {t('app.signOut')}
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
    <Modal opened={leave.isError} onClose={leave.reset} title={t('app.signOut.failed')}>
      <ProblemNote error={leave.error} retry={() => leave.mutate()} />
    </Modal>
    </>
  );
}

function Languages({ chosen, choose }: { chosen: Language; choose: (language: Language) => void }) {
  return Object.entries(LANGUAGES).map(([language, name]) => (
    <Menu.Item
      key={language}
      lang={language}
      leftSection={<IconLanguage size={16} aria-hidden />}
      fw={language === chosen ? 600 : 400}
      aria-current={language === chosen}
      onClick={() => choose(language as Language)}
    >
      {name}
    </Menu.Item>
  ));
}

/** The language, where nobody is signed in yet. */
export function LanguageSwitch() {
  const { language, setLanguage } = useWords();
  return (
    <Group gap="md" justify="center">
      {Object.entries(LANGUAGES).map(([key, name]) => (
        <UnstyledButton
          key={key}
          lang={key}
          fz="sm"
          c={key === language ? undefined : 'dimmed'}
          td={key === language ? 'underline' : undefined}
          aria-current={key === language}
          onClick={() => setLanguage(key as Language)}
        >
          {name}
        </UnstyledButton>
      ))}
    </Group>
  );
}
