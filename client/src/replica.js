// A device's copy of the data. Pure: every function looks at a copy and answers with a patch, which memory and storage
// then take whole. Network, clock and storage live elsewhere; the queue's rules are in `queue.js`.

import { canonical } from './plain.js';
import { batch, difference, onTheWire, overlaid, settle, withoutDone } from './queue.js';

/** @import { Changed, Copy, Cursor, Digest, Edit, Found, Kept, Message, Meta, Page, Patch, Row } from './types.js' */

/** A table that was repaired is left alone for this long. */
export const REPAIR_EVERY_MS = 3_600_000;
/** Live messages that wait for a download. Of more, none are held, and another download follows. */
export const HELD_MOST = 1000;
/** How many rows that were deleted here can be told from ones that never were. */
const REMOVED_MOST = 100;
/** How many calls that have their verdict can be told from new ones. */
const JUDGED_MOST = 500;

/** @param {Kept | null} [kept] @returns {Copy} */
export function open(kept) {
  /** @type {Copy} */
  const copy = { rows: new Map(), queue: [], edits: new Map(), cursor: kept?.cursor ?? null, meta: kept?.meta ?? {}, behind: true, held: [], staged: null };
  applyPatch(copy, { rows: (kept?.rows ?? []).map(([table, row]) => [table, row.id, row]), queue: returned(kept?.queue ?? []) });
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
    copy.rows.delete(table);
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
    index(copy.edits, difference(copy.queue, queue), note);
    copy.queue = queue;
  }
  if (rest.cursor !== undefined && !rest.cursor !== !copy.cursor) changed.set('', null);
  Object.assign(copy, rest);
  return changed;
}

/** Keeps the edits of each row in the order of the queue. @param {Copy['edits']} edits
 * @param {{gone: Edit[], come: Edit[]}} difference @param {(table: string, id: string) => void} note
 */
function index(edits, { gone, come }, note) {
  const [had, has] = [new Set(gone), new Set(come)];
  /** @type {Map<string, Edit[]>} */
  const fresh = new Map();
  for (const edit of [...gone, ...come]) {
    const { table, data: { id } } = edit;
    if (!fresh.has(`${table} ${id}`)) fresh.set(`${table} ${id}`, []);
    if (has.has(edit) && !had.has(edit)) note(table, id);
    if (had.has(edit) && !has.has(edit)) note(table, id);
  }
  for (const edit of come) fresh.get(`${edit.table} ${edit.data.id}`)?.push(edit);
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
export const wholeOf = ({ rows, queue, cursor, meta }) => ({
  clear: true, queue, cursor, meta,
  rows: [...rows].flatMap(([table, some]) => [...some].map(([id, row]) => /** @type {[string, string, Row]} */ ([table, id, row]))),
});

/**
 * The next request of an exchange. After a `reset`, what was edited on the old copy still goes out under the old
 * cursor, aside from the new download: only with it can the server judge what those edits build on.
 * @param {Copy} copy
 * @param {Edit[]} edits
 * @param {{full?: boolean, digest?: boolean, tables: string[]}} how
 */
export function request({ cursor, staged, queue }, edits, { full, digest, tables }) {
  const aside = Boolean(staged?.reset && edits.length && cursor);
  const from = staged && !aside ? staged.cursor : cursor;
  const body = {
    tables, cursor: from ?? undefined, digest, force_full_sync: Boolean(full && !staged),
    changes: edits.flatMap(onTheWire), pending_uploads: queue.length - edits.length,
  };
  return { aside, body };
}

/**
 * Takes an answer of `POST /sync`. Results count at once, rows only after the last page: until then the copy is not one
 * consistent state.
 * @param {Copy} copy
 * @param {Page} page
 * @param {{aside: boolean, full?: boolean, asked?: Cursor, tables?: string[], now?: number}} how `asked` is the cursor of the request
 * @returns {Patch}
 */
export function answered(copy, page, { aside, full, asked, tables, now }) {
  const meta = withRemoved(copy, page);
  const queue = settle(copy.queue, page.results, now);
  const { staged } = copy;
  if (aside && staged) return { queue, meta };
  if (page.reset) {
    if (!asked) throw new Error('The server orders to start over again and again.');
    return { queue, meta, behind: true, staged: { found: new Map(), cursor: null, replace: true, reset: true } };
  }
  const found = gathered(page, staged?.found);
  const replace = staged?.replace ?? Boolean(full);
  // What was edited on the old copy meanwhile has to be judged before that copy is gone.
  const isOwed = staged?.reset && copy.cursor && batch(queue, 1).length;
  if (page.has_more || isOwed) return { queue, meta, behind: true, staged: { found, cursor: page.cursor, replace, reset: staged?.reset ?? false } };
  return {
    queue: withoutDone(queue), rows: [...found.values()], ...(replace && { clear: cleared(copy, page) }),
    cursor: page.cursor, staged: null, ...caughtUp(copy),
    meta: { ...meta, lastSync: page.sync_timestamp, ...(tables && { tables }), ...(page.cursor.epoch !== copy.cursor?.epoch && { removed: {} }) },
  };
}

/** What a whole download replaces: not the tables that the server can't tell of for now. @param {Copy} copy @param {Page} page @returns {true | string[]} */
const cleared = ({ rows }, { stopped }) => (stopped?.length ? [...rows.keys()].filter((table) => !stopped.includes(table)) : true);

/** What the copy is once a download is complete: behind still, if more came live than it could hold.
 * @param {Copy} copy @param {boolean} [owed] Another pull is, in any case
 */
export const caughtUp = ({ held }, owed = false) => ({ behind: owed || !held, held: held ?? [] });

/** Notes which calls have their verdict, so that one that is made again is not done again, and what was deleted here, so that making it anew does not look like an edit of somebody who never saw the deletion.
 * @param {Copy} copy @param {Page} page @returns {Meta}
 */
function withRemoved({ queue, meta }, { results }) {
  if (!results.length) return meta;
  const edits = new Map(queue.map((edit) => [edit.mutation_id, edit]));
  const gone = results.filter(({ mutation_id, status }) => status === 'applied' && edits.get(mutation_id)?.operation === 'DELETE');
  const removed = [...Object.entries(meta.removed ?? {}), ...gone.map(({ id, version }) => [id, version])];
  const judged = results.flatMap(({ mutation_id, status }) => (status === 'later' ? [] : edits.get(mutation_id)?.asks ?? []).map((ask) => [ask, status]));
  return {
    ...meta, ...(gone.length && { removed: Object.fromEntries(removed.slice(-REMOVED_MOST)) }),
    ...(judged.length && { judged: Object.fromEntries([...Object.entries(meta.judged ?? {}), ...judged].slice(-JUDGED_MOST)) }),
  };
}

/**
 * What other `tables` than the last time mean: which of them have to be pulled from zero, or `full` when nobody can name
 * them, and what goes at once.
 * @param {Copy} copy
 * @param {string[]} tables None is all
 * @returns {{missing: string[], full: boolean, patch: Patch | null}}
 */
export function retabled({ rows, cursor, meta }, tables) {
  const had = meta.tables ?? tables;
  if (!cursor || String(had) === String(tables)) return { missing: [], full: false, patch: null };
  if (!tables.length) return { missing: [], full: true, patch: null };
  const clear = [...rows.keys()].filter((table) => !tables.includes(table));
  const missing = had.length ? tables.filter((table) => !had.includes(table)) : [];
  return { missing, full: false, patch: { clear, meta: { ...meta, tables: tables.filter((table) => !missing.includes(table)) } } };
}

/** A whole table pulled anew. The cursor stays: it may be older, and then brings some rows once more.
 * @param {string} table @param {Found} found @returns {Patch}
 */
export const repaired = (table, found) => ({ clear: [table], rows: [...found.values()] });

/**
 * Takes `data_updated` or `database_change`. While a pull is owed it must wait: the cursor would pass over the hole.
 * @param {Copy} copy
 * @param {Message} message
 * @param {boolean} dense Whether each version of a scope should come here, so that a jump means a loss
 * @returns {Patch}
 */
export function live(copy, message, dense) {
  const { table, version, operation, scope } = message;
  const row = message.type === 'database_change' ? message.new_record : message.data;
  const id = row?.id ?? message.old_record?.id;
  if (!table || !id || !Number.isSafeInteger(version)) return {};
  if (copy.behind) return { held: copy.held && copy.held.length < HELD_MOST ? [...copy.held, message] : null };
  const key = String(scope).split(':')[0];
  const at = copy.cursor?.[key] ?? 0;
  if (version <= at) return {};
  if (dense && version > at + 1) return { behind: true, held: [message] };
  const cursor = { ...copy.cursor, [key]: version };
  if (operation !== 'DELETE') return { rows: [[table, id, { ...row, _version: version }]], cursor };
  // Of a row that moved, the scope that it left reports a deletion, perhaps after the other has brought it.
  const owner = copy.rows.get(table)?.get(id)?.user_id;
  return owner !== undefined && (owner === null) !== (key === 'global') ? { cursor } : { rows: [[table, id, null]], cursor };
}

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

/** Rows and sum of versions by table. @param {Copy} copy @param {string[]} tables @returns {Digest} */
export function digestOf({ rows }, tables) {
  return Object.fromEntries(tables.map((table) => {
    const held = [...(rows.get(table)?.values() ?? [])];
    return [table, { rows: held.length, version_sum: held.reduce((sum, { _version }) => sum + _version, 0) }];
  }));
}

/** The tables in which the copy differs from the server's digest, without those repaired lately.
 * @param {Copy} copy @param {Digest} theirs @param {number} now
 */
export function damaged(copy, theirs, now) {
  const empty = { rows: 0, version_sum: 0 };
  const tables = [...new Set([...copy.rows.keys(), ...Object.keys(theirs)])];
  const mine = digestOf(copy, tables);
  return tables.filter((table) => {
    const { rows, version_sum } = theirs[table] ?? empty;
    const differs = rows !== mine[table].rows || version_sum !== mine[table].version_sum;
    const ago = now - (copy.meta.repaired?.[table] ?? -Infinity);
    // Before it was repaired: the clock was set back.
    return differs && (ago < 0 || ago >= REPAIR_EVERY_MS);
  });
}

/** A cursor as a query string has it. Parts that are unknown here are passed on. @param {Cursor | null} cursor */
export function cursorText(cursor) {
  const { epoch = '', ...parts } = cursor ?? {};
  return [epoch, ...Object.entries(parts).map(([part, version]) => `${part}:${version}`)].join(',');
}

/**
 * What a download says of each row, page by page: it takes each page in as it comes, so that the last one is no more work
 * than the others. Later pages are newer, and in one page a live row beats a deletion: the row moved between the person's
 * scope and the catalogue, and the one that it left reports it as deleted. The versions of two scopes can't be compared;
 * only within the download does a smaller one show that a deletion is of the other scope.
 * @param {Page} page
 * @param {Found} [found] Grows
 * @returns {Found}
 */
export function gathered({ changes, deletions }, found = new Map()) {
  for (const [table, some] of Object.entries(deletions ?? {})) {
    for (const { id, _version } of some) if (!(_version < found.get(`${table} ${id}`)?.[2]?._version)) found.set(`${table} ${id}`, [table, id, null]);
  }
  for (const [table, some] of Object.entries(changes ?? {})) some.forEach((row) => found.set(`${table} ${row.id}`, [table, row.id, row]));
  return found;
}
