// A device's copy of the data. Pure: network, clock and storage live elsewhere. The queue's rules are in `queue.js`, what the
// server's answers mean in `answers.js`.

import { canonical } from './plain.js';
import { difference, keyOf, overlaid } from './queue.js';

/** @import { Changed, Copy, Cursor, Edit, Found, Kept, Message, Meta, Page, Patch, Row } from './types.js' */

/** @param {Kept | null} [kept] @returns {Copy} */
export function open(kept) {
  const { rows = [], queue = [], cursor = null, meta = {}, lazy } = kept ?? {};
  /** @type {Copy} */
  const copy = { lazy, rows: new Map(/** @type {any} */ (lazy?.rows)), queue: [], edits: new Map(), asks: new Map(), cursor, meta, behind: true, held: [], staged: null };
  applyPatch(copy, { rows: rows.map(([table, row]) => [table, row.id, row]), queue: returned(queue) });
  return copy;
}

/** Edits that come back from storage. Each may have left before, also when storage failed to note it: nothing may join it any more.
 * @param {Edit[]} queue @returns {Edit[]}
 */
export const returned = (queue) => queue.map((edit) => ({ ...edit, sent: true, data: { ...edit.data, id: canonical(edit.data.id) } }));

/** The one place that changes a copy; what reads it never waits in between. Answers with what it changed.
 * @param {Copy} copy @param {Patch} patch @returns {Changed}
 */
export function applyPatch(copy, { clear, rows = [], queue, ...rest }) {
  /** @type {Changed} */
  const changed = new Map();
  const note = (/** @type {string} */ table, /** @type {string} */ id) => {
    const ids = changed.get(table);
    if (ids === undefined) changed.set(table, new Set([id]));
    else ids?.add(id);
  };
  for (const table of clear === true ? [...copy.rows.keys()] : clear ?? []) {
    copy.rows.get(table)?.clear();
    changed.set(table, null);
  }
  for (const [table, id, row] of rows) {
    let held = copy.rows.get(table);
    if (!held) copy.rows.set(table, (held = new Map()));
    if (row) held.set(id, row);
    else held.delete(id);
    note(table, id);
  }
  if (queue && queue !== copy.queue) {
    index(copy, difference(copy.queue, queue), note);
    copy.queue = queue;
  }
  if (rest.cursor !== undefined && !rest.cursor !== !copy.cursor) changed.set('', null);
  Object.assign(copy, rest);
  return changed;
}

/** Keeps the edits of each row in the order of the queue, and counts those that wait and their calls. @param {Copy} copy
 * @param {{gone: Edit[], come: Edit[]}} difference @param {(table: string, id: string) => void} note
 */
function index(copy, { gone, come }, note) {
  const { edits } = copy;
  const [had, has] = [new Set(gone), new Set(come)];
  const count = (/** @type {Edit[]} */ some, /** @type {number} */ by) => some.forEach(({ done, asks = [] }) => (done ? [] : ['', ...asks]).forEach((ask) => {
    const left = (copy.asks.get(ask) ?? 0) + by;
    if (left) copy.asks.set(ask, left);
    else copy.asks.delete(ask);
  }));
  count(come, 1);
  count(gone, -1);
  /** @type {Map<string, Edit[]>} */
  const fresh = new Map();
  for (const edit of [...gone, ...come]) {
    if (!fresh.has(keyOf(edit))) fresh.set(keyOf(edit), []);
    if (has.has(edit) !== had.has(edit)) note(edit.table, edit.data.id);
  }
  for (const edit of come) fresh.get(keyOf(edit))?.push(edit);
  for (const [key, some] of fresh) {
    const before = edits.get(key) ?? [];
    const at = before.findIndex((edit) => had.has(edit));
    const [ahead, after] = at < 0 ? [before, []] : [before.slice(0, at), before.slice(at).filter((edit) => !had.has(edit))];
    const now = [...ahead, ...some, ...after];
    if (now.length) edits.set(key, now);
    else edits.delete(key);
  }
}

/** A patch that makes any copy this one. @param {Copy} copy @returns {Patch} */
export const wholeOf = ({ rows, queue, cursor, meta, lazy }) => ({
  clear: lazy?.loaded(rows) ?? true, queue, cursor, meta,
  rows: [...rows].flatMap(([table, some]) => [...some].map(([id, row]) => /** @type {[string, string, Row]} */ ([table, id, row]))),
});

/** What the person sees of one row. @param {Pick<Copy, 'rows' | 'edits'>} copy @param {string} table @param {string} id */
export const see = ({ rows, edits }, table, id) => overlaid(rows.get(table)?.get(id), edits.get(`${table} ${id}`) ?? []);

/** What the person sees of a table. @param {Pick<Copy, 'rows' | 'queue' | 'edits'>} copy @param {string} table @returns {Row[]} */
export function seeAll(copy, table) {
  const shown = new Map(copy.rows.get(table));
  for (const edit of copy.queue) {
    if (edit.table !== table) continue;
    const row = see(copy, table, edit.data.id);
    if (row) shown.set(edit.data.id, row);
    else shown.delete(edit.data.id);
  }
  return [...shown.values()];
}
