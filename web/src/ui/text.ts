/** The API's reasons begin small and without a full stop. */
export function sentence(text: string): string {
  const first = text.charAt(0).toLocaleUpperCase() + text.slice(1);
  return first === '' || /[.!?]$/.test(first) ? first : `${first}.`;
}

/** A day by itself: no part of an id, and no beginning of an instant. */
const DAY = /(?<![\w-])\d{4}-\d{2}-\d{2}(?![\w-])/g;

/** A text of the API with its days as the reader writes them. What stands between backticks is a name and stays. */
export function withDays(text: string, day: (date: string) => string): string {
  return text
    .split(/(`[^`]*`)/)
    .map((part) => (part.startsWith('`') ? part : part.replace(DAY, (date) => day(date))))
    .join('');
}
