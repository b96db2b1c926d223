// The edits that the server has not judged yet, oldest first. Pure: every function answers with a new queue.

/** @import { Edit, Operation, Result, Row } from './types.js' */

/**
 * Queues an edit. What was never sent takes it in, as far as both build on the same version of the row: the server
 * judges an edit by that version. A field that is queued already joins its like in any case, since its author saw that.
 * @param {Edit[]} queue
 * @param {{table: string, operation: Operation, data: Row}} edit
 * @param {number | undefined} base The version that the edit was made on, if there is one
 * @param {() => string} newId
 * @returns {Edit[]}
 */
export function enqueue(queue, { table, operation, data }, base, newId) {
  const mine = queue.filter((queued) => sameRow(queued, table, data.id));
  const last = mine[mine.length - 1];
  // What was judged applied is the row that this edit's author saw, though it was not downloaded yet.
  const done = mine.findLast((edit) => edit.done)?.done;
  const built = done?.status === 'applied' ? done.version : base;
  const known = built === undefined ? {} : { base_version: built };
  const fresh = () => ({ mutation_id: newId(), table, operation, data, ...known });
  if (!last) return [...queue, fresh()];
  if (operation === 'DELETE') return remove(queue, mine, fresh());
  // What is gone can be made anew, but not changed.
  if (last.operation === 'DELETE') return operation === 'UPDATE' ? queue : [...queue, fresh()];
  const whole = operation !== 'UPDATE';
  if (last.sent && whole) return [...queue, fresh()];
  if (whole || (!last.sent && last.operation !== 'UPDATE')) {
    const becomes = last.operation === 'UPDATE' ? 'UPSERT' : last.operation;
    return swap(queue, last, { ...last, operation: becomes, data: { ...last.data, ...data } });
  }
  return split(queue, mine, fresh);
}

/**
 * An update of a row with queued edits: each field goes to the unsent edit that it belongs to. Fields of an edit under
 * way wait for its result, others keep the version they build on, so that nobody's value is overwritten unseen.
 * @param {Edit[]} queue
 * @param {Edit[]} mine
 * @param {() => Edit} fresh
 */
function split(queue, mine, fresh) {
  const { base_version: base, data: { id, ...fields } } = fresh();
  for (const [field, value] of Object.entries(fields)) {
    const holder = mine.findLast(({ data }) => field in data);
    const follows = holder?.sent ?? false;
    const target = holder && !follows ? holder
      : mine.findLast((edit) => !edit.sent && (follows ? edit.follows : !edit.follows && edit.base_version === base));
    const made = () => (follows ? behind({ ...fresh(), follows }, /** @type {Edit} */ (holder)) : fresh());
    const grown = { ...(target ?? made()), data: { ...target?.data, id, [field]: value } };
    mine = target ? swap(mine, target, grown) : [...mine, grown];
    queue = target ? swap(queue, target, grown) : [...queue, grown];
  }
  return queue;
}

/** @param {Edit[]} queue @param {Edit[]} mine @param {Edit} removal */
function remove(queue, mine, removal) {
  if (mine[mine.length - 1]?.operation === 'DELETE') return queue;
  const rest = queue.filter((edit) => edit.sent || !mine.includes(edit));
  // A row that came and went unseen was never anybody else's business.
  return mine[0].operation === 'INSERT' && !mine[0].sent ? rest : [...rest, removal];
}

/**
 * The edits that go out next: one a row, since a later one builds on the version that the first makes.
 * @param {Edit[]} queue
 * @param {number} most
 */
export function batch(queue, most) {
  const busy = new Set();
  return queue.filter(({ done, table, data }) => {
    const key = `${table} ${data.id}`;
    if (done || busy.has(key) || busy.size >= most) return false;
    return busy.add(key);
  });
}

/** Notes which edits go out. Stored before they do, so that a crash can't make one join what the server has seen.
 * @param {Edit[]} queue
 * @param {Edit[]} edits
 */
export const markSent = (queue, edits) => queue.map((edit) => (edits.includes(edit) && !edit.sent ? { ...edit, sent: true } : edit));

/**
 * Takes the server's verdict. A rejected edit leaves at once, which undoes it on the screen; others stay visible, as
 * `done`, until the download brings their rows.
 * @param {Edit[]} queue
 * @param {Result} result
 */
export function settle(queue, { mutation_id, status, version }) {
  const edit = queue.find((queued) => queued.mutation_id === mutation_id);
  if (!edit || edit.done) return queue;
  if (status === 'rejected') return queue.filter((queued) => queued !== edit);
  const done = { status, version };
  return queue.map((queued) => {
    if (queued === edit) return { ...edit, done };
    return sameRow(queued, edit.table, edit.data.id) && !queued.done ? behind(queued, { ...edit, done }) : queued;
  });
}

/**
 * An edit behind a judged one, which it may build on. After a conflict, or next to somebody else's edit, it keeps its
 * base: its author had not seen the other side. Then the judged one goes along, for the server to know what was seen.
 * @param {Edit} edit
 * @param {Edit} judged
 * @returns {Edit}
 */
function behind(edit, { done, ...judged }) {
  if (!done) return edit;
  const { status, version } = done;
  const builds = version !== undefined && (status === 'applied' || (status === 'merged' && edit.follows));
  if (builds) return { ...edit, base_version: version };
  return status === 'conflict' && edit.follows ? { ...edit, after: judged } : edit;
}

/** Drops what the downloaded rows now show. @param {Edit[]} queue */
export const withoutDone = (queue) => queue.filter(({ done }) => !done);

/** An edit as the protocol wants it, behind the one that it follows if that met a conflict. @param {Edit} edit @returns {object[]} */
export const onTheWire = ({ mutation_id, table, operation, data, base_version, after }) =>
  [...(after ? onTheWire({ ...after, after: undefined }) : []), { mutation_id, table, operation, data, base_version }];

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

/** @param {Edit} edit @param {string} table @param {string} id */
const sameRow = (edit, table, id) => edit.table === table && edit.data.id === id;

/** @param {Edit[]} list @param {Edit} old @param {Edit} now */
const swap = (list, old, now) => list.map((edit) => (edit === old ? now : edit));
