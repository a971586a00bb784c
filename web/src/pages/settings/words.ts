// What a setting is called, what its values mean, and how it is edited.
import type { Schemas } from '../../api/client';
import { useFormats } from '../../format';
import { useWords, type Key, type Words } from '../../i18n';
import { en } from '../../i18n/en';

export type Setting = Schemas['SettingDoc'];

/** What an editor offers for a setting. */
export type Control =
  | { kind: 'choice'; values: string[] }
  | { kind: 'number' | 'whole' | 'date' | 'marker' | 'cadence' | 'zone' | 'text' };

/** Groups in the order in which they are shown; a key is in the first that it begins like. */
export const GROUPS = [
  {
    id: 'prices',
    begins: [
      'price_',
      'margin_',
      'proration_by',
      'line_mode',
      'day_count',
      'change_day',
      'rounding_',
      'credits',
    ],
  },
  {
    id: 'lines',
    begins: ['quantity_change', 'cancelled_date', 'marker', 'create_missing_products', 'trim_descriptions', 'go_live'],
  },
  { id: 'brakes', begins: ['brakes.'] },
  { id: 'approval', begins: ['approval.'] },
  { id: 'schedule', begins: ['schedule.'] },
  { id: 'quantity', begins: ['quantity.'] },
  { id: 'alerts', begins: ['billing', 'alerts'] },
  { id: 'mapping', begins: ['mapping.'] },
  { id: 'notify', begins: ['notify.'] },
  { id: 'keeping', begins: ['calls.', 'observe.', 'source.', 'validation.', 'apply.', 'retention.'] },
  { id: 'other', begins: [''] },
] as const;

export type GroupId = (typeof GROUPS)[number]['id'];

export function groupOf(key: string): GroupId {
  return GROUPS.find((group) => group.begins.some((start) => key.startsWith(start)))?.id ?? 'other';
}

/** The API tells in words what is allowed; the words are stable, since documents and the command line show them too. */
export function controlOf(setting: Setting): Control {
  const { allowed } = setting;
  if (allowed.startsWith('one of ')) {
    return { kind: 'choice', values: allowed.slice('one of '.length).split(', ') };
  }
  if (allowed.startsWith('a number')) return { kind: 'number' };
  if (allowed.startsWith('a whole number')) return { kind: 'whole' };
  if (allowed.startsWith('a date')) return { kind: 'date' };
  if (allowed.includes('custom_field:')) return { kind: 'marker' };
  if (allowed.includes('hourly')) return { kind: 'cadence' };
  if (allowed.startsWith('the name of a time zone')) return { kind: 'zone' };
  return { kind: 'text' };
}

const CUSTOM = 'custom_field:';

export function captionOf(value: string): string {
  return value.startsWith(CUSTOM) ? value.slice(CUSTOM.length) : '';
}

export function cadenceWords({ t, tn, locale }: Words, value: string): string {
  const minutes = /^(\d+)m$/.exec(value);
  if (minutes !== null) return tn('cadence.minutes', parseInt(minutes[1] ?? '0', 10));
  const timed = /^(?:daily|monthly (\d{1,2}|last)) (\d{2}):(\d{2})$/.exec(value);
  if (timed !== null) {
    const [, day, hour = '0', minute = '0'] = timed;
    const at = new Date(Date.UTC(2000, 0, 1, parseInt(hour, 10), parseInt(minute, 10)));
    const time = new Intl.DateTimeFormat(locale, { timeStyle: 'short', timeZone: 'UTC' }).format(at);
    if (day === undefined) return t('cadence.daily', { time });
    return day === 'last' ? t('cadence.monthlyLast', { time }) : t('cadence.monthly', { day, time });
  }
  if (value === 'hourly') return t('cadence.hourly');
  return value === 'off' ? t('cadence.off') : value;
}

export function useSettingWords() {
  const words = useWords();
  const { day, quantity } = useFormats();
  const { t } = words;
  const known = (key: string): string | null => (key in en ? t(key as Key) : null);
  /** A value as its reader says it. */
  const value = (setting: Setting, raw: string = setting.value): string => {
    const own = known(`setting.${setting.key}.${raw}`);
    if (own !== null) return own;
    if (raw === '') return t(setting.key.startsWith('approval.') ? 'setting.noLimit' : 'setting.empty');
    const control = controlOf(setting);
    switch (control.kind) {
      case 'choice':
        return raw === 'on' || raw === 'off' ? t(`setting.${raw}`) : raw;
      case 'whole':
        return raw === '0' && setting.allowed.includes('for ever') ? t('setting.forEver') : quantity(raw);
      case 'number':
        return quantity(raw);
      case 'date':
        return day(raw);
      case 'cadence':
        return cadenceWords(words, raw);
      case 'marker':
        return raw.startsWith(CUSTOM) ? `${t('setting.marker.custom_field')}: ${captionOf(raw)}` : raw;
      default:
        return raw;
    }
  };
  return {
    value,
    label: (setting: Setting) => known(`setting.${setting.key}`) ?? setting.key,
    help: (setting: Setting) => known(`setting.${setting.key}.help`) ?? setting.meaning,
  };
}
