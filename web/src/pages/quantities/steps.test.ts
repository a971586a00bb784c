import { expect, it } from 'vitest';
import { formatsOf } from '../../format';
import { wordsOf } from '../../i18n';
import { de } from '../../i18n/de';
import { en } from '../../i18n/en';
import { stepText } from './steps';

const german = (text: string, step = 'count') =>
  stepText({ step, text, value: '0' }, wordsOf(de, 'de', () => undefined), formatsOf('de-DE'));
const english = (text: string) =>
  stepText({ step: 'count', text, value: '0' }, wordsOf(en, 'en', () => undefined), formatsOf('en-GB'));

it('tells every kind of step in German', () => {
  expect(german('Mailbox: 1040 counted 2026-04-02')).toBe('Mailbox: 1.040, gezählt am 02.04.2026');
  expect(german('Mailbox of Green Lane (c-1): 3 user counted 2026-04-02')).toBe(
    'Mailbox of Green Lane (c-1): 3 user, gezählt am 02.04.2026',
  );
  expect(german('Disk: 12.5 GB used from 2026-03-01 up to 2026-04-01, the sum of 31 records')).toBe(
    'Disk: 12,5 GB, verbraucht vom 01.03.2026 bis vor dem 01.04.2026, die Summe aus 31 Angaben',
  );
  expect(german('370370367036 / 1000000000 bytes = 370.370367 GB')).toBe(
    '370.370.367.036 geteilt durch 1.000.000.000 Byte = 370,370367 GB',
  );
  expect(german('3 + 12 = 15')).toBe('3 + 12 = 15');
  expect(german('15.5 - 1 (our own accounts) = 14.5')).toBe('15,5 - 1 (our own accounts) = 14,5');
  expect(german('2 are included: 12 remain')).toBe('2 sind enthalten: 12 bleiben');
  expect(german('370.370367 rounded up to a whole number = 371')).toBe('370,370367 aufgerundet = 371');
  expect(german('7.5 rounded to the nearest to 1 decimal = 8')).toBe('7,5 gerundet = 8');
  expect(german('3 packs of 5: 15 are billed')).toBe('3 Packungen zu 5: 15 werden berechnet');
  expect(german('2 for every 10 of 45: 9')).toBe('2 je angefangene 10 von 45: 9');
});

it('keeps names and dates that a number could be found in', () => {
  expect(english('Office 365-E3: 4 counted 2026-04-02')).toBe('Office 365-E3: 4, counted 2 Apr 2026');
  expect(english('something new of 2026-04-02')).toBe('something new of 2026-04-02');
});
