// Billed and drift by month. The bars stand in a table, so that who cannot see them reads the same figures.
import { Box, Group, SegmentedControl, SimpleGrid, Stack, Text } from '@mantine/core';
import { useState } from 'react';
import { queries, type Schemas } from '../api/client';
import { useFormats } from '../format';
import { useWords } from '../i18n';
import { useOrg } from '../session';
import { Panel } from '../ui/Page';

type Figures = Schemas['FiguresDoc'];

interface Bar {
  month: string;
  amount: string;
  /** A second, smaller figure: what it costs, or how many lines. */
  beside: string;
}

export default function FiguresPart() {
  const org = useOrg();
  const found = queries.useQuery('get', '/api/v1/organizations/{org}/figures', {
    params: { path: { org }, query: { months: 12 } },
  });
  if (found.data === undefined || found.data.months.length === 0) return null;
  return <Charts figures={found.data} />;
}

function Charts({ figures }: { figures: Figures }) {
  const { t } = useWords();
  const { money, count } = useFormats();
  const currencies = [...new Set(figures.months.map((one) => one.currency))];
  const [chosen, choose] = useState(currencies[0] ?? '');
  const billed = figures.months.filter((one) => one.currency === chosen);
  const drift = figures.drift.filter((one) => one.currency === chosen);
  return (
    <Stack gap="sm">
      {currencies.length > 1 && (
        <Group>
          <SegmentedControl
            size="xs"
            aria-label={t('figures.currency')}
            value={chosen}
            onChange={choose}
            data={currencies}
          />
        </Group>
      )}
      <SimpleGrid cols={{ base: 1, md: 2 }} spacing="lg">
        <Panel title={t('figures.billed')}>
          <Text size="sm" c="dimmed" mb="sm">
            {t('figures.billed.lead')}
          </Text>
          <Bars
            label={t('figures.billed')}
            currency={chosen}
            amount={t('figures.series.billed')}
            beside={t('figures.series.cost')}
            bars={billed.map((one) => ({
              month: one.month,
              amount: one.billed,
              beside: money(one.cost, one.currency),
            }))}
          />
        </Panel>
        <Panel title={t('figures.drift')}>
          <Text size="sm" c="dimmed" mb="sm">
            {t(drift.length === 0 ? 'figures.drift.none' : 'figures.drift.lead')}
          </Text>
          {drift.length > 0 && (
            <Bars
              label={t('figures.drift')}
              currency={chosen}
              amount={t('figures.series.amount')}
              beside={t('figures.series.lines')}
              bars={drift.map((one) => ({ month: one.month, amount: one.amount, beside: count(one.lines) }))}
            />
          )}
        </Panel>
      </SimpleGrid>
    </Stack>
  );
}

function Bars(props: { label: string; currency: string; amount: string; beside: string; bars: Bar[] }) {
  const { t, locale } = useWords();
  const { money } = useFormats();
  // Only the length of a bar is a float; what is read is the text of the service.
  // eslint-disable-next-line no-restricted-syntax
  const sizes = props.bars.map((bar) => Math.abs(Number(bar.amount)));
  const most = Math.max(...sizes, 0);
  const month = new Intl.DateTimeFormat(locale, { month: 'short', year: '2-digit', timeZone: 'UTC' });
  return (
    <Box role="region" tabIndex={0} aria-label={props.label} style={{ overflowX: 'auto' }}>
      <table className="sums bars">
        <thead>
          <tr>
            <th scope="col">{t('figures.month')}</th>
            <td aria-hidden />
            <th scope="col" className="num">
              {props.amount}
            </th>
            <th scope="col" className="num">
              {props.beside}
            </th>
          </tr>
        </thead>
        <tbody>
          {props.bars.map((bar, at) => (
            <tr key={bar.month}>
              <th scope="row" className="nowrap">
                {month.format(new Date(`${bar.month}-01T00:00:00Z`))}
              </th>
              <td aria-hidden className="track">
                <div
                  className={bar.amount.startsWith('-') ? 'bar less' : 'bar'}
                  style={{ width: `${most === 0 ? 0 : ((sizes[at] ?? 0) * 100) / most}%` }}
                />
              </td>
              <td className="num">{money(bar.amount, props.currency)}</td>
              <td className="num">{bar.beside}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Box>
  );
}
