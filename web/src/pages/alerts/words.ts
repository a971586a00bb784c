// What fields and kinds are called, and what the values of a rule mean.
import { useFormats } from '../../format';
import { useWords, type Key } from '../../i18n';
import { en } from '../../i18n/en';
import { EVERY, type RuleValue } from './data';

/** The values of a rule in the order and the groups in which they are shown. */
export const GROUPS = [
  { id: 'target', keys: ['board', 'type', 'subtype', 'item', 'priority', 'source', 'owner', 'status_new', 'status_closed', 'status_reopened'] },
  { id: 'channel', keys: ['psa', 'company', 'close_when_cleared', 'reopen_hours', 'closed_by_person', 'grace_hours', 'reopen_closed', 'cleared_before_sent'] },
  { id: 'text', keys: ['summary', 'text', 'notes', 'notify_contact', 'notify_resources', 'notify_copies'] },
  { id: 'calm', keys: ['note_minutes', 'flap_cycles', 'quiet_hours', 'quiet_zone', 'storm_tickets', 'storm_minutes', 'silent_minutes'] },
] as const;

export type GroupId = (typeof GROUPS)[number]['id'];

/** A field that came with a newer service is shown with the last group. */
export function groupOf(key: string): GroupId {
  return GROUPS.find((group) => (group.keys as readonly string[]).includes(key))?.id ?? 'calm';
}

export function useAlertWords() {
  const { t } = useWords();
  const { quantity } = useFormats();
  const known = (key: string): string | null => (key in en ? t(key as Key) : null);
  /** A kind as its reader says it; another source may tell any other. */
  const kind = (word: string): string => {
    if (word === EVERY) return t('alerts.kind.every');
    return known(`alerts.kind.${word}`) ?? (/^TU\d{4}$/.test(word) ? (known(`code.${word}`) ?? word) : word.replaceAll('_', ' '));
  };
  const value = (row: RuleValue): string => {
    const said = known(`alerts.field.${row.key}.${row.value}`);
    if (said !== null && row.value !== '') return said;
    if (row.value === '') return t(row.form === 'pick' ? 'alerts.value.board' : 'alerts.value.none');
    switch (row.form) {
      case 'switch':
        return t(row.value === 'on' ? 'setting.on' : 'setting.off');
      case 'pick':
        return row.label ?? `#${row.value}`;
      case 'number':
        return quantity(row.value);
      default:
        return row.value;
    }
  };
  return {
    kind,
    value,
    label: (row: Pick<RuleValue, 'key'>) => known(`alerts.field.${row.key}`) ?? row.key,
    help: (row: Pick<RuleValue, 'key' | 'meaning'>) => known(`alerts.field.${row.key}.help`) ?? row.meaning,
    choice: (row: Pick<RuleValue, 'key'>, word: string) =>
      known(`alerts.field.${row.key}.${word}`) ?? (word === 'on' ? t('setting.on') : word === 'off' ? t('setting.off') : word),
    severity: (word: string | null | undefined) =>
      word == null ? t('alerts.severity.every') : (known(`alerts.severity.${word}`) ?? word),
  };
}
