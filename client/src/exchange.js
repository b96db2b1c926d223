// One exchange with the server over `POST /sync`: uploads what waits, downloads until nothing more comes, and mends what
// the digest shows to be broken. What an answer means is decided in `replica.js`.

import { batch, markSent } from './queue.js';
import { answered, caughtUp, damaged, gathered, repaired, request, retabled } from './replica.js';
import { Failure } from './server.js';

/** @import { Conflict, Copy, Edit, Meta, Page, Patch, Result, SyncSummary } from './types.js' */

/** Well under the server's limit for one request. */
const BATCH = 500;

/**
 * @typedef {object} Device
 * @property {Copy} copy
 * @property {string[]} tables
 * @property {(patch: Patch) => Promise<void>} keep Memory has it at once, storage when the promise ends
 * @property {(body: object) => Promise<Page>} post
 * @property {(edit: Edit, result: Result) => void} rejected
 * @property {(conflict: Conflict) => void} collided
 * @property {() => void} replay Takes the live messages that waited
 * @property {() => number} now
 */

/**
 * @param {Device} device
 * @param {{full?: boolean, digest?: boolean, ifNeeded?: boolean}} how
 * @returns {Promise<SyncSummary>}
 */
export async function exchange(device, { full, digest, ifNeeded }) {
  const { copy, tables } = device;
  full = (await retable(device)) || full;
  /** @type {SyncSummary} */
  const summary = { totalChanges: 0, conflicts: [], rejected: [] };
  let size = BATCH;
  /** @type {Failure | null} */
  let refusal = null;
  if (full) device.keep({ staged: null });
  for (let more = !ifNeeded; more || copy.behind || batch(copy.queue, 1).length; ) {
    const edits = batch(copy.queue, size);
    const { aside, body } = request(copy, edits, { full, digest, tables });
    // Stored before it leaves: after a crash these must go out again as they are.
    await device.keep({ queue: markSent(copy.queue, edits), behind: true });
    /** @type {Page} */
    let page;
    try {
      page = await device.post(body);
    } catch (fault) {
      if (!(fault instanceof Failure && fault.isRefusal && edits.length)) throw fault;
      // One edit spoils the request for all: halve until it is found. Without any, it shows whether an edit it is at all.
      refusal = fault;
      size = edits.length >> 1;
      continue;
    }
    if (refusal && !size) {
      page = { ...page, results: batch(copy.queue, 1).map((edit) => refused(edit, /** @type {Failure} */ (refusal))) };
      refusal = null;
      size = BATCH;
    }
    const judged = new Set(page.results.map(({ mutation_id }) => mutation_id));
    if (!edits.every(({ mutation_id }) => judged.has(mutation_id))) throw new Failure('The server left edits unjudged.', { loss: { code: 1011 } });
    judge(device, page, summary);
    // Not waited for: a crash before it is stored costs a download, and the next upload waits in its line.
    device.keep(answered(copy, page, { aside, full, asked: body.cursor, tables }));
    more = copy.staged !== null;
    if (more) continue;
    full = false;
    // Before the live messages that waited: the digest does not know them.
    if (page.digest) await repair(device, page.digest);
    digest = false;
    device.replay();
  }
  return summary;
}

/** @param {Edit} edit @param {Failure} fault @returns {Result} */
const refused = ({ mutation_id, table, data }, { message, errors }) => ({
  mutation_id, table, id: data.id, status: 'rejected', errors: errors.length ? errors : [{ field: '', code: 'refused', message }],
});

/** Reports what became of the uploads. @param {Device} device @param {Page} page @param {SyncSummary} summary */
function judge({ copy, rejected, collided }, { results, conflicts, total_changes }, summary) {
  summary.totalChanges += total_changes;
  for (const result of results) {
    const edit = copy.queue.find(({ mutation_id, done }) => mutation_id === result.mutation_id && !done);
    if (!edit || result.status !== 'rejected') continue;
    summary.rejected.push({ ...result, edit });
    rejected(edit, result);
  }
  for (const conflict of conflicts) {
    // An edit that goes along with its follower has been reported.
    if (!copy.queue.some(({ mutation_id, done }) => mutation_id === conflict.mutation_id && !done)) continue;
    summary.conflicts.push(conflict);
    collided(conflict);
  }
}

/** Pulls the damaged tables anew. @param {Device} device @param {import('./types.js').Digest} digest */
async function repair(device, digest) {
  const { copy, keep, now } = device;
  const owed = copy.behind;
  for (const table of damaged(copy, digest, now())) {
    await whole(device, table, (meta) => ({ ...meta, repaired: { ...meta.repaired, [table]: now() } }));
  }
  // Only now: what was live while they were stored must wait behind what waited before.
  keep(caughtUp(copy, owed));
}

/** Other tables than the last time: drops those that are no longer copied, pulls the new ones. Answers whether everything
 * has to be pulled. @param {Device} device @returns {Promise<boolean>}
 */
async function retable(device) {
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
  await keep({ ...repaired(table, found ?? new Map()), meta: noted(copy.meta) });
}
