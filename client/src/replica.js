// A device's copy of the data. Pure: every function looks at a copy and answers with a patch, which memory and storage
// then take whole. Network, clock and storage live elsewhere; the queue's rules are in `queue.js`.

import { onTheWire, overlaid, settle, withoutDone } from './queue.js';

/** @import { Copy, Cursor, Digest, Edit, Kept, Message, Page, Patch, Row } from './types.js' */

/** A table that was repaired is left alone for this long. */
export const REPAIR_EVERY_MS = 3_600_000;

/** @param {Kept | null} [kept] @returns {Copy} */
export function open(kept) {
  /** @type {Copy} */
  const copy = { rows: new Map(), queue: kept?.queue ?? [], cursor: kept?.cursor ?? null, meta: kept?.meta ?? {}, behind: true, held: [], staged: null };
  applyPatch(copy, { rows: (kept?.rows ?? []).map(([table, row]) => [table, row.id, row]) });
  return copy;
}

/** The one place that changes a copy; what reads it never waits in between. @param {Copy} copy @param {Patch} patch */
export function applyPatch(copy, { clear, rows = [], ...rest }) {
  if (clear === true) copy.rows.clear();
  else clear?.forEach((table) => copy.rows.delete(table));
  for (const [table, id, row] of rows) {
    const held = copy.rows.get(table) ?? new Map();
    if (row) copy.rows.set(table, held.set(id, row));
    else held.delete(id);
  }
  Object.assign(copy, rest);
}

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
    changes: edits.map(onTheWire), pending_uploads: queue.length - edits.length,
  };
  return { aside, body };
}

/**
 * Takes an answer of `POST /sync`. Results count at once, rows only after the last page: until then the copy is not one
 * consistent state.
 * @param {Copy} copy
 * @param {Page} page
 * @param {{aside: boolean, full?: boolean, asked?: Cursor}} how `asked` is the cursor of the request
 * @returns {Patch}
 */
export function answered(copy, page, { aside, full, asked }) {
  const queue = page.results.reduce(settle, copy.queue);
  const { staged } = copy;
  if (aside && staged) return { queue };
  if (page.reset) {
    if (!asked) throw new Error('The server orders to start over again and again.');
    return { queue, behind: true, staged: { pages: [], cursor: null, replace: true, reset: true } };
  }
  const pages = [...(staged?.pages ?? []), page];
  const replace = staged?.replace ?? Boolean(full);
  if (page.has_more) return { queue, behind: true, staged: { pages, cursor: page.cursor, replace, reset: staged?.reset ?? false } };
  return {
    queue: withoutDone(queue), rows: facts(copy, pages, replace), ...(replace && { clear: true }),
    cursor: page.cursor, behind: false, staged: null, meta: { ...copy.meta, lastSync: page.sync_timestamp },
  };
}

/** A whole table pulled anew. The cursor stays: it may be older, and then brings some rows once more.
 * @param {Copy} copy @param {string} table @param {Page[]} pages @returns {Patch}
 */
export const repaired = (copy, table, pages) => ({ clear: [table], rows: facts(copy, pages, true) });

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
  if (copy.behind) return { held: [...copy.held, message] };
  const key = String(scope).split(':')[0];
  const at = copy.cursor?.[key] ?? 0;
  if (version <= at) return {};
  if (dense && version > at + 1) return { behind: true, held: [message] };
  return { rows: [[table, id, operation === 'DELETE' ? null : { ...row, _version: version }]], cursor: { ...copy.cursor, [key]: version } };
}

/** What the person sees of one row. @param {Copy} copy @param {string} table @param {string} id */
export const see = ({ rows, queue }, table, id) =>
  overlaid(rows.get(table)?.get(id), queue.filter((edit) => edit.table === table && edit.data.id === id));

/** What the person sees of a table. @param {Copy} copy @param {string} table @returns {Row[]} */
export function seeAll({ rows, queue }, table) {
  const shown = new Map(rows.get(table));
  for (const edit of queue) {
    if (edit.table !== table) continue;
    const row = overlaid(shown.get(edit.data.id), [edit]);
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
    return differs && !(now - (copy.meta.repaired?.[table] ?? -Infinity) < REPAIR_EVERY_MS);
  });
}

/** A cursor as a query string has it. Parts that are unknown here are passed on. @param {Cursor | null} cursor */
export function cursorText(cursor) {
  const { epoch = '', ...parts } = cursor ?? {};
  return [epoch, ...Object.entries(parts).map(([part, version]) => `${part}:${version}`)].join(',');
}

/** The newest of each row in a download. @param {Copy} copy @param {Page[]} pages @param {boolean} replace */
function facts({ rows }, pages, replace) {
  /** @type {Map<string, [string, string, Row | null, number]>} */
  const newest = new Map();
  const take = (/** @type {string} */ table, /** @type {Row | null} */ row, /** @type {string} */ id, /** @type {number} */ version) => {
    const held = replace ? undefined : rows.get(table)?.get(id)?._version;
    const known = newest.get(`${table} ${id}`)?.[3] ?? held ?? 0;
    if (version >= known) newest.set(`${table} ${id}`, [table, id, row, version]);
  };
  for (const { changes, deletions } of pages) {
    for (const [table, some] of Object.entries(changes ?? {})) some.forEach((row) => take(table, row, row.id, row._version));
    for (const [table, some] of Object.entries(deletions ?? {})) some.forEach((gone) => take(table, null, gone.id, gone._version));
  }
  return [...newest.values()].map(([table, id, row]) => /** @type {[string, string, Row | null]} */ ([table, id, row]));
}
