// A number as its reader writes it: with a comma where that is the sign. Outside it is decimal text with a point.
import { TextInput, type TextInputProps } from '@mantine/core';
import { useLayoutEffect, useMemo, useRef, useState } from 'react';
import { useFormats } from '../format';
import { useWords } from '../i18n';
import { readDecimal, signsOf } from './decimal';

const EXAMPLE = '1234.5';

export function DecimalInput(
  props: Omit<TextInputProps, 'value' | 'onChange'> & {
    value: string;
    setValue: (value: string) => void;
    whole?: boolean;
  },
) {
  const { value, setValue, whole = false, error, ...rest } = props;
  const { t, locale } = useWords();
  const { quantity } = useFormats();
  const point = useMemo(() => signsOf(locale).point, [locale]);
  const [begun] = useState(() => value.replace('.', point));
  const [text, setText] = useState(begun);
  // Half a number is none yet: it is told of once it was left, or once somebody wants to go on with it.
  const [told, setTold] = useState(false);
  const field = useRef<HTMLInputElement>(null);
  const wrong =
    // What stands there unchanged is the service's own.
    text !== begun && readDecimal(text, locale) === null
      ? t('refusal.number', { value: text.trim(), example: quantity(whole ? '1234' : EXAMPLE) })
      : '';
  useLayoutEffect(() => field.current?.setCustomValidity(wrong), [wrong]);
  return (
    <TextInput
      inputMode={whole ? 'numeric' : 'decimal'}
      autoComplete="off"
      {...rest}
      ref={field}
      value={text}
      error={told && wrong !== '' ? wrong : error}
      onBlur={() => setTold(true)}
      onInvalid={(event) => {
        event.preventDefault();
        setTold(true);
        event.currentTarget.focus();
      }}
      onChange={(event) => {
        const typed = event.currentTarget.value;
        setText(typed);
        setTold(false);
        // What cannot be read here must not be read elsewhere: 1.00 is no number in German, and one for the service.
        setValue(readDecimal(typed, locale) ?? `“${typed.trim()}”`);
      }}
    />
  );
}
