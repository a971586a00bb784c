// The values of a line in ConnectWise, as their reader writes them.
import { useFormats } from '../format';
import { useWords } from '../i18n';
import { useWord } from './Badges';

/** Amounts in their currency, days as days, and words for what has words. */
export function useFieldValue(): (name: string, value: string | null | undefined, currency?: string) => string {
  const { money, quantity, day } = useFormats();
  const { t } = useWords();
  const say = useWord();
  return (name, value, currency) => {
    if (value == null) return name === 'cancelledDate' ? t('change.open') : '–';
    switch (name) {
      case 'unitPrice':
      case 'unitCost':
        return currency === undefined ? value : money(value, currency);
      case 'quantity':
        return quantity(value);
      case 'effectiveDate':
      case 'cancelledDate':
        return day(value);
      case 'billCustomer':
        return say('sync.bill', value);
      case 'taxableFlag':
        return say('sync.tax', value === 'true' ? 'yes' : 'no');
      default:
        return value;
    }
  };
}
