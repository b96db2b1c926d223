// One exchange with the server over `POST /sync`: uploads what waits, downloads until nothing more comes. What an answer means
// is decided in `replica.js`; what is done when all is not well, in `mend.js`.

import { answered, request } from './answers.js';
import { more } from './later.js';
import { Failure } from './server.js';
import { batch, markSent } from './verdicts.js';

/** @import { Conflict, Copy, Edit, Page, Patch, Result, SyncSummary } from './types.js' */

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
 * @property {() => Promise<boolean>} [stored] Ends once storage has the copy; answers whether it does
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
  if (!isElsewhere && copy.cursor && String(copy.meta.tables ?? tables) !== String(tables)) full = (await (await more()).retable(device)) || full;
  /** @type {SyncSummary} */
  const summary = { totalChanges: 0, conflicts: [], rejected: [] };
  /** @type {import('./mend.js').Search | undefined} */
  let search;
  if (full) device.keep({ staged: null });
  for (let isDue = !ifNeeded; isDue || copy.behind || batch(copy.queue, 1, device.now()).length; ) {
    const edits = isElsewhere ? [] : batch(copy.queue, search?.size ?? BATCH, device.now());
    const { aside, body } = request(copy, edits, { full, digest, tables });
    // Stored before it leaves: after a crash these must go out again as they are.
    await device.keep({ queue: markSent(copy.queue, edits), behind: true });
    /** @type {Page} */
    let page;
    try {
      page = await device.post(body);
    } catch (fault) {
      if (!(fault instanceof Failure && isRefusal(fault) && edits.length)) throw fault;
      search ??= new (await more()).Search(BATCH);
      search.refused(fault, edits[0].set ? 1 : edits.length);
      continue;
    }
    if (!(device.isCurrent?.(copy) ?? true)) throw new Failure('The copy was loaded anew meanwhile.', { loss: { code: 1006 } });
    if (isElsewhere && page.reset) (await more()).giveBack(device, copy.queue.filter(({ done }) => !done), summary);
    isElsewhere = false;
    if (device.api && copy.meta.api !== device.api) device.keep({ meta: { ...copy.meta, api: device.api } });
    if (search) page = search.passed(page, batch(copy.queue, 1, device.now()));
    if (search?.isOver) search = undefined;
    const judged = new Set(page.results.map(({ mutation_id }) => mutation_id));
    const waiting = edits.filter(({ mutation_id }) => !judged.has(mutation_id));
    if (waiting.length && !page.stopped?.length) throw new Failure('The server left edits unjudged.', { loss: { code: 1011 } });
    page = { ...page, results: [...judgedLater(page.results, Boolean(edits[0]?.set)), ...waiting.map(later)] };
    const verdicts = judge(device, page, summary);
    // Not waited for: a crash before it is stored costs a download, and the next upload waits in its line.
    device.keep(answered(copy, page, { aside, full, asked: body.cursor, tables, now: device.now() }));
    device.settled?.(verdicts);
    isDue = copy.staged !== null;
    if (isDue) continue;
    full = false;
    // Before the live messages that waited: the digest does not know them.
    if (page.digest) await (await more().catch(() => undefined))?.repair(device, page.digest);
    digest = false;
    device.replay();
  }
  return summary;
}

const AT_FAULT = [400, 413, 422];
/** What something on the way says of the moment, not of what is sent. */
const OF_THE_MOMENT = [401, 407, 408, 425, 429];

/** Whether the request itself is at fault, so that the same again would fail again. @param {Failure} fault */
const isRefusal = ({ status, isFromServer }) => (isFromServer ? AT_FAULT.includes(status) : status >= 400 && status < 500 && !OF_THE_MOMENT.includes(status));

/** Marks what is to be sent again later; of a set, all or nothing. @param {Result[]} results @param {boolean} isSet @returns {Result[]} */
function judgedLater(results, isSet) {
  const isHeldUp = (/** @type {Result} */ result) => isPassing(result) || isOthers(result);
  if (isSet && !(results.some(isPassing) && results.every(isHeldUp))) return results;
  return results.map((result) => (isSet || isPassing(result) ? { ...result, status: 'later' } : result));
}

/** What becomes of an edit that the server does not judge as long as a table is stopped. @param {Edit} edit @returns {Result} */
const later = ({ mutation_id, table, data }) => ({ mutation_id, status: 'later', table, id: data.id });

/** Whether another edit of its set is at fault. @param {Result} result */
const isOthers = ({ errors = [] }) => errors.some(({ code }) => code === 'atomic');
/** Whether the edit is to be sent again later. @param {Result} result */
const isPassing = ({ status, errors = [] }) => (status === 'rejected' ? errors.length > 0 && errors.every(({ code }) => PASSING.includes(code))
  : !['applied', 'merged', 'conflict'].includes(status));
/** What a refusal says of the moment, not of the edit. */
const PASSING = ['in_future', 'unavailable', 'stopped', 'limit'];

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
    if (![conflict, ...conflict.parts ?? []].some(({ mutation_id }) => waiting.has(mutation_id))) continue;
    summary.conflicts.push(conflict);
    collided(conflict);
  }
  // Of a set, the one at fault tells why.
  return verdicts.sort(([, one], [, other]) => Number(isOthers(one)) - Number(isOthers(other)));
}
