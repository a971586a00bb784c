// Badges of alerts, and the way to a ticket.
import { Anchor, Badge, Text, type MantineColor } from '@mantine/core';
import { IconExternalLink } from '@tabler/icons-react';
import { useWords } from '../../i18n';
import { useMay, useOrg } from '../../session';
import { useWord } from '../../ui/Badges';
import { useConnections } from '../connections/data';
import { ticketAddress, type Alert } from './data';

const STATES: Record<string, MantineColor> = { open: 'red', acknowledged: 'cyan', cleared: 'green' };
const SEVERITIES: Record<string, MantineColor> = { critical: 'red', error: 'orange', warning: 'yellow', info: 'gray' };

function Mark({ family, word, colors }: { family: string; word: string; colors: Record<string, MantineColor> }) {
  const say = useWord();
  return (
    <Badge color={colors[word] ?? 'gray'} variant="light" tt="none" fw={500} radius="sm" className="badge">
      {say(family, word)}
    </Badge>
  );
}

export const AlertState = ({ state }: { state: string }) => <Mark family="alerts.state" word={state} colors={STATES} />;
export const AlertSeverity = ({ severity }: { severity: string }) => (
  <Mark family="alerts.severity" word={severity} colors={SEVERITIES} />
);

/** The number of a ticket; where the site is known, the way to it. */
export function TicketLink({ ticket }: { ticket: number }) {
  return useMay('connections.read') ? <Known ticket={ticket} /> : <Plain ticket={ticket} />;
}

function Plain({ ticket }: { ticket: number }) {
  const { t } = useWords();
  return <span>{t('alerts.ticket', { id: ticket })}</span>;
}

function Known({ ticket }: { ticket: number }) {
  const { t } = useWords();
  const found = useConnections(useOrg());
  const address = ticketAddress(found.data?.items[0], ticket);
  if (address === null) return <Plain ticket={ticket} />;
  return (
    <Anchor href={address} target="_blank" rel="noreferrer" size="sm">
      {t('alerts.ticket', { id: ticket })} <IconExternalLink size={13} aria-hidden />
      <span className="hidden"> {t('alerts.ticket.outside')}</span>
    </Anchor>
  );
}

/** The ticket of an alert and how it stands. */
export function TicketCell({ alert }: { alert: Alert }) {
  const { t } = useWords();
  const say = useWord();
  const { ticket, hold } = alert;
  return (
    <>
      {ticket == null ? t('alerts.ticket.none') : <TicketLink ticket={ticket.ticket_id} />}
      {ticket != null && (
        <Text size="xs" c="dimmed" component="span" display="block">
          {t(ticket.deleted ? 'alerts.ticket.deleted' : ticket.closed ? 'alerts.ticket.closed' : 'alerts.ticket.open', {
            who: ticket.closed_by ?? '',
          })}
        </Text>
      )}
      {hold != null && (
        <Text size="xs" component="span" display="block">
          {t('alerts.waits', { why: say('alerts.hold', hold.why) })}
        </Text>
      )}
    </>
  );
}
