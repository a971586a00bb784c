import { useFormats } from '../format';
import { sentence, withDays } from './text';

/** What the API says, as a page shows it: a sentence (or a formula as it is), with days as the reader writes them. */
export function useSaid(): { said: (text: string) => string; days: (text: string) => string } {
  const { day } = useFormats();
  const days = (text: string) => withDays(text, day);
  return { said: (text) => sentence(days(text)), days };
}
