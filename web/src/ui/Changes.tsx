// What a plan does to the lines of each agreement: before and after, side by side, and why.
import { Badge, Box, Button, Code, Collapse, Group, Stack, Text, type MantineColor } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { IconChevronDown, IconChevronRight } from '@tabler/icons-react';
import { useQueries } from '@tanstack/react-query';
import { Fragment, useEffect, useState, type ReactNode } from 'react';
import { Link } from 'react-router';
import { answer, api, type Schemas } from '../api/client';
import type { Names } from '../api/names';
import { useFormats } from '../format';
import { useWords } from '../i18n';
import { useMay, useOrg } from '../session';
import { useWord } from './Badges';
import { useFieldValue } from './fields';
import { withoutCommands } from './plain';
import { useActor, useSaid } from './said';

export type Change = Schemas['ChangeDoc'];

const OPS: Record<string, MantineColor> = {
  create: 'green',
  update: 'indigo',
  cancel: 'orange',
  delete: 'red',
  keep: 'gray',
};
const OUTCOMES: Record<string, MantineColor> = {
  applied: 'green',
  failed: 'red',
  skipped: 'gray',
  in_doubt: 'orange',
};

export function namesOfChanges(changes: Change[]) {
  return {
    customers: changes.map((change) => ({ source: change.source, id: change.customer_id })),
    products: changes.map((change) => ({ source: change.source, id: change.product_id })),
    companies: changes.map((change) => change.company_id),
    agreements: changes.map((change) => change.agreement_id),
    catalog_items: changes.map((change) => change.catalog_item_id),
  };
}

interface Group {
  company: number;
  agreement: number;
  changes: Change[];
}

/** By agreement, in the order in which the plan names them. */
function grouped(changes: Change[]): Group[] {
  const groups = new Map<string, Group>();
  for (const change of changes) {
    const key = `${change.company_id}/${change.agreement_id}`;
    const group = groups.get(key) ?? { company: change.company_id, agreement: change.agreement_id, changes: [] };
    group.changes.push(change);
    groups.set(key, group);
  }
  return [...groups.values()];
}

/** A line as it stands in ConnectWise, as far as a plan does not say it itself. */
interface Standing {
  quantity: string;
  unitPrice: string;
}

/** Agreements that are looked up at a time; the next ones follow when these are there. */
const LOOKED_UP_AT_ONCE = 10;

/** Whether the plan leaves out what a line of it holds: of one that ends it says only the last day. */
const isSilent = (change: Change) => change.fields['quantity'] === undefined;

type Held = Map<number, Standing>;

async function linesOf(org: string, agreement: number): Promise<Held> {
  const params = { path: { org, agreement } };
  const { additions } = await answer(api.GET('/api/v1/organizations/{org}/agreements/{agreement}', { params }));
  return new Map(additions.map((one) => [one.addition_id, { quantity: one.quantity, unitPrice: one.unit_price }]));
}

/** What a line that ends holds: read from its agreement, or from the line of the same plan that it ends. */
function useStanding(changes: Change[]): (change: Change) => Standing | undefined {
  const org = useOrg();
  const mayRead = useMay('mappings.read');
  const [reached, setReached] = useState(LOOKED_UP_AT_ONCE);
  const silent = changes.filter((one) => isSilent(one) && one.addition_id != null);
  const agreements = [...new Set(silent.map((one) => one.agreement_id))];
  const found = useQueries({
    queries: agreements.map((agreement, at) => ({
      queryKey: ['lines', org, agreement],
      queryFn: () => linesOf(org, agreement),
      enabled: mayRead && at < reached,
    })),
  });
  const isRead = found.slice(0, reached).every((one) => !one.isLoading);
  const more = mayRead && isRead && reached < agreements.length;
  useEffect(() => {
    if (more) setReached((now) => now + LOOKED_UP_AT_ONCE);
  }, [more, reached]);
  return (change) => {
    if (change.addition_id != null) {
      return found[agreements.indexOf(change.agreement_id)]?.data?.get(change.addition_id);
    }
    const made = changes.find(
      (one) => change.depends_on.includes(one.change_id) && one.product_id === change.product_id && one.op === 'create',
    );
    const [quantity, unitPrice] = [made?.fields['quantity']?.to, made?.fields['unitPrice']?.to];
    return quantity == null || unitPrice == null ? undefined : { quantity, unitPrice };
  };
}

export function Changes(props: {
  changes: Change[];
  names: Names;
  /** What can be done with a line. */
  act?: ((change: Change) => ReactNode) | undefined;
}) {
  const { changes, names, act } = props;
  const standing = useStanding(changes);
  return (
    <Stack gap="lg">
      {grouped(changes).map((group) => (
        <OfAgreement key={`${group.company}/${group.agreement}`} group={group} names={names} act={act} standing={standing} />
      ))}
    </Stack>
  );
}

function OfAgreement(props: {
  group: Group;
  names: Names;
  act: ((change: Change) => ReactNode) | undefined;
  standing: (change: Change) => Standing | undefined;
}) {
  const { group, names, act, standing } = props;
  const { t, tn } = useWords();
  const name = `${names.company(group.company)}, ${names.agreement(group.agreement)}`;
  return (
    <Box component="section" className="panel" aria-label={name}>
      <Group justify="space-between" px="md" py="sm" className="line" gap="sm">
        <Box>
          <Text fw={600} size="sm" className="name">
            {names.company(group.company)}
          </Text>
          <Text size="sm" c="dimmed" className="name">
            {names.agreement(group.agreement)}
          </Text>
        </Box>
        <Text size="sm" c="dimmed">
          {tn('change.lines', group.changes.length)}
        </Text>
      </Group>
      <Lines changes={group.changes} names={names} act={act} standing={standing} label={`${t('change.title')}: ${name}`} />
    </Box>
  );
}

/** What tells lines apart that would read the same: their subscriptions, and where one has several of them also their orders. */
export function toldApart(
  changes: Pick<Change, 'change_id' | 'op' | 'catalog_item_id' | 'role' | 'subscription_id' | 'order_id'>[],
): Map<string, string> {
  const told = new Map<string, string>();
  const alike = new Map<string, typeof changes>();
  for (const change of changes) {
    // What is only counted has no subscription but in name.
    if (change.role === 'quantity') continue;
    const reads = `${change.op} ${change.role} ${change.catalog_item_id}`;
    alike.set(reads, [...(alike.get(reads) ?? []), change]);
  }
  for (const rows of alike.values()) {
    if (rows.length === 1) continue;
    for (const row of rows) {
      const again = rows.filter((one) => one.subscription_id === row.subscription_id).length > 1;
      const parts = again && row.order_id != null ? [row.subscription_id, row.order_id] : [row.subscription_id];
      told.set(row.change_id, parts.join(' · '));
    }
  }
  return told;
}

function Lines(props: {
  changes: Change[];
  names: Names;
  label: string;
  act: ((change: Change) => ReactNode) | undefined;
  standing: (change: Change) => Standing | undefined;
}) {
  const { changes, names, label, act, standing } = props;
  const { t } = useWords();
  const apart = toldApart(changes);
  return (
    <Box role="region" tabIndex={0} aria-label={label} style={{ overflowX: 'auto' }}>
      <table className="table">
        <thead>
          <tr>
            <th scope="col">{t('change.what')}</th>
            <th scope="col" className="num">
              {t('change.quantity')}
            </th>
            <th scope="col" className="num">
              {t('change.price')}
            </th>
            <th scope="col">{t('change.billed')}</th>
            <th scope="col" className="num">
              {t('change.amount')}
            </th>
          </tr>
        </thead>
        <tbody>
          {changes.map((change) => (
            <Line key={change.change_id} change={change} names={names} act={act} standing={standing(change)} apart={apart.get(change.change_id)} />
          ))}
        </tbody>
      </table>
    </Box>
  );
}

function Line(props: {
  change: Change;
  names: Names;
  act: ((change: Change) => ReactNode) | undefined;
  standing: Standing | undefined;
  /** What tells it from a line that reads the same. */
  apart: string | undefined;
}) {
  const { change, names, act, standing, apart } = props;
  const { t } = useWords();
  const { money, change: signed, quantity, day } = useFormats();
  const say = useWord();
  const [open, { toggle }] = useDisclosure(false);
  const price = (amount: string) => money(amount, change.currency);
  const effective = change.fields['effectiveDate'];
  const cancelled = change.fields['cancelledDate'];
  const More = open ? IconChevronDown : IconChevronRight;
  return (
    <>
      <tr>
        <td className="bare">
          <Stack gap={4} align="flex-start">
            <Group gap={6}>
              <Badge color={OPS[change.op] ?? 'gray'} variant="light" tt="none" fw={500} radius="sm" className="badge">
                {say('change.op', change.op)}
              </Badge>
              {change.state !== 'planned' && (
                <Badge
                  color={OUTCOMES[change.state] ?? 'gray'}
                  variant="outline"
                  tt="none"
                  fw={500}
                  radius="sm"
                  className="badge"
                >
                  {say('change.state', change.state)}
                </Badge>
              )}
              {change.edited != null && (
                <Badge color="indigo" variant="outline" tt="none" fw={500} radius="sm" className="badge">
                  {t('change.edited')}
                </Badge>
              )}
            </Group>
            <Text size="sm" fw={500}>
              {names.item(change.catalog_item_id)}
            </Text>
            <Text size="xs" c="dimmed">
              {say('change.role', change.role)}
            </Text>
            {apart !== undefined && (
              <Text size="xs" c="dimmed" style={{ overflowWrap: 'anywhere' }}>
                {apart}
              </Text>
            )}
            <Button
              variant="subtle"
              size="compact-xs"
              px={0}
              leftSection={<More size={14} aria-hidden />}
              onClick={toggle}
              aria-expanded={open}
            >
              {t('change.why')}
            </Button>
            {change.error != null && !open && (
              <Text size="xs" className="loss">
                {say('code', change.error.code)}
              </Text>
            )}
            {act?.(change)}
          </Stack>
        </td>
        <td className="num" data-label={t('change.quantity')}>
          <BeforeAfter field={change.fields['quantity']} show={quantity} stands={standing?.quantity} />
        </td>
        <td className="num" data-label={t('change.price')}>
          <div>
            <BeforeAfter field={change.fields['unitPrice']} show={price} stands={standing?.unitPrice} />
            {change.fields['unitCost'] !== undefined && (
              <Text size="xs" c="dimmed" component="span" display="block">
                {t('change.costs')} <BeforeAfter field={change.fields['unitCost']} show={price} />
              </Text>
            )}
          </div>
        </td>
        <td data-label={t('change.billed')}>
          <Stack gap={2}>
            {effective !== undefined && (
              <span className="nowrap">
                {t('change.from')} <BeforeAfter field={effective} show={day} />
              </span>
            )}
            {cancelled !== undefined && (
              <span className="nowrap">
                {t('change.until')} <BeforeAfter field={cancelled} show={day} none={t('change.open')} />
              </span>
            )}
            {effective === undefined && cancelled === undefined && '–'}
          </Stack>
        </td>
        <td className="num" data-label={t('change.amount')}>
          <Text span size="sm" fw={600} className={change.amount.startsWith('-') ? 'loss' : undefined}>
            {signed(change.amount, change.currency)}
          </Text>
        </td>
      </tr>
      <tr className="detail" hidden={!open}>
        <td colSpan={5} className="bare">
          <Collapse expanded={open}>
            <Why change={change} names={names} />
          </Collapse>
        </td>
      </tr>
    </>
  );
}

function BeforeAfter(props: {
  field: Schemas['FieldDoc'] | undefined;
  show: (value: string) => string;
  none?: string;
  /** What is there and stays as it is. */
  stands?: string | undefined;
}) {
  const { t } = useWords();
  const { field, show } = props;
  if (field === undefined) return <>{props.stands === undefined ? '–' : show(props.stands)}</>;
  const text = (value: string | null | undefined) => (value == null ? (props.none ?? '–') : show(value));
  if (field.from == null) return <span>{text(field.to)}</span>;
  if (field.from === field.to) return <span>{text(field.from)}</span>;
  return (
    <span>
      <Text span size="sm" c="dimmed" td="line-through">
        <span className="hidden">{t('change.before')} </span>
        {text(field.from)}
      </Text>{' '}
      <span className="hidden">{t('change.after')} </span>
      <span>{text(field.to)}</span>
    </span>
  );
}

/** Everything that explains the line: reason, formula, fields that are not in the columns, and what became of it. */
function Why({ change, names }: { change: Change; names: Names }) {
  const { t } = useWords();
  const { money, day } = useFormats();
  const org = useOrg();
  const say = useWord();
  const value = useFieldValue();
  const { said } = useSaid();
  const who = useActor();
  const fault = withoutCommands(change.error?.message ?? '');
  const shown = ['quantity', 'unitPrice', 'unitCost', 'effectiveDate', 'cancelledDate'];
  const others = Object.entries(change.fields).filter(([name]) => !shown.includes(name));
  const facts: [string, ReactNode][] = [
    [t('change.reason'), <span lang="en">{said(change.reason)}</span>],
    [t('change.formula'), <Formula text={change.formula} />],
    [t('change.cost'), <span className="num">{money(change.cost, change.currency)}</span>],
    [t('change.customer'), names.customer(change.source, change.customer_id)],
    [t('change.product'), names.product(change.source, change.product_id)],
    [t('change.subscription'), change.subscription_id],
  ];
  if (change.edited != null) {
    facts.push([t('change.edited.by'), who(change.edited.by)]);
    for (const [name, proposed] of Object.entries(change.edited.proposed)) {
      facts.push([t('change.edited.computed', { field: say('field', name) }), value(name, proposed, change.currency)]);
    }
  }
  if (change.order_id != null) facts.push([t('change.order'), change.order_id]);
  if (change.true_period != null) {
    facts.push([t('change.period'), `${day(change.true_period.start)} – ${day(change.true_period.end)}`]);
  }
  for (const [name, field] of others) {
    facts.push([say('field', name), <BeforeAfter field={field} show={(one) => value(name, one, change.currency)} />]);
  }
  // What is only counted has no task.
  if (change.role === 'quantity') {
    const lines = new URLSearchParams({ tab: 'lines', customer: change.customer_id });
    facts.push([
      t('change.role.quantity'),
      <Link to={`/o/${org}/quantities?${lines.toString()}`}>{t('run.toQuantities')}</Link>,
    ]);
  } else {
    facts.push([
      t('change.task'),
      <Link to={`/o/${org}/tasks/${encodeURIComponent(change.task_id)}`}>{t('change.toTask')}</Link>,
    ]);
  }
  if (change.addition_id != null) {
    facts.push([
      t('change.addition'),
      <Link to={`/o/${org}/additions/${change.addition_id}`}>
        {t('change.explain', { id: change.addition_id })}
      </Link>,
    ]);
  }
  return (
    <Box className="why">
      {change.error != null && (
        <Box mb="xs">
          <Text size="sm" fw={600} className="loss">
            {say('code', change.error.code)} <Code>{change.error.code}</Code>
          </Text>
          {fault !== '' && (
            <Text size="sm" lang="en">
              {said(fault)}
            </Text>
          )}
          {change.error.their_words != null && (
            <Text size="sm">
              {t('problem.theirs')}: <q>{change.error.their_words}</q>
            </Text>
          )}
          <Text size="sm" c="dimmed">
            {t('problem.whatToDo')}: {say('fix', change.error.code)}
          </Text>
        </Box>
      )}
      <Facts facts={facts} />
    </Box>
  );
}

/** How an amount is computed; the few words of it in the reader's language. */
export function Formula({ text }: { text: string }) {
  const { t } = useWords();
  const { days } = useSaid();
  const { decimals } = useFormats();
  const shown = days(decimals(text)).replace(/\blast billed day\b/g, t('formula.lastDay'));
  return <span className="formula">{shown}</span>;
}

/** Names and values, in two columns. */
export function Facts({ facts }: { facts: [string, ReactNode][] }) {
  return (
    <dl className="facts">
      {facts.map(([name, value], at) => (
        <Fragment key={`${at} ${name}`}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </Fragment>
      ))}
    </dl>
  );
}
