// A number as its reader writes it: with a comma where that is the sign. Outside it is decimal text with a point.
import { TextInput, type TextInputProps } from '@mantine/core';
import { useMemo, useState } from 'react';
import { useWords } from '../i18n';

export function DecimalInput(
  props: Omit<TextInputProps, 'value' | 'onChange'> & {
    value: string;
    setValue: (value: string) => void;
    whole?: boolean;
  },
) {
  const { value, setValue, whole = false, ...rest } = props;
  const { locale } = useWords();
  const point = useMemo(() => new Intl.NumberFormat(locale).format(1.5).charAt(1), [locale]);
  const [text, setText] = useState(value.replace('.', point));
  return (
    <TextInput
      inputMode={whole ? 'numeric' : 'decimal'}
      autoComplete="off"
      {...rest}
      value={text}
      onChange={(event) => {
        setText(event.currentTarget.value);
        setValue(event.currentTarget.value.trim().replace(point, '.'));
      }}
    />
  );
}
