// The person's token: from the address's fragment or the form, kept for this tab only.

import { read, write } from './local-storage.js';

const KEY = 'ryzed-demo-token';

/** Keeps `token` until the tab closes. */
export const keepToken = (token) => write('sessionStorage', KEY, token);

/** The token kept for this tab. */
export const keptToken = () => read('sessionStorage', KEY);

/** The token in the fragment, if any, which then leaves the address bar and the history. */
export function tokenInAddress() {
  const given = new URLSearchParams(location.hash.slice(1)).get('token');
  if (given) history.replaceState(null, '', location.pathname);
  return given;
}

/** The person a token names, or null when it is none. Only shown on the page; the server alone judges tokens. */
export function subjectOf(token) {
  if (!/^[\w-]+\.[\w-]+\.[\w-]+$/.test(token ?? '')) return null;
  try {
    return JSON.parse(atob(token.split('.')[1].replaceAll('-', '+').replaceAll('_', '/'))).sub ?? null;
  } catch {
    return null;
  }
}
