// A copy that lives as long as the page or process does. Rows and edits are never changed in place, so it holds them as they are.

import { applyPatch, open } from '../replica.js';

/** @import { Storage } from '../types.js' */

/** @returns {Storage} */
export function memoryStorage() {
  let copy = open();
  return {
    load: async () => ({
      rows: [...copy.rows].flatMap(([table, rows]) => [...rows.values()].map((row) => /** @type {[string, any]} */ ([table, row]))),
      queue: copy.queue, cursor: copy.cursor, meta: copy.meta,
    }),
    commit: async (patches) => patches.forEach((patch) => applyPatch(copy, patch)),
    clear: async () => void (copy = open()),
  };
}
