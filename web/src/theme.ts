import { createTheme, type CSSVariablesResolver } from '@mantine/core';

const FONT = "'Inter Variable', system-ui, -apple-system, 'Segoe UI', sans-serif";

export const theme = createTheme({
  fontFamily: FONT,
  headings: {
    fontFamily: FONT,
    fontWeight: '600',
    sizes: {
      h1: { fontSize: '1.5rem', lineHeight: '1.3' },
      h2: { fontSize: '1.0625rem', lineHeight: '1.4' },
      h3: { fontSize: '0.9375rem', lineHeight: '1.4' },
    },
  },
  primaryColor: 'cyan',
  // White on it is read easily in both schemes.
  primaryShade: { light: 9, dark: 9 },
  defaultRadius: 'md',
  cursorType: 'pointer',
  respectReducedMotion: true,
  components: {
    // Text on a tint keeps the contrast of text.
    Alert: { styles: { title: { color: 'var(--mantine-color-text)' } } },
    Button: { defaultProps: { size: 'sm' } },
    Card: { defaultProps: { withBorder: true, padding: 'lg' } },
    // The placeholder for the first focus is nothing that a menu may hold.
    Menu: { defaultProps: { withInitialFocusPlaceholder: false } },
    Modal: { defaultProps: { centered: true } },
  },
});

/** Quiet text is still text: it keeps a contrast of at least 4.5 to its ground. */
export const variables: CSSVariablesResolver = () => ({
  variables: {},
  light: {
    '--mantine-color-dimmed': '#5a6169',
    '--mantine-color-error': '#c92a2a',
    '--mantine-color-placeholder': '#6b7280',
    '--mantine-color-body': '#ffffff',
    '--mantine-color-cyan-light': '#e3f4f7',
    '--mantine-color-cyan-light-hover': '#d3edf2',
    '--mantine-color-cyan-light-color': '#0a5a68',
    '--trueup-ground': '#f6f7f8',
    '--trueup-hover': '#f8fafb',
    '--trueup-active': '#e3f4f7',
    '--trueup-active-text': '#0a5a68',
    '--trueup-line': '#e3e6e9',
    '--trueup-gain': '#1f6b3a',
    '--trueup-loss': '#a61e1e',
  },
  dark: {
    '--mantine-color-dimmed': '#a6acb3',
    '--mantine-color-error': '#ff8787',
    '--mantine-color-placeholder': '#9299a1',
    '--mantine-color-body': '#1b1d20',
    '--mantine-color-cyan-light': '#17333a',
    '--mantine-color-cyan-light-hover': '#1d414a',
    '--mantine-color-cyan-light-color': '#99e9f2',
    '--trueup-ground': '#141517',
    '--trueup-hover': '#202327',
    '--trueup-active': '#17333a',
    '--trueup-active-text': '#99e9f2',
    '--trueup-line': '#34373b',
    '--trueup-gain': '#69db7c',
    '--trueup-loss': '#ff9b9b',
  },
});
