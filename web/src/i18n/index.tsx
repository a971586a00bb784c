// The words of the console, in the language of its reader. Keys are typed: a text that is missing does not compile.
import { createContext, useCallback, useContext, useEffect, useMemo, useState, type ReactNode } from 'react';
import { en, type Catalogue, type Key } from './en';

export type { Key } from './en';
export type Language = 'en' | 'de';
export const LANGUAGES: Record<Language, string> = { en: 'English', de: 'Deutsch' };

type Values = Record<string, string | number>;
/** The part of a counted key before `_one` and `_other`. */
export type CountKey = Key extends infer K ? (K extends `${infer Base}_one` ? Base : never) : never;

export interface Words {
  language: Language;
  /** The reader's own locale where it is of this language, else the language's. */
  locale: string;
  t: (key: Key, values?: Values) => string;
  tn: (key: CountKey, n: number, values?: Values) => string;
  /** What is usually behind an exception code; none in English, which the API tells each cause in. */
  cause: (code: string) => string | null;
  setLanguage: (language: Language) => void;
}

const KEPT = 'trueup-language';

function keptLanguage(): Language {
  const wanted = localStorage.getItem(KEPT) ?? navigator.language;
  return wanted.startsWith('de') ? 'de' : 'en';
}

function filled(text: string, values: Values | undefined): string {
  if (values === undefined) return text;
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
}

export function localeOf(language: Language, own: readonly string[]): string {
  return own.find((locale) => locale.toLowerCase().startsWith(language)) ?? (language === 'de' ? 'de-DE' : 'en-GB');
}

type Causes = Record<string, string>;

export function wordsOf(
  catalogue: Catalogue,
  language: Language,
  setLanguage: (l: Language) => void,
  causes: Causes = {},
): Words {
  const locale = localeOf(language, navigator.languages);
  const plural = new Intl.PluralRules(language);
  const number = new Intl.NumberFormat(locale);
  return {
    language,
    locale,
    setLanguage,
    t: (key, values) => filled(catalogue[key], values),
    tn: (key, n, values) => {
      const form = plural.select(n) === 'one' ? 'one' : 'other';
      return filled(catalogue[`${key}_${form}` as Key], { n: number.format(n), ...values });
    },
    cause: (code) => causes[code] ?? null,
  };
}

const Context = createContext<Words>(wordsOf(en, 'en', () => undefined));

export function useWords(): Words {
  return useContext(Context);
}

export function LanguageProvider({ children }: { children: ReactNode }) {
  const [language, setLanguage] = useState<Language>(keptLanguage);
  const [loaded, setLoaded] = useState<{ language: Language; catalogue: Catalogue; causes: Causes } | null>(
    language === 'en' ? { language, catalogue: en, causes: {} } : null,
  );
  useEffect(() => {
    document.documentElement.lang = language;
    if (language === 'en') {
      setLoaded({ language, catalogue: en, causes: {} });
      return;
    }
    let current = true;
    void import('./de').then(({ de, causes }) => {
      if (current) setLoaded({ language, catalogue: de, causes });
    });
    return () => {
      current = false;
    };
  }, [language]);
  const choose = useCallback((wanted: Language) => {
    localStorage.setItem(KEPT, wanted);
    setLanguage(wanted);
  }, []);
  const words = useMemo(
    () => (loaded === null ? null : wordsOf(loaded.catalogue, loaded.language, choose, loaded.causes)),
    [loaded, choose],
  );
  // A blink at the first start in another language; afterwards the texts change in place.
  return words === null ? null : <Context.Provider value={words}>{children}</Context.Provider>;
}
