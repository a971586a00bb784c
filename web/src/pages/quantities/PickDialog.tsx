// Which addition a line is, where trueup does not dare to choose.
import { Button, Group, Modal, Radio, Stack, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useState, type SubmitEvent } from 'react';
import { answer, api } from '../../api/client';
import type { Names } from '../../api/names';
import { useFormats } from '../../format';
import { useWords } from '../../i18n';
import { useOrg } from '../../session';
import { Waiting } from '../../ui/Page';
import { ProblemNote } from '../../ui/Problem';
import { BASE, setPick, useQuantityWrite, type Line } from './data';

const NEW = 'new';

export function PickDialog({ line, names, close }: { line: Line | null; names: Names; close: () => void }) {
  const { t } = useWords();
  return (
    <Modal
      opened={line !== null}
      onClose={close}
      size="lg"
      title={
        line === null
          ? ''
          : t('quantities.pick.title', {
              item: names.item(line.catalog_item_id),
              customer: names.customer(line.source, line.customer_id),
            })
      }
    >
      {line !== null && <Form line={line} close={close} />}
    </Modal>
  );
}

/** The additions that the reason of a line names. */
export function additionsIn(line: Pick<Line, 'addition_id' | 'why'>): number[] {
  const named = [...line.why.matchAll(/additions? ([\d, ]+)/g)].flatMap(([, ids = '']) =>
    ids.split(',').map((id) => Number.parseInt(id, 10)),
  );
  return [...new Set([...(line.addition_id == null ? [] : [line.addition_id]), ...named])].filter(Number.isFinite);
}

function Form({ line, close }: { line: Line; close: () => void }) {
  const { t } = useWords();
  const { quantity, day, ago } = useFormats();
  const org = useOrg();
  const [chosen, setChosen] = useState('');
  const path = { org, agreement: line.agreement_id };
  const found = useQuery({
    queryKey: ['pick-addition', org, line.agreement_id],
    queryFn: () => answer(api.GET(`${BASE}/agreements/{agreement}`, { params: { path } })),
  });
  const pick = useQuantityWrite(setPick, close);
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    pick.mutate({
      source: line.source,
      customer: line.customer_id,
      catalog_item_id: line.catalog_item_id,
      addition_id: chosen === NEW ? null : parseInt(chosen, 10),
    });
  };
  if (found.data === undefined) {
    return found.error === null ? <Waiting rows={3} /> : <ProblemNote error={found.error} />;
  }
  const read = found.data.additions.filter((one) => one.catalog_item_id === line.catalog_item_id);
  // The run may have seen lines that came after the last reading: it names them.
  const named = additionsIn(line).filter((id) => !read.some((one) => one.addition_id === id));
  return (
    <form onSubmit={submit}>
      <Stack>
        <Text size="sm">{t('quantities.pick.lead')}</Text>
        {found.data.read_at != null && (
          <Text size="sm" c="dimmed">
            {t('agreements.read', { when: ago(found.data.read_at) })}
          </Text>
        )}
        <Radio.Group value={chosen} onChange={setChosen} label={t('quantities.pick.which')}>
          <Stack gap="xs" mt={4}>
            {named.map((id) => (
              <Radio key={id} value={String(id)} label={t('quantities.pick.named', { id })} />
            ))}
            {read.map((one) => (
              <Radio
                key={one.addition_id}
                value={String(one.addition_id)}
                label={t('quantities.pick.one', { n: quantity(one.quantity), id: one.addition_id })}
                description={[
                  one.description,
                  t('quantities.pick.from', { day: day(one.effective) }),
                  one.cancelled == null ? null : t('quantities.pick.until', { day: day(one.cancelled) }),
                ]
                  .filter((text) => text != null)
                  .join(' · ')}
              />
            ))}
            <Radio value={NEW} label={t('quantities.pick.new')} description={t('quantities.pick.new.help')} />
          </Stack>
        </Radio.Group>
        {pick.error !== null && <ProblemNote error={pick.error} />}
        <Group justify="flex-end">
          <Button variant="default" onClick={close}>
            {t('action.cancel')}
          </Button>
          <Button type="submit" loading={pick.isPending} disabled={chosen === ''}>
            {t('action.save')}
          </Button>
        </Group>
      </Stack>
    </form>
  );
}
