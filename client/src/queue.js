// The edits that the server has not judged yet, oldest first. Pure: every function answers with a new queue.

/** @import { Edit, Operation, Row } from './types.js' */

/** How many calls an edit remembers that joined it. */
const ASKS_MOST = 50;

/**
 * Queues an edit. What was never sent takes it in, as far as both build on the same version of the row: the server
 * judges an edit by that version. A field that is queued already joins its like in any case, since its author saw that.
 * @param {Edit[]} queue
 * @param {{table: string, operation: Operation, data: Row, asks?: string[]}} edit
 * @param {number | undefined} base The version that the edit was made on, if there is one
 * @param {() => string} newId
 * @param {Edit[]} [mine] The queued edits of its row
 * @returns {Edit[]}
 */
export function enqueue(queue, { table, operation, data, asks }, base, newId, mine = queue.filter((queued) => sameRow(queued, table, data.id))) {
  const last = mine[mine.length - 1];
  // What was judged applied is the row that this edit's author saw, though it was not downloaded yet.
  const done = mine.findLast((edit) => edit.done)?.done;
  const built = done?.status === 'applied' ? done.version : base;
  const known = built === undefined ? {} : { base_version: built };
  const fresh = () => ({ mutation_id: newId(), table, operation, data, ...known, ...(asks && { asks }) });
  if (!last) return swap(queue, undefined, fresh());
  if (operation === 'DELETE') return remove(queue, mine, fresh());
  // What is gone can be made anew, but not changed.
  if (last.operation === 'DELETE') return operation === 'UPDATE' ? queue : swap(queue, undefined, fresh());
  const whole = operation !== 'UPDATE';
  if (last.sent && whole) return swap(queue, undefined, fresh());
  if (whole || (!last.sent && last.operation !== 'UPDATE')) {
    const becomes = last.operation === 'UPDATE' ? 'UPSERT' : last.operation;
    return swap(queue, last, joined(last, { data: { ...last.data, ...data }, operation: becomes }, asks));
  }
  return split(queue, mine, fresh, asks);
}

/**
 * Queues edits as one set, which goes out by itself: all of it or nothing. It joins nothing, and nothing joins it.
 * @param {Edit[]} queue
 * @param {{table: string, operation: Operation, data: Row, base?: number, asks?: string[]}[]} edits
 * @param {string} set
 * @param {() => string} newId
 * @returns {Edit[]}
 */
export function enqueueSet(queue, edits, set, newId) {
  const rows = new Set(edits.map(keyOf));
  const before = queue.map((edit) => (rows.has(keyOf(edit)) ? { ...edit, sent: true } : edit));
  // Not the whole queue for each of them.
  const mine = before.filter((edit) => rows.has(keyOf(edit)));
  const old = new Set(mine);
  /** @type {Map<string, Edit>} */
  const made = new Map();
  for (const edit of edits.reduce((now, { base, ...one }) => enqueue(now, one, base, newId), mine)) {
    if (old.has(edit)) continue;
    const other = made.get(keyOf(edit));
    if (other?.operation === 'DELETE') throw new Error('A batch can’t make anew what it deletes.');
    // What follows an edit under way, and what does not: one edit a row goes out.
    made.set(keyOf(edit), { ...other, ...edit, data: { ...other?.data, ...edit.data }, ...(other && { follows: true }), sent: true, set });
  }
  return [...before, ...made.values()];
}

/**
 * An update of a row with queued edits: each field goes to the unsent edit that it belongs to. Fields of an edit under
 * way wait for its result, others keep the version they build on, so that nobody's value is overwritten unseen.
 * @param {Edit[]} queue
 * @param {Edit[]} mine
 * @param {() => Edit} fresh
 * @param {string[]} [asks]
 */
function split(queue, mine, fresh, asks) {
  const { base_version: base, data: { id, ...fields } } = fresh();
  /** By the edit that takes them, or whether they follow one. @type {Map<Edit | boolean, [Edit | undefined, Edit, Record<string, any>]>} */
  const groups = new Map();
  for (const [field, value] of Object.entries(fields)) {
    const holder = mine.findLast(({ data }) => field in data);
    const follows = holder?.sent ?? false;
    const target = holder && !follows ? holder
      : mine.findLast((edit) => !edit.sent && (follows ? edit.follows : !edit.follows && edit.base_version === base));
    const made = () => (follows ? behind({ ...fresh(), follows }, /** @type {Edit} */ (holder)) : fresh());
    const group = groups.get(target ?? follows) ?? [target, target ?? made(), { ...target?.data, id }];
    groups.set(target ?? follows, group);
    /** @type {Record<string, any>} */ (group[2])[field] = value;
  }
  for (const [target, taker, data] of groups.values()) queue = swap(queue, target, joined(taker, { data: /** @type {Row} */ (data) }, target && asks));
  return queue;
}

/** @param {Edit} edit @param {Partial<Edit>} parts @param {string[]} [asks] @returns {Edit} */
const joined = (edit, parts, asks) => ({ ...edit, ...parts, ...(asks && { asks: [...new Set([...edit.asks ?? [], ...asks])].slice(-ASKS_MOST) }) });

/** @param {Edit[]} queue @param {Edit[]} mine @param {Edit} removal */
function remove(queue, mine, removal) {
  if (mine[mine.length - 1]?.operation === 'DELETE') return queue;
  const unsent = mine.filter(({ sent }) => !sent);
  const rest = queue.filter((edit) => !unsent.includes(edit));
  // A row that came and went unseen was never anybody else's business.
  if (mine[0].operation === 'INSERT' && !mine[0].sent) return rest;
  return [...rest, unsent.reduce((now, { asks }) => joined(now, {}, asks), removal)];
}

/**
 * An edit behind a judged one, which it may build on. After a conflict, or next to somebody else's edit, it keeps its
 * base: its author had not seen the other side. Then the judged one goes along, for the server to know what was seen.
 * @param {Edit} edit
 * @param {Edit} judged
 * @returns {Edit}
 */
export function behind(edit, { done, ...judged }) {
  if (!done) return edit;
  const { status, version } = done;
  const builds = version !== undefined && (status === 'applied' || (status === 'merged' && edit.follows));
  if (builds) return { ...edit, base_version: version };
  return status === 'conflict' && edit.follows ? { ...edit, after: judged } : edit;
}

/** Of edits that are known elsewhere, those that are news here: neither queued, nor asked again meanwhile, nor judged.
 * @param {Edit[]} queue @param {Record<string, unknown> | undefined} judged @param {Edit[]} edits
 */
export function missing(queue, judged, edits) {
  const known = new Set(queue.flatMap(({ mutation_id, asks = [] }) => [mutation_id, ...asks]));
  return edits.filter(({ mutation_id, asks, done }) => !done && !known.has(mutation_id) && !asks?.every((ask) => known.has(ask) || judged?.[ask]));
}

/**
 * A row as the person sees it: the confirmed one with its queued edits on top.
 * @param {Row | undefined} row
 * @param {Edit[]} edits This row's
 * @returns {Row | undefined}
 */
export function overlaid(row, edits) {
  for (const { operation, data } of edits) {
    if (operation === 'DELETE') row = undefined;
    else if (row || operation !== 'UPDATE') row = { ...row, ...data, _pending: true };
  }
  return row;
}

/** How a queue was made of another one, as long as none was made of it: so nobody compares whole queues for one edit. @type {WeakMap<Edit[], [Edit[], {at: number, gone: Edit[], come: Edit[]}]>} */
const steps = new WeakMap();

/** What turns one queue into another: at a place, some go and some come. @param {Edit[]} before @param {Edit[]} now @returns {{at: number, gone: Edit[], come: Edit[]}} */
export function difference(before, now) {
  const step = steps.get(now);
  if (step?.[0] === before) return step[1];
  let at = 0;
  let [end, till] = [before.length, now.length];
  while (at < end && at < till && before[at] === now[at]) at++;
  while (end > at && till > at && before[end - 1] === now[till - 1]) end--, till--;
  return { at, gone: before.slice(at, end), come: now.slice(at, till) };
}

/** Names a row. @param {{table: string, data: Row}} edit */
export const keyOf = ({ table, data: { id } }) => `${table} ${id}`;

/** @param {Edit} edit @param {string} table @param {string} id */
const sameRow = (edit, table, id) => edit.table === table && edit.data.id === id;

/** The queue with an edit in the place of another one, or behind all. @param {Edit[]} queue @param {Edit | undefined} old @param {Edit} edit */
function swap(queue, old, edit) {
  const now = queue.slice();
  const at = old ? now.indexOf(old) : now.length;
  const gone = now.splice(at, 1, edit);
  steps.delete(queue);
  steps.set(now, [queue, { at, gone, come: [edit] }]);
  return now;
}
