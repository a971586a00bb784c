// Which agreement a subscription is billed on: those of the company, with what speaks against each.
import { Box, Button, Group, Radio, Stack, Text } from '@mantine/core';
import { IconFileInvoice } from '@tabler/icons-react';
import { useState } from 'react';
import { queries } from '../../api/client';
import { useFormats } from '../../format';
import { useWords } from '../../i18n';
import { useMay, useOrg } from '../../session';
import { useWord } from '../../ui/Badges';
import { Empty, Panel, Waiting } from '../../ui/Page';
import { ProblemNote } from '../../ui/Problem';
import { useSave } from '../mapping/data';
import { orderOf, type Agreement, type Known } from './data';

export function AgreementStep(props: { known: Known; now: number | null; done: () => void; back?: () => void }) {
  const { t } = useWords();
  const { day } = useFormats();
  const org = useOrg();
  const say = useWord();
  const mayMap = useMay('mappings.write');
  const { known, done } = props;
  const { task } = known.detail;
  const [chosen, setChosen] = useState<string | null>(props.now === null ? null : String(props.now));
  const save = useSave(done);
  const every = useEvery();
  const query = { limit: 200, ...(known.company === null ? {} : { company: known.company }) };
  const list = queries.useQuery('get', '/api/v1/organizations/{org}/agreements', {
    params: { path: { org }, query },
  });
  const currency = orderOf(known.detail)?.currency;
  const against = (one: Agreement) => {
    if (one.status !== 'active') return t('sync.agreement.state');
    if (currency !== undefined && one.currency != null && one.currency !== currency) {
      return t('sync.agreement.currency', { is: one.currency, wanted: currency });
    }
    return null;
  };
  const about = (one: Agreement) =>
    [
      one.agreement_type,
      every(one),
      one.currency,
      one.next_invoice == null ? null : t('agreements.nextInvoice', { day: day(one.next_invoice) }),
      one.status === 'active' ? null : say('agreement', one.status),
    ]
      .filter((part) => part != null)
      .join(' · ');
  const use = () => {
    if (chosen === null) return;
    save.mutate({
      kind: 'agreement',
      source: task.source,
      source_id: task.subscription_id,
      scope: null,
      psa_id: parseInt(chosen, 10),
    });
  };
  return (
    <Panel title={t('sync.step.agreement')}>
      {list.data === undefined ? (
        list.error === null ? (
          <Waiting rows={4} />
        ) : (
          <ProblemNote error={list.error} retry={() => void list.refetch()} />
        )
      ) : list.data.items.length === 0 ? (
        <Empty
          icon={<IconFileInvoice size={32} stroke={1.4} aria-hidden />}
          title={t('sync.agreement.none')}
          detail={t('sync.agreement.none.detail')}
        />
      ) : (
        <Stack>
          <Radio.Group label={t('sync.agreement.lead')} value={chosen} onChange={setChosen}>
            <Stack gap="sm" mt="sm">
              {list.data.items.map((one) => {
                const reason = against(one);
                return (
                  <Radio
                    key={one.agreement_id}
                    value={String(one.agreement_id)}
                    label={one.name}
                    description={
                      <Box component="span">
                        {about(one)}
                        {reason !== null && (
                          <Text span size="xs" className="loss" display="block">
                            {reason}
                          </Text>
                        )}
                      </Box>
                    }
                    disabled={reason !== null}
                  />
                );
              })}
            </Stack>
          </Radio.Group>
          {save.error !== null && <ProblemNote error={save.error} />}
          <Group>
            {mayMap && (
              <Button onClick={use} loading={save.isPending} disabled={chosen === null}>
                {t('sync.agreement.use')}
              </Button>
            )}
            {props.back !== undefined && (
              <Button variant="default" onClick={props.back}>
                {t('sync.agreement.back')}
              </Button>
            )}
          </Group>
        </Stack>
      )}
    </Panel>
  );
}

/** How often an agreement is billed, in words. */
function useEvery(): (one: Agreement) => string | null {
  const { tn } = useWords();
  return (one) => {
    const { cycle_every: n, cycle_unit: unit } = one;
    if (n == null || (unit !== 'day' && unit !== 'month' && unit !== 'year')) return null;
    return tn(`sync.agreement.${unit}`, n);
  };
}
