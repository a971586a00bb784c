// As what a service is billed: for everybody, or for one customer alone.
import { Alert, Button, Checkbox, Group, Modal, Radio, Select, Stack, Text } from '@mantine/core';
import { useState, type SubmitEvent } from 'react';
import { useWords } from '../../i18n';
import { useOrg } from '../../session';
import { Picker, type Choice } from '../../ui/Picker';
import { ProblemNote } from '../../ui/Problem';
import { findTargets } from '../mapping/data';
import { assign, useQuantityWrite, type Counted, type Service } from './data';

export function AssignDialog(props: { service: Service | null; counted: Counted; close: () => void }) {
  const { t } = useWords();
  const { service } = props;
  return (
    <Modal
      opened={service !== null}
      onClose={props.close}
      size="lg"
      title={service === null ? '' : t('quantities.assign.title', { name: service.name })}
    >
      {service !== null && <Form {...props} service={service} />}
    </Modal>
  );
}

function Form({ service, counted, close }: { service: Service; counted: Counted; close: () => void }) {
  const { t } = useWords();
  const org = useOrg();
  const [way, setWay] = useState(service.state === 'not_assigned' ? 'nothing' : 'item');
  const [item, setItem] = useState<Choice | null>(
    service.catalog_item_id == null
      ? null
      : { value: String(service.catalog_item_id), label: counted.names.item(service.catalog_item_id, service.identifier) },
  );
  const [customer, setCustomer] = useState<string | null>(null);
  const [confirmed, setConfirmed] = useState(false);
  const write = useQuantityWrite(assign, close);
  const ready = way === 'nothing' || (item !== null && (!service.deprecated || confirmed));
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    write.mutate({
      source: service.source,
      service: service.service,
      customer,
      ...(way === 'nothing' || item === null
        ? { not_assigned: true }
        : { catalog_item_id: parseInt(item.value, 10), confirm: confirmed }),
    });
  };
  const whose = counted.customers.filter(
    (one) => one.source === service.source && one.levels.some((level) => level.service === service.service),
  );
  return (
    <form onSubmit={submit}>
      <Stack>
        <Radio.Group value={way} onChange={setWay} label={t('quantities.assign.way')}>
          <Stack gap="xs" mt={4}>
            <Radio value="item" label={t('quantities.assign.item')} />
            <Radio
              value="nothing"
              label={t('quantities.state.not_assigned')}
              description={t('quantities.assign.nothing.help')}
            />
          </Stack>
        </Radio.Group>
        {way === 'item' && (
          <Picker
            label={t('mapping.target.product')}
            of={[org, 'product']}
            find={(search) => findTargets(org, 'product', search)}
            value={item}
            choose={setItem}
          />
        )}
        <Select
          label={t('quantities.assign.for')}
          description={t('quantities.assign.for.help')}
          placeholder={t('quantities.assign.for.all')}
          data={whose.map((one) => ({ value: one.customer_id, label: one.name }))}
          value={customer}
          onChange={setCustomer}
          searchable
          clearable
          limit={100}
          nothingFoundMessage={t('pick.none')}
        />
        {way === 'item' && service.deprecated && (
          <Alert color="orange" variant="light" title={t('quantities.deprecated')}>
            <Stack gap="xs">
              <Text size="sm">{t('quantities.assign.deprecated')}</Text>
              <Checkbox
                label={t('quantities.assign.confirm')}
                checked={confirmed}
                onChange={(event) => setConfirmed(event.currentTarget.checked)}
              />
            </Stack>
          </Alert>
        )}
        {write.error !== null && <ProblemNote error={write.error} />}
        <Group justify="flex-end">
          <Button variant="default" onClick={close}>
            {t('action.cancel')}
          </Button>
          <Button type="submit" loading={write.isPending} disabled={!ready}>
            {t('action.save')}
          </Button>
        </Group>
      </Stack>
    </form>
  );
}
