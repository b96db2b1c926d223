// An address that answers with redirects.

import { within } from './platform.js';
import { MARK, PATIENCE_MS } from './call.js';

/** @import { Platform } from './types.js' */

/**
 * The address that a redirect leads to, found out without a token and without anything of the person's.
 * @param {Platform} platform @param {string} api
 * @returns {Promise<{to?: string, why: string}>} `to` if that is on the same host, else why not
 */
export async function moved(platform, api) {
  const answer = await within(platform, PATIENCE_MS, platform.fetch(`${api}/health`, { credentials: 'omit' })).catch(() => null);
  const to = answer?.url?.replace(/\/health$/, '') ?? '';
  const [from, there] = [api, to].map((url) => /^(https?):\/\/(\[.*?\]|[^/:?#]*)/.exec(url));
  const isOurs = answer?.ok && (answer.headers.has(MARK) || (await answer.json().catch(() => ({}))).service === 'realtime-sync');
  const isSafe = there && from?.[2] === there[2] && (from[1] === 'http' || there[1] === 'https');
  if (isOurs && isSafe && to !== api) return { to, why: '' };
  return { why: to && to !== api ? `The server’s address leads to ${to}. Nothing was sent there.` : 'The server’s address leads elsewhere. Nothing was sent there.' };
}
