// What would be written for a task: what it comes to, what one should know, and every line, which can be set by hand.
import { Alert, Box, Button, Group, Select, SimpleGrid, Stack, Text } from '@mantine/core';
import { IconAlertTriangle, IconInfoCircle } from '@tabler/icons-react';
import { useState, type ReactNode } from 'react';
import type { Names } from '../../api/names';
import { useFormats } from '../../format';
import { useWords } from '../../i18n';
import { sumOf } from '../../sum';
import { useWord } from '../../ui/Badges';
import { Formula, type Change } from '../../ui/Changes';
import { Panel } from '../../ui/Page';
import { Effect, PlanFindings, PlanLines } from '../../ui/PlanView';
import { ProblemNote } from '../../ui/Problem';
import { editable, editKey, type Agreement, type Edit, type Review } from './data';
import { EditDialog } from './EditDialog';

/** In the order in which people read a bill. */
const ROLES = ['setup', 'recurring', 'quantity', 'prorate', 'overuse', 'one_time', 'cancellation', 'refund'];

export function ReviewStep(props: {
  task: string;
  review: Review;
  prices: string;
  busy: boolean;
  error: unknown;
  /** Computes anew. */
  compute: (wish: { prices?: string; edits?: Edit[]; done?: () => void }) => void;
  otherAgreement?: () => void;
}) {
  const { t } = useWords();
  const { review, compute } = props;
  const { plan, names, agreements } = review;
  const [editing, setEditing] = useState<Change | null>(null);
  const changes: Change[] = plan.changes;
  const left = plan.left_out ?? [];
  const act = (change: Change) => {
    // An order of before is edited in its own task.
    if (change.op === 'keep' || change.task_id !== props.task) return null;
    const name = names.item(change.catalog_item_id);
    return (
      <Group gap={6}>
        {editable(change).length > 0 && (
          <Button
            size="compact-xs"
            variant="default"
            disabled={props.busy}
            onClick={() => setEditing(change)}
            aria-label={`${t('sync.edit')}: ${name}`}
          >
            {t('sync.edit')}
          </Button>
        )}
        <Button
          size="compact-xs"
          variant="subtle"
          color="gray"
          disabled={props.busy}
          onClick={() => compute({ edits: [{ key: editKey(change), leave_out: true }] })}
          aria-label={`${t('sync.leaveOut')}: ${name}`}
        >
          {t('sync.leaveOut')}
        </Button>
      </Group>
    );
  };
  return (
    <Stack gap="lg" aria-busy={props.busy}>
      <Group justify="space-between" align="flex-end" gap="sm">
        <Select
          label={t('task.prices')}
          w={230}
          allowDeselect={false}
          value={props.prices}
          disabled={props.busy}
          onChange={(value) => compute({ prices: value ?? '' })}
          data={[
            { value: '', label: t('task.prices.usual') },
            { value: 'marketplace', label: t('task.prices.marketplace') },
            { value: 'connectwise', label: t('task.prices.connectwise') },
          ]}
        />
        {props.otherAgreement !== undefined && (
          <Button variant="default" disabled={props.busy} onClick={props.otherAgreement}>
            {t('sync.agreement.other')}
          </Button>
        )}
      </Group>
      {props.error != null && editing === null && <ProblemNote error={props.error} />}
      <Warnings agreements={agreements} changes={changes} task={props.task} />
      <PlanFindings plan={plan} names={names} />
      <Amounts changes={changes} />
      <Effect plan={plan} />
      <Stack gap="sm">
        <Text component="h2" fw={600} m={0}>
          {t('plan.lines')}
        </Text>
        <PlanLines plan={plan} names={names} changes={changes} act={act} />
      </Stack>
      {left.length > 0 && (
        <LeftOut
          changes={left}
          names={names}
          busy={props.busy}
          takeIn={(change) => compute({ edits: [{ key: editKey(change), as_proposed: true }] })}
        />
      )}
      {editing !== null && (
        <EditDialog
          key={editing.key}
          change={editing}
          name={names.item(editing.catalog_item_id)}
          close={() => setEditing(null)}
          working={props.busy}
          error={props.error}
          save={(edit) => compute({ edits: [edit], done: () => setEditing(null) })}
        />
      )}
    </Stack>
  );
}

function LeftOut(props: { changes: Change[]; names: Names; busy: boolean; takeIn: (change: Change) => void }) {
  const { t } = useWords();
  const { money } = useFormats();
  const say = useWord();
  return (
    <Panel title={t('sync.leftOut')} flush>
      <Text size="sm" c="dimmed" px="lg" pb="xs">
        {t('sync.leftOut.detail')}
      </Text>
      {props.changes.map((change) => (
        <Group key={change.key} className="line" px="lg" py="sm" justify="space-between" gap="sm">
          <Box>
            <Text size="sm" fw={500}>
              {props.names.item(change.catalog_item_id)}
            </Text>
            <Text size="xs" c="dimmed">
              {say('change.op', change.op)} · {say('change.role', change.role)} · {money(change.amount, change.currency)}
            </Text>
          </Box>
          <Button
            size="xs"
            variant="light"
            disabled={props.busy}
            onClick={() => props.takeIn(change)}
            aria-label={`${t('sync.takeIn')}: ${props.names.item(change.catalog_item_id)}`}
          >
            {t('sync.takeIn')}
          </Button>
        </Group>
      ))}
    </Panel>
  );
}

/** What one should look at twice: agreements that prorate by themselves, invoiced days, orders that come first. */
function Warnings(props: { agreements: Agreement[]; changes: Change[]; task: string }) {
  const { t } = useWords();
  const { day } = useFormats();
  const { agreements, changes, task } = props;
  const notes: ReactNode[] = [];
  for (const one of agreements) {
    if (one.prorates) {
      notes.push(
        <Note key={`prorates ${one.agreement_id}`} title={t('sync.prorates', { name: one.name })} grave>
          {t('sync.prorates.detail')}
        </Note>,
      );
    }
    const next = nextInvoice(one, changes);
    const early = changes.some((change) => {
      const first = change.true_period?.start ?? change.fields['effectiveDate']?.to;
      return change.agreement_id === one.agreement_id && change.op === 'create' && first != null && next != null && first < next;
    });
    if (next != null && early) {
      const last = new Date(`${next}T00:00:00Z`);
      last.setUTCDate(last.getUTCDate() - 1);
      const title = t('sync.invoiced', { name: one.name, day: day(last.toISOString().slice(0, 10)) });
      notes.push(
        <Note key={`invoiced ${one.agreement_id}`} title={title} grave>
          {t('sync.invoiced.detail')}
        </Note>,
      );
    }
  }
  if (changes.some((change) => change.task_id !== task)) {
    notes.push(
      <Note key="earlier" title={t('sync.earlier')}>
        {t('sync.earlier.detail')}
      </Note>,
    );
  }
  return notes;
}

/**
 * The first day that is not invoiced. The agreement is as it was last read; the lines were computed from what stands there
 * now: what is caught up begins on that day, after the days that it bills. A recurring line that begins after the days since
 * which its state holds is an ordinary one: what lies between is billed beside it.
 */
function nextInvoice(one: Agreement, changes: Change[]): string | null {
  const days = changes.flatMap((change) => {
    const first = change.fields['effectiveDate']?.to;
    const made = change.agreement_id === one.agreement_id && change.op === 'create' && change.role !== 'recurring';
    const bills = made ? change.true_period : null;
    return bills != null && first != null && first > bills.start && first >= bills.end ? [first] : [];
  });
  const known = one.next_invoice ?? '';
  const latest = [known, ...days.sort().slice(0, 1)].sort().at(-1) ?? '';
  return latest === '' ? null : latest;
}

function Note({ title, grave, children }: { title: string; grave?: boolean; children: ReactNode }) {
  return (
    <Alert
      variant="light"
      color={grave === true ? 'yellow' : 'cyan'}
      title={title}
      icon={grave === true ? <IconAlertTriangle aria-hidden /> : <IconInfoCircle aria-hidden />}
    >
      <Text size="sm">{children}</Text>
    </Alert>
  );
}

/** Set-up, recurring, parts of a period, overuse, cancellation: each with its sum and how it is computed. */
function Amounts({ changes }: { changes: Change[] }) {
  const { t } = useWords();
  const { money } = useFormats();
  const say = useWord();
  const groups = ROLES.map((role) => ({
    role,
    of: changes.filter((change) => change.role === role && change.op !== 'keep'),
  })).filter(({ of }) => of.length > 0);
  if (groups.length === 0) return null;
  return (
    <Panel title={t('sync.amounts')}>
      <SimpleGrid cols={1} spacing="sm">
        {groups.map(({ role, of }) => (
          <Box key={role}>
            <Group justify="space-between" wrap="nowrap" align="baseline">
              <Text size="sm" fw={600}>
                {say('change.role', role)}
              </Text>
              <Text size="sm" fw={600} className="num">
                {[...new Set(of.map((change) => change.currency))]
                  .map((currency) =>
                    money(sumOf(of.flatMap((c) => (c.currency === currency ? [c.amount] : []))), currency),
                  )
                  .join(' + ')}
              </Text>
            </Group>
            {of
              .filter((change) => change.formula !== '')
              .map((change) => (
                <Group key={change.change_id} justify="space-between" wrap="nowrap" align="baseline" gap="md">
                  <Text size="sm" c="dimmed" component="div">
                    <Formula text={change.formula} />
                  </Text>
                  {of.length > 1 && (
                    <Text size="sm" c="dimmed" className="num">
                      {money(change.amount, change.currency)}
                    </Text>
                  )}
                </Group>
              ))}
          </Box>
        ))}
      </SimpleGrid>
    </Panel>
  );
}
