// The name of a copy in the browser: the app's, not that of the address by which its server is reached now.

import { joined } from './keeper.js';
import { attempt, within } from './platform.js';
import { open, returned, wholeOf } from './replica.js';
import { indexedDbStorage } from './storage/indexeddb.js';

/** @import { Keeper } from './keeper.js' */
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
  const names = listing ? await within(platform, LIST_MS, listing, 'late').then((all) => all.map((one) => one.name ?? ''), () => []) : [];
  // Two servers on one page are two copies.
  const isTaken = hasDatabase && (inUse.get(name) ?? api) !== api;
  const chosen = isTaken || (hasDatabase && !listing) || (names.includes(old) && !names.includes(name)) ? old : name;
  if (chosen === name) inUse.set(name, api);
  const others = isTaken ? [] : names.filter((one) => one !== chosen && /^ryzed https?:/.test(one) && one === named(one.split(' ')[1]));
  return { name: chosen, others };
}

/**
 * Takes over what is kept under other addresses: the edits of the same person and life of the database, and the whole of
 * the newest for a copy that is empty. What is in use, or somebody else's, stays.
 * @param {Platform} platform @param {string[]} names @param {Keeper} keeper
 */
export async function takeOver({ locks }, names, keeper) {
  for (const name of names) {
    await locks?.request(name, { ifAvailable: true }, async (lock) => {
      const kept = lock && await indexedDbStorage(name).load();
      if (!kept) return;
      const { cursor, meta, queue } = keeper.copy;
      const isOurs = (meta.user ?? kept.meta.user) === (kept.meta.user ?? meta.user) && (cursor ?? kept.cursor)?.epoch === (kept.cursor ?? cursor)?.epoch;
      if (!isOurs) return;
      const whole = cursor ? {} : { ...wholeOf(open(kept)), meta: { ...meta, ...kept.meta } };
      if (await keeper.keep({ ...whole, queue: joined(returned(kept.queue), queue) })) indexedDB.deleteDatabase(name);
    });
  }
}
