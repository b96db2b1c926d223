// A copy that lives as long as the page or process does. Rows and edits are never changed in place, so it holds them as they are.

import { applyPatch, open, wholeOf } from '../replica.js';

/** @import { Kept, Storage } from '../types.js' */

/** @returns {Storage} */
export function memoryStorage() {
  let copy = open();
  return {
    load: async () => {
      const { rows, queue, cursor, meta } = /** @type {any} */ (wholeOf(copy));
      return /** @type {Kept} */ ({ rows: rows.map((/** @type {any[]} */ [table, , row]) => [table, row]), queue, cursor, meta });
    },
    commit: async (patches) => patches.forEach((patch) => applyPatch(copy, patch)),
    clear: async () => void (copy = open()),
  };
}
