// The name of a copy in the browser: the app's, not that of the address by which its server is reached now.

import { attempt, within } from './platform.js';

/** @import { Platform } from './types.js' */

const LIST_MS = 2000;
/** The servers whose copies are in use on this page. @type {Map<string, string>} */
const inUse = new Map();

/**
 * @param {Platform} platform
 * @param {{api: string, app: string, deviceId?: string, hasDatabase: boolean}} copy
 * @returns {Promise<{name: string, others: string[]}>} `others` are copies of the same device that are there under another address
 */
export async function nameOf(platform, { api, app, deviceId, hasDatabase }) {
  const named = (/** @type {string} */ which) => ['ryzed', which, deviceId].filter(Boolean).join(' ');
  // As release 0.1 named it. Where it is there it stays: a tab of that release may be open, and the app may go back to it.
  const [name, old] = [named(app), named(api)];
  const listing = hasDatabase && attempt(() => indexedDB.databases());
  const names = listing ? await within(platform, LIST_MS, listing).then((all) => all.map((one) => one.name ?? ''), () => []) : [];
  // Two servers on one page are two copies.
  const isTaken = hasDatabase && (inUse.get(name) ?? api) !== api;
  const chosen = isTaken || (hasDatabase && !listing) || (names.includes(old) && !names.includes(name)) ? old : name;
  if (chosen === name) inUse.set(name, api);
  const others = isTaken ? [] : names.filter((one) => one !== chosen && /^ryzed https?:/.test(one) && one === named(one.split(' ')[1]));
  return { name: chosen, others };
}
