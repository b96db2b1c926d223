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
 * @property {string} [api] Where the server is
 * @property {(patch: Patch) => Promise<unknown>} keep Memory has it at once, storage when the promise ends
 * @property {(body: object) => Promise<Page>} post
 * @property {(edit: Edit, result: Result) => void} rejected
 * @property {(conflict: Conflict) => void} collided
 * @property {(judged: [Edit, Result][]) => unknown} [settled]
 * @property {(copy: Copy) => boolean} [isCurrent] Whether it is still the copy
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
  // At another address another server may be: it gets no edit before that is known.
  let isElsewhere = Boolean(copy.cursor && copy.meta.api && copy.meta.api !== device.api);
  full = !isElsewhere && (await retable(device)) || full;
  /** @type {SyncSummary} */
  const summary = { totalChanges: 0, conflicts: [], rejected: [] };
  let size = BATCH;
  /** The last refusal of a request, and how many edits it had. @type {{fault: Failure, of: number} | null} */
  let refusal = null;
  if (full) device.keep({ staged: null });
  for (let more = !ifNeeded; more || copy.behind || batch(copy.queue, 1, device.now()).length; ) {
    const edits = isElsewhere ? [] : batch(copy.queue, size, device.now());
    const { aside, body } = request(copy, edits, { full, digest, tables });
    // Stored before it leaves: after a crash these must go out again as they are.
    await device.keep({ queue: markSent(copy.queue, edits), behind: true });
    /** @type {Page} */
    let page;
    try {
      page = await device.post(body);
    } catch (fault) {
      if (!(fault instanceof Failure && fault.isRefusal && edits.length)) throw fault;
      // One edit spoils the request for all. Is it an edit at all? A request without any tells; then halve until it is found.
      size = refusal ? edits.length >> 1 : 0;
      refusal = { fault, of: edits.length };
      continue;
    }
    if (!(device.isCurrent?.(copy) ?? true)) throw new Failure('The copy was loaded anew meanwhile.', { loss: { code: 1006 } });
    if (isElsewhere && page.reset) (await import('./more.js')).giveBack(device, copy.queue.filter(({ done }) => !done), summary);
    isElsewhere = false;
    if (device.api && copy.meta.api !== device.api) device.keep({ meta: { ...copy.meta, api: device.api } });
    if (refusal && !size) {
      if (refusal.of === 1) page = { ...page, results: batch(copy.queue, 1, device.now()).map((edit) => refused(edit, /** @type {any} */ (refusal).fault)) };
      size = refusal.of === 1 ? BATCH : refusal.of >> 1;
    } else size = Math.min(BATCH, size * 2);
    if (size === BATCH) refusal = null;
    const judged = new Set(page.results.map(({ mutation_id }) => mutation_id));
    const waiting = edits.filter(({ mutation_id }) => !judged.has(mutation_id));
    if (waiting.length && !page.stopped?.length) throw new Failure('The server left edits unjudged.', { loss: { code: 1011 } });
    page = { ...page, results: [...page.results.map((result) => (isPassing(result) ? { ...result, status: /** @type {const} */ ('later') } : result)), ...waiting.map(later)] };
    const verdicts = judge(device, page, summary);
    // Not waited for: a crash before it is stored costs a download, and the next upload waits in its line.
    device.keep(answered(copy, page, { aside, full, asked: body.cursor, tables, now: device.now() }));
    device.settled?.(verdicts);
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

/** What becomes of an edit that the server does not judge as long as a table is stopped. @param {Edit} edit @returns {Result} */
const later = ({ mutation_id, table, data }) => ({ mutation_id, status: 'later', table, id: data.id });

/** Whether the edit is to be sent again later. @param {Result} result */
const isPassing = ({ status, errors = [] }) => (status === 'rejected' ? errors.length > 0 && errors.every(({ code }) => PASSING.includes(code))
  : !['applied', 'merged', 'conflict'].includes(status));
/** What a refusal says of the moment, not of the edit. */
const PASSING = ['in_future', 'unavailable', 'stopped', 'limit'];

/** @param {Edit} edit @param {Pick<Failure, 'message' | 'errors'>} fault @returns {Result} */
const refused = ({ mutation_id, table, data }, { message, errors }) => ({
  mutation_id, table, id: data.id, status: 'rejected', errors: errors.length ? errors : [{ field: '', code: 'refused', message }],
});

/** Reports what became of the uploads. @param {Device} device @param {Page} page @param {SyncSummary} summary @returns {[Edit, Result][]} */
function judge({ copy, rejected, collided }, { results, conflicts, total_changes }, summary) {
  summary.totalChanges += total_changes;
  const waiting = new Map(results.length + conflicts.length ? copy.queue.filter(({ done }) => !done).map((edit) => [edit.mutation_id, edit]) : []);
  /** @type {[Edit, Result][]} */
  const verdicts = [];
  for (const result of results) {
    const edit = waiting.get(result.mutation_id);
    if (!edit || result.status === 'later') continue;
    verdicts.push([edit, result]);
    if (result.status !== 'rejected') continue;
    summary.rejected.push({ ...result, edit });
    rejected(edit, result);
  }
  for (const conflict of conflicts) {
    // An edit that goes along with its follower has been reported.
    if (!waiting.has(conflict.mutation_id)) continue;
    summary.conflicts.push(conflict);
    collided(conflict);
  }
  return verdicts;
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
