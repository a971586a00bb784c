// Keeping the filters of the moment under a name, and going back to them.
import { Button, Group, Menu, Modal, Stack, Text, TextInput } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { IconBookmark, IconCheck, IconDeviceFloppy, IconLink, IconTrash } from '@tabler/icons-react';
import { useState, type SubmitEvent } from 'react';
import { useSearchParams } from 'react-router';
import { useWords } from '../../i18n';
import { useSession } from '../../session';
import { copyText } from '../../ui/Copy';
import { MOST_VIEWS, queryOf, useViews } from './views';

export function Views() {
  const { t, locale } = useWords();
  const session = useSession();
  const [params, setParams] = useSearchParams();
  const { views, save, remove } = useViews(session.id, locale);
  const [naming, setNaming] = useState(false);
  const now = queryOf(params);
  const active = views.find((view) => view.query === now);
  const go = (query: string) => setParams(new URLSearchParams(query));
  const link = async () => {
    const done = await copyText(`${location.origin}${location.pathname}${now === '' ? '' : `?${now}`}`);
    notifications.show({ color: done ? 'green' : 'yellow', message: t(done ? 'views.copied' : 'copy.failed') });
  };
  return (
    <>
      <Menu position="bottom-end" width={260}>
        <Menu.Target>
          <Button variant="default" leftSection={<IconBookmark size={16} aria-hidden />}>
            {active === undefined ? t('views') : active.name}
          </Button>
        </Menu.Target>
        <Menu.Dropdown>
          {views.length === 0 && (
            <Text size="sm" c="dimmed" px="sm" py="xs" maw={240} component="div">
              {t('views.none')}
            </Text>
          )}
          {views.map((view) => (
            <Menu.Item
              key={view.name}
              leftSection={view === active ? <IconCheck size={16} aria-hidden /> : <span style={{ width: 16 }} />}
              aria-current={view === active}
              onClick={() => go(view.query)}
            >
              {view.name}
            </Menu.Item>
          ))}
          <Menu.Divider />
          <Menu.Item
            leftSection={<IconDeviceFloppy size={16} aria-hidden />}
            disabled={active !== undefined || views.length >= MOST_VIEWS}
            onClick={() => setNaming(true)}
          >
            {t('views.save')}
          </Menu.Item>
          {active !== undefined && (
            <Menu.Item leftSection={<IconTrash size={16} aria-hidden />} onClick={() => remove(active.name)}>
              {t('views.remove', { name: active.name })}
            </Menu.Item>
          )}
          <Menu.Item leftSection={<IconLink size={16} aria-hidden />} onClick={() => void link()}>
            {t('views.copy')}
          </Menu.Item>
        </Menu.Dropdown>
      </Menu>
      <Modal opened={naming} onClose={() => setNaming(false)} title={t('views.save.title')}>
        {naming && (
          <Naming
            taken={views.map((view) => view.name)}
            close={() => setNaming(false)}
            save={(name) => {
              save({ name, query: now });
              setNaming(false);
            }}
          />
        )}
      </Modal>
    </>
  );
}

function Naming(props: { taken: string[]; close: () => void; save: (name: string) => void }) {
  const { t } = useWords();
  const [name, setName] = useState('');
  const wanted = name.trim();
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    props.save(wanted);
  };
  return (
    <form onSubmit={submit}>
      <Stack>
        <Text size="sm">{t('views.save.lead')}</Text>
        <TextInput
          label={t('views.name')}
          value={name}
          onChange={(event) => setName(event.currentTarget.value)}
          maxLength={60}
          required
          withAsterisk={false}
          data-autofocus
        />
        {props.taken.includes(wanted) && <Text size="sm">{t('views.taken', { name: wanted })}</Text>}
        <Group justify="flex-end">
          <Button variant="default" onClick={props.close}>
            {t('action.cancel')}
          </Button>
          <Button type="submit" disabled={wanted === ''}>
            {t('action.save')}
          </Button>
        </Group>
      </Stack>
    </form>
  );
}
