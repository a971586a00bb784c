// A webhook as it is added or changed.
import { Button, Checkbox, Fieldset, Group, Radio, Stack, Switch, TextInput } from '@mantine/core';
import { useMutation } from '@tanstack/react-query';
import { useState, type SubmitEvent } from 'react';
import { answer, api, problemOf, type Schemas } from '../../api/client';
import { useWords } from '../../i18n';
import { useOrg } from '../../session';
import { useWord } from '../../ui/Badges';
import { ProblemNote } from '../../ui/Problem';

type Webhook = Schemas['WebhookDoc'];

const BASE = '/api/v1/organizations/{org}/webhooks';
const SHOWN = ['name', 'url', 'events'];

export function WebhookForm(props: {
  kinds: string[];
  /** As it is; none where one is added. */
  before?: Webhook;
  close: () => void;
  done: (webhook: Webhook) => void;
}) {
  const { t } = useWords();
  const say = useWord();
  const org = useOrg();
  const { before } = props;
  const [name, setName] = useState(before?.name ?? '');
  const [url, setUrl] = useState(before?.url ?? '');
  const [own, setOwn] = useState((before?.events.length ?? 0) > 0);
  const [chosen, setChosen] = useState(before?.events ?? []);
  const [below, setBelow] = useState(before?.below ?? false);
  const save = useMutation({
    mutationFn: (body: Schemas['NewWebhook']) =>
      before === undefined
        ? answer(api.POST(BASE, { params: { path: { org } }, body }))
        : answer(api.PATCH(`${BASE}/{webhook}`, { params: { path: { org, webhook: before.id } }, body })),
    onSuccess: props.done,
  });
  const faults = save.error === null ? [] : problemOf(save.error).fields;
  const fault = (field: string) => faults.find((one) => one.field === field)?.reason;
  // A fault that stands at its field is not told twice.
  const elsewhere = faults.length === 0 || faults.some((one) => !SHOWN.includes(one.field));
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    save.mutate({ name, url, events: own ? chosen : [], below });
  };
  return (
    <form onSubmit={submit}>
      <Stack>
        <TextInput
          label={t('webhooks.name')}
          description={t('webhooks.name.hint')}
          value={name}
          onChange={(event) => setName(event.currentTarget.value)}
          error={fault('name')}
          maxLength={100}
          required
          withAsterisk={false}
          data-autofocus
        />
        <TextInput
          label={t('webhooks.url')}
          description={t('webhooks.url.hint')}
          type="url"
          inputMode="url"
          autoComplete="off"
          placeholder="https://"
          value={url}
          onChange={(event) => setUrl(event.currentTarget.value)}
          error={fault('url')}
          maxLength={2000}
          required
          withAsterisk={false}
        />
        <Radio.Group
          label={t('webhooks.events')}
          value={own ? 'own' : 'all'}
          onChange={(value) => setOwn(value === 'own')}
          error={own ? undefined : fault('events')}
        >
          <Stack gap="xs" mt="xs">
            <Radio value="all" label={t('webhooks.events.all')} />
            <Radio value="own" label={t('webhooks.events.own')} />
          </Stack>
        </Radio.Group>
        {own && (
          <Fieldset legend={t('webhooks.events.own')}>
            <Checkbox.Group
              value={chosen}
              onChange={setChosen}
              error={fault('events')}
              aria-label={t('webhooks.events')}
            >
              <Stack gap={6}>
                {props.kinds.map((kind) => (
                  <Checkbox key={kind} value={kind} size="sm" label={say('event', kind)} />
                ))}
              </Stack>
            </Checkbox.Group>
          </Fieldset>
        )}
        <Switch
          label={t('webhooks.below')}
          description={t('webhooks.below.hint')}
          checked={below}
          onChange={(event) => setBelow(event.currentTarget.checked)}
        />
        {save.error !== null && elsewhere && <ProblemNote error={save.error} />}
        <Group justify="flex-end">
          <Button variant="default" onClick={props.close}>
            {t('action.cancel')}
          </Button>
          <Button type="submit" loading={save.isPending} disabled={own && chosen.length === 0}>
            {t(before === undefined ? 'webhooks.add' : 'action.save')}
          </Button>
        </Group>
      </Stack>
    </form>
  );
}
