import { useFormats } from '../format';
import { useWords } from '../i18n';
import { sentence, withDays } from './text';

/** What the API says, as a page shows it: a sentence (or a formula as it is), with days as the reader writes them. */
export function useSaid(): { said: (text: string) => string; days: (text: string) => string } {
  const { day } = useFormats();
  const days = (text: string) => withDays(text, day);
  return { said: (text) => sentence(days(text)), days };
}

const AS_IF = /^(.+), as if it were (\d{4}-\d{2}-\d{2})$/;

/** Who did something, as the API names people: a name, and the day that they worked as if it were. */
export function useActor(): (actor: string) => string {
  const { t } = useWords();
  const { day } = useFormats();
  return (actor) => {
    const [, name, date] = AS_IF.exec(actor) ?? [];
    return name === undefined || date === undefined ? actor : t('actor.asIf', { name, day: day(date) });
  };
}
