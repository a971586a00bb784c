// What somebody typed as a number, read by the signs of their language. In German 1.000 is a thousand: a point that is left
// standing would make it one.
const OTHER_SPACES = /[\s\u00a0\u202f]/;

interface Signs {
  point: string;
  /** Whatever groups the thousands: the sign of the locale, and what its readers type in its place. */
  groups: readonly string[];
}

export function signsOf(locale: string): Signs {
  const parts = new Intl.NumberFormat(locale, { useGrouping: true }).formatToParts(1_234_567.5);
  const sign = (type: string) => parts.find((part) => part.type === type)?.value;
  const point = sign('decimal') ?? '.';
  const group = sign('group') ?? ',';
  const groups = [group];
  // Where the decimal sign is a comma a point can only group; nobody has a narrow space or a ’ on the keyboard.
  if (point === ',') groups.push('.');
  if (OTHER_SPACES.test(group)) groups.push(' ', '\u00a0', '\u202f');
  if (group === '’' || group === "'") groups.push('’', "'");
  return { point, groups: [...new Set(groups)] };
}

/** The digits before the decimal sign without their groups; null where the groups are not whole. */
function ungrouped(whole: string, groups: readonly string[], locale: string): string | null {
  const used = groups.filter((sign) => whole.includes(sign));
  const [sign] = used;
  if (sign === undefined) return whole;
  if (used.length > 1) return null;
  const parts = whole.split(sign);
  const [first = '', ...others] = parts;
  const digits = parts.join('');
  const inThrees = first.length >= 1 && first.length <= 3 && others.every((part) => part.length === 3);
  // Some locales have other groups, such as 12,34,567.
  const asWritten = () => new Intl.NumberFormat(locale).format(digits as `${number}`) === whole;
  return /^\d+$/.test(digits) && (inThrees || asWritten()) ? digits : null;
}

/** As decimal text with a point, empty where nothing was typed; null where it is no number in this locale. */
export function readDecimal(typed: string, locale: string): string | null {
  const text = typed.trim().replace(/^\u2212/, '-');
  if (text === '') return '';
  const { point, groups } = signsOf(locale);
  const unsigned = text.replace(/^[+-]/, '');
  const [before = '', after, ...more] = unsigned.split(point);
  if (more.length > 0) return null;
  const whole = ungrouped(before, groups, locale);
  if (whole === null || !/^\d*$/.test(whole) || !/^\d*$/.test(after ?? '') || `${whole}${after ?? ''}` === '') return null;
  const part = after === undefined || after === '' ? '' : `.${after}`;
  return `${text.startsWith('-') ? '-' : ''}${whole === '' ? '0' : whole}${part}`;
}
