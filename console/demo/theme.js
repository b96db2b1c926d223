// Light or dark: as the system has it, or as the person chose.

import { read, write } from './local-storage.js';

const KEY = 'demo-theme';
const THEMES = ['auto', 'light', 'dark'];

/** The choice: `auto`, `light` or `dark`. */
export const theme = () => (THEMES.includes(read('localStorage', KEY)) ? read('localStorage', KEY) : 'auto');

/** Puts the page in the chosen colours. */
export function wear(chosen = theme()) {
  document.documentElement.dataset.theme = chosen;
  dispatchEvent(new Event('themechange'));
}

/** Goes on to the next choice. */
export function nextTheme() {
  const chosen = THEMES[(THEMES.indexOf(theme()) + 1) % THEMES.length];
  write('localStorage', KEY, chosen);
  wear(chosen);
}
