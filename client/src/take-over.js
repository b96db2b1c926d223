// What an earlier release, or this one, kept under another address of the server.

import { joined } from './keeper.js';
import { open, returned, wholeOf } from './replica.js';
import { indexedDbStorage } from './storage/indexeddb.js';

/** @import { Keeper } from './keeper.js' */
/** @import { Platform } from './types.js' */

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
