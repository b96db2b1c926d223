// What an exchange needs when all is not well: tables that differ or are others than before, requests that are refused.

import { caughtUp, gathered } from './answers.js';
import { damaged, retabled } from './damage.js';

/** @import { Device } from './exchange.js' */
/** @import { Digest, Edit, Meta, Page, Result } from './types.js' */
/** @import { Failure } from './server.js' */

/** Pulls the damaged tables anew. @param {Device} device @param {Digest} digest */
export async function repair(device, digest) {
  const { copy, keep, now } = device;
  const owed = copy.behind;
  // Storage is asked for its sums; what comes live meanwhile is not in the digest.
  if (copy.lazy) await keep({ behind: true });
  const sums = await copy.lazy?.sums(device.stored);
  for (const table of damaged(copy, digest, now(), sums)) {
    await whole(device, table, (meta) => ({ ...meta, repaired: { ...meta.repaired, [table]: now() } }));
  }
  // Only now: what was live while they were stored must wait behind what waited before.
  keep(caughtUp(copy, owed));
}

/** Other tables than the last time: drops those that are no longer copied, pulls the new ones. Answers whether everything
 * has to be pulled. @param {Device} device @returns {Promise<boolean>}
 */
export async function retable(device) {
  const { missing, full, patch } = retabled(device.copy, device.tables);
  if (patch) await device.keep(patch);
  for (const table of missing) await whole(device, table, (meta) => ({ ...meta, tables: [...(meta.tables ?? []), table] }));
  return full;
}

/** Pulls one table from zero. @param {Device} device @param {string} table @param {(meta: Meta) => Meta} noted */
async function whole({ copy, keep, post }, table, noted) {
  let found;
  // Until its caller knows better: the other tables are as old as their cursor.
  await keep({ behind: true });
  for (let cursor, more = true; more; ) {
    const page = await post({ tables: [table], cursor, changes: [], pending_uploads: copy.queue.length });
    found = gathered(page, found);
    ({ cursor, has_more: more } = page);
  }
  // The cursor stays: it may be older, and then brings some rows once more.
  await keep({ clear: [table], rows: [...(found ?? new Map()).values()], meta: noted(copy.meta) });
}

/** The search for the one edit that spoils a request for all. */
export class Search {
  /** How many edits the next request has. Is it an edit at all? A request without any tells; then halve until it is found. */
  size = 0;
  #most;
  /** The last refusal, and how many edits the request had. @type {{fault: Failure, of: number} | null} */
  #last = null;

  /** @param {number} most Edits in a request when all is well */
  constructor(most) {
    this.#most = most;
  }

  get isOver() {
    return this.size >= this.#most;
  }

  /** @param {Failure} fault @param {number} of Edits in the request */
  refused(fault, of) {
    this.size = this.#last ? of >> 1 : 0;
    this.#last = { fault, of };
  }

  /** @param {Page} page The answer to a request that was not refused @param {Edit[]} next The edit that comes next @returns {Page} */
  passed(page, next) {
    const { fault, of } = /** @type {{fault: Failure, of: number}} */ (this.#last);
    const isFound = !this.size && of === 1;
    this.size = isFound ? this.#most : this.size * 2 || of >> 1;
    return isFound ? { ...page, results: next.map((edit) => refused(edit, fault)) } : page;
  }
}

/** @param {Edit} edit @param {Pick<Failure, 'message' | 'errors'>} fault @returns {Result} */
const refused = ({ mutation_id, table, data }, { message, errors }) => ({
  mutation_id, table, id: data.id, status: 'rejected', errors: errors.length ? errors : [{ field: '', code: 'refused', message }],
});
