// What the server says, and what it is asked. Pure: every function looks at a copy and answers with a patch, which memory and
// storage then take whole.

import { batch, onTheWire, settle, withoutDone } from './verdicts.js';

/** @import { Copy, Cursor, Edit, Found, Message, Meta, Page, Patch } from './types.js' */

/** Live messages that wait for a download. Of more, none are held, and another download follows. */
export const HELD_MOST = 1000;
/** How many rows that were deleted here can be told from ones that never were. */
const REMOVED_MOST = 100;
/** How many calls that have their verdict can be told from new ones. */
const JUDGED_MOST = 500;

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
    changes: edits.flatMap(onTheWire), pending_uploads: queue.length - edits.length, ...(edits[0]?.set && { atomic: true }),
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
const cleared = ({ rows }, { stopped }) => !stopped?.length || [...rows.keys()].filter((table) => !stopped.includes(table));

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
  const held = copy.rows.get(table);
  // Only storage knows the row: a pull tells what became of it.
  if (/** @type {any} */ (held)?.lacks?.(id)) return { behind: true, held: [message] };
  const owner = held?.get(id)?.user_id;
  return owner !== undefined && (owner === null) !== (key === 'global') ? { cursor } : { rows: [[table, id, null]], cursor };
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
