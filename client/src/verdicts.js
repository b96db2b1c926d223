// How edits leave the queue: which go out, and what the server's verdicts do to them. Pure: every function answers with a new
// queue.

import { uuid } from './platform.js';
import { behind, keyOf } from './queue.js';

/** @import { Edit, Result } from './types.js' */

/** An edit that the server can't take now goes out again after this. */
const LATER_MS = 30_000;
/**
 * The edits that go out next: one a row, since a later one builds on the version that the first makes; or one set.
 * @param {Edit[]} queue
 * @param {number} most Counts a set as one
 * @param {number} [now] In ms; what has to wait longer is left out, with what is behind it
 */
export function batch(queue, most, now = Infinity) {
  const busy = new Set();
  /** @type {Edit[]} */
  const found = [];
  const isFree = (/** @type {Edit} */ edit) => !busy.has(keyOf(edit)) && !(/** @type {number} */ (edit.later) > now);
  for (const edit of queue) {
    if (found.length >= most) break;
    if (edit.done || busy.has(keyOf(edit))) continue;
    const set = edit.set ? queue.filter((other) => other.set === edit.set && !other.done) : [edit];
    // A set goes by itself, whole. It waits for what is ahead, and what is behind waits for it.
    if (edit.set && found.length) break;
    if (set.every(isFree)) found.push(...set);
    if (edit.set && found.length) break;
    set.forEach((other) => busy.add(keyOf(other)));
  }
  return found;
}

/** Notes which edits go out. Stored before they do, so that a crash can't make one join what the server has seen.
 * @param {Edit[]} queue
 * @param {Edit[]} edits
 */
export function markSent(queue, edits) {
  const leaving = new Set(edits.filter(({ sent }) => !sent));
  return leaving.size ? queue.map((edit) => (leaving.has(edit) ? { ...edit, sent: true } : edit)) : queue;
}

/**
 * Takes the server's verdicts, at most one a row. A rejected edit leaves at once, which undoes it on the screen; others
 * stay visible, as `done`, until the download brings their rows. One that is to come later does so under a new id, since
 * a verdict is final for its id.
 * @param {Edit[]} queue
 * @param {Result | Result[]} results
 * @param {number} [now] In ms
 * @param {() => string} [newId]
 */
export function settle(queue, results, now = 0, newId = uuid) {
  const verdicts = new Map([results].flat().map((result) => [result.mutation_id, result]));
  /** @type {Map<string, Edit>} */
  const judged = new Map();
  const rejected = new Set();
  const put = new Map();
  for (const edit of queue) {
    const verdict = !edit.done && verdicts.get(edit.mutation_id);
    if (!verdict) continue;
    const { status, version } = verdict;
    if (status === 'rejected') rejected.add(edit);
    else if (status === 'later') put.set(edit, { ...edit, mutation_id: newId(), later: now + LATER_MS });
    else judged.set(keyOf(edit), { ...edit, done: { status, version } });
  }
  if (!judged.size && !rejected.size && !put.size) return queue;
  return queue.filter((edit) => !rejected.has(edit)).map((edit) => {
    if (put.has(edit)) return put.get(edit);
    const verdict = judged.get(keyOf(edit));
    if (!verdict || edit.done) return edit;
    return edit.mutation_id === verdict.mutation_id ? verdict : behind(edit, verdict);
  });
}

/** Drops what the downloaded rows now show. @param {Edit[]} queue */
export const withoutDone = (queue) => queue.filter(({ done }) => !done);

/** An edit as the protocol wants it, behind the one that it follows if that met a conflict. @param {Edit} edit @returns {object[]} */
export const onTheWire = ({ mutation_id, table, operation, data, base_version, after }) =>
  [...(after ? onTheWire({ ...after, after: undefined }) : []), { mutation_id, table, operation, data, base_version }];
