// Copies that turn up beside the one in use: under another address of the server, or in a storage that could not be read before.

import { missing } from './queue.js';
import { open, returned, wholeOf } from './replica.js';
import { indexedDbStorage } from './storage/indexeddb.js';

/** @import { Persister } from './persister.js' */
/** @import { Copy, Edit, Kept, Patch, Platform } from './types.js' */

/**
 * Takes over what is kept under other addresses: the edits of the same person and life of the database, and the whole of
 * the newest for a copy that is empty. What is in use, or somebody else's, stays.
 * @param {Platform} platform @param {string[]} names @param {Persister} persister
 */
export async function takeOver({ locks }, names, persister) {
  for (const name of names) {
    await locks?.request(name, { ifAvailable: true }, async (lock) => {
      const kept = lock && await indexedDbStorage(name).load();
      if (!kept) return;
      const { cursor, meta, queue } = persister.copy;
      const isOurs = (meta.user ?? kept.meta.user) === (kept.meta.user ?? meta.user) && (cursor ?? kept.cursor)?.epoch === (kept.cursor ?? cursor)?.epoch;
      if (!isOurs) return;
      const whole = cursor ? {} : { ...wholeOf(open(kept)), meta: { ...meta, ...kept.meta } };
      if (await persister.keep({ ...whole, queue: joined(returned(kept.queue), queue) })) indexedDB.deleteDatabase(name);
    });
  }
}

/** What a copy becomes whose storage could be read only now: of the two copies the one that was synced last counts, of the edits all.
 * @param {Copy} copy @param {Kept | null} kept @returns {Patch}
 */
export function merged(copy, kept) {
  const old = open(kept);
  const { user, deviceId, life } = old.meta;
  if (user && copy.meta.user && user !== copy.meta.user) throw new Error('What is stored here is another person’s.');
  const meta = { ...old.meta, ...copy.meta, deviceId: deviceId ?? copy.meta.deviceId, life: life ?? copy.meta.life };
  const isOlder = copy.cursor || copy.staged;
  // Tables that stay in storage can be read from now on.
  if (!isOlder) Object.assign(copy, { rows: old.rows, lazy: old.lazy });
  return { ...wholeOf(isOlder ? copy : old), queue: joined(old.queue, copy.queue, old.meta.judged), meta };
}

/** All edits of the two queues, those that are in both as they are in the second.
 * @param {Edit[]} queue @param {Edit[]} other @param {Record<string, unknown>} [judged] Calls that have their verdict
 */
function joined(queue, other, judged) {
  const also = new Map(other.map((edit) => [edit.mutation_id, edit]));
  return [...queue.map((edit) => also.get(edit.mutation_id) ?? edit), ...missing(queue, judged, other)];
}
