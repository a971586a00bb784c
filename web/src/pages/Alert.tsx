// One alert: what is told of it, its ticket, and everything that happened.
import { Alert as Note, Anchor, Box, Group, Stack, Text } from '@mantine/core';
import { Link, useParams } from 'react-router';
import { useFormats } from '../format';
import { useWords } from '../i18n';
import { useMay, useOrg } from '../session';
import { useWord } from '../ui/Badges';
import { Facts } from '../ui/Changes';
import { Empty, Page, Panel, Waiting } from '../ui/Page';
import { ProblemNote, sentence } from '../ui/Problem';
import { LogTable } from './alerts/Activity';
import { useAlert } from './alerts/data';
import { AlertSeverity, AlertState, TicketLink } from './alerts/Marks';
import { useAlertWords } from './alerts/words';

type Found = NonNullable<ReturnType<typeof useAlert>['data']>;

export default function AlertPage() {
  const { alert: id = '' } = useParams();
  const { t } = useWords();
  const org = useOrg();
  const found = useAlert(id);
  return (
    <Page
      title={found.data === undefined ? t('alerts.one') : sentence(found.data.alert.summary)}
      lead={
        <Anchor component={Link} to={`/o/${org}/alerts`} size="sm">
          {t('alerts.back')}
        </Anchor>
      }
    >
      {found.data !== undefined ? (
        <Shown found={found.data} />
      ) : found.error === null ? (
        <Box className="panel">
          <Waiting rows={8} />
        </Box>
      ) : (
        <ProblemNote error={found.error} retry={() => void found.refetch()} />
      )}
    </Page>
  );
}

function Shown({ found }: { found: Found }) {
  const { t } = useWords();
  const say = useWord();
  const { alert, history, names } = found;
  return (
    <Stack gap="lg">
      {alert.hold != null && (
        <Note variant="light" color="yellow" title={t('alerts.waits', { why: say('alerts.hold', alert.hold.why) })}>
          <Text size="sm" lang="en">
            {sentence(alert.hold.words)}
          </Text>
        </Note>
      )}
      <What found={found} />
      <Ticket found={found} />
      <Panel title={t('alerts.history')} flush>
        <LogTable
          rows={history}
          names={names}
          alone
          empty={<Empty title={t('alerts.history.none')} />}
        />
      </Panel>
    </Stack>
  );
}

function What({ found: { alert, names } }: { found: Found }) {
  const { t } = useWords();
  const org = useOrg();
  const words = useAlertWords();
  const { instant, count } = useFormats();
  const mayRule = useMay('settings.read');
  const rules = `/o/${org}/alerts?${new URLSearchParams({ tab: 'rules', kind: alert.kind }).toString()}`;
  return (
    <Panel
      title={t('alerts.what')}
      aside={
        mayRule && (
          <Anchor component={Link} to={rules} size="sm">
            {t('alerts.toRule')}
          </Anchor>
        )
      }
    >
      <Facts
        facts={[
          [
            t('tasks.col.state'),
            <Group key="state" gap="xs" component="span">
              <AlertState state={alert.state} />
              <AlertSeverity severity={alert.severity} />
            </Group>,
          ],
          [t('alerts.kind'), words.kind(alert.kind)],
          ...(alert.subject == null ? [] : [[t('alerts.subject'), alert.subject] as [string, string]]),
          ...(alert.customer_id === ''
            ? []
            : [[t('tasks.col.customer'), names.customer(alert.source, alert.customer_id)] as [string, string]]),
          [t('alerts.since.title'), instant(alert.opened_at)],
          ...(alert.cleared_at == null ? [] : [[t('alerts.cleared.title'), instant(alert.cleared_at)] as [string, string]]),
          ...(alert.acknowledged_by == null
            ? []
            : [[t('alerts.state.acknowledged'), alert.acknowledged_by] as [string, string]]),
          [t('alerts.repeats'), count(alert.repeats)],
          [t('alerts.cycles'), count(alert.cycle)],
          [
            t('alerts.toldBy'),
            alert.told_by.length === 0
              ? t('app.name')
              : alert.told_by
                  .map((voice) => t(voice.open ? 'alerts.voice.open' : 'alerts.voice.over', { source: voice.source === '' ? t('app.name') : voice.source, when: instant(voice.at) }))
                  .join(' · '),
          ],
        ]}
      />
      {alert.detail != null && (
        <Text size="sm" mt="sm" style={{ whiteSpace: 'pre-wrap' }}>
          {alert.detail}
        </Text>
      )}
    </Panel>
  );
}

function Ticket({ found: { alert, names } }: { found: Found }) {
  const { t } = useWords();
  const { instant } = useFormats();
  const { ticket } = alert;
  if (ticket == null) {
    return (
      <Panel title={t('alerts.col.ticket')}>
        <Text size="sm">{t('alerts.ticket.none')}</Text>
      </Panel>
    );
  }
  const others: [string, React.ReactNode][] = [];
  if (ticket.parent != null) others.push([t('alerts.ticket.parent'), <TicketLink key="parent" ticket={ticket.parent} />]);
  if (ticket.former != null) others.push([t('alerts.ticket.former'), <TicketLink key="former" ticket={ticket.former} />]);
  return (
    <Panel title={t('alerts.col.ticket')}>
      <Facts
        facts={[
          [t('alerts.ticket.number'), <TicketLink key="own" ticket={ticket.ticket_id} />],
          [
            t('tasks.col.state'),
            t(ticket.deleted ? 'alerts.ticket.deleted' : ticket.closed ? 'alerts.ticket.closed' : 'alerts.ticket.open', {
              who: ticket.closed_by ?? '',
            }),
          ],
          [t('alerts.ticket.company'), names.company(ticket.company_id)],
          [t('alerts.ticket.made'), instant(ticket.made_at)],
          ...others,
        ]}
      />
    </Panel>
  );
}
