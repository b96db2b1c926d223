// A collection of TanStack DB over one table of the copy: reads and live queries are TanStack DB's, what is kept, sent and merged is this client's.

/** @import { CollectionConfig, PendingMutation, SyncConfig } from '@tanstack/db' */
/** @import { Client } from './live.js' */

/**
 * @template {object} T
 * @typedef {object} Given
 * @property {Client} client
 * @property {string} table
 * @property {(row: any) => T} [parse] A row as the collection has it, such as with its times as dates
 * @property {(row: any) => any} [format] A row, or the changed fields of one, as the server has it; dates need none
 * @property {'loaded' | 'synced'} [readyWhen] The collection is ready once the copy on the device was loaded, or once it was synced; the first by default
 * @property {'stored' | 'settled'} [persistedWhen] A transaction ends once it is stored on the device, or once the server has judged it, which needs a line; the first by default
 */
/** @typedef {{client: Client, table: string}} Utils */

/** Ends once what was written is in the collections: a copy tells of what is new before the next task. */
const told = () => new Promise((resolve) => setTimeout(resolve));

/** The options of a collection, for `createCollection`. Further options of TanStack DB go along.
 * @template {object} [T=Record<string, any>] @param {Given<T> & Partial<Omit<CollectionConfig<T, string>, 'sync' | 'getKey' | 'utils'>>} given
 * @returns {CollectionConfig<T, string, never, Utils> & {utils: Utils, schema?: never}}
 */
export function ryzedCollectionOptions({ client, table, parse = (row) => row, format, readyWhen = 'loaded', persistedWhen = 'stored', ...rest }) {
  const utils = { client, table, format, persistedWhen };
  const write = persist();
  return /** @type {any} */ ({
    id: `ryzed ${table}`, ...rest, utils,
    getKey: (/** @type {any} */ row) => row.id,
    sync: { rowUpdateMode: 'full', sync: follow(client, table, parse, readyWhen) },
    onInsert: write, onUpdate: write, onDelete: write,
  });
}

/** A `mutationFn` for transactions over several collections: all of it or nothing, here and on the server. */
export const persist = () => async (/** @type {{transaction: {mutations: PendingMutation<any, any, any>[]}}} */ { transaction: { mutations } }) => {
  const [{ collection }] = mutations;
  const { client, persistedWhen } = /** @type {any} */ (collection.utils);
  const edits = mutations.map((mutation) => {
    const { table, format = (/** @type {any} */ row) => row } = /** @type {any} */ (mutation.collection.utils);
    return () => {
      const rows = client.table(table);
      if (mutation.type === 'insert') return rows.insert(format(mutation.modified));
      return mutation.type === 'update' ? rows.update(String(mutation.key), format(mutation.changes)) : rows.delete(String(mutation.key));
    };
  });
  const written = edits.length === 1 ? edits[0]() : client.batch(() => edits.forEach((edit) => void edit()));
  await written;
  if (persistedWhen === 'settled') await judged(written.settled);
  await told();
};

/** @param {Promise<import('../types.js').Verdict>} settled */
async function judged(settled) {
  const { status, errors = [] } = await settled;
  if (status === 'rejected') throw Object.assign(new Error(errors.map(({ field, message }) => `${field} ${message}`.trim()).join('; ') || 'The server refused it.'), { errors });
}

/** @param {Client} client @param {string} table @param {(row: any) => any} parse @param {'loaded' | 'synced'} readyWhen @returns {SyncConfig<any, string>['sync']} */
function follow(client, table, parse, readyWhen) {
  return ({ begin, write, commit, markReady, markError }) => {
    /** @type {Set<string>} */
    const known = new Set();
    return client.table(table).query({}).subscribe((rows, { changed, isReady }) => {
      begin();
      for (const id of changed) {
        const row = find(rows, id);
        if (row) write({ type: known.has(id) ? 'update' : 'insert', value: parse(row) });
        else if (known.has(id)) write({ type: 'delete', key: id });
        if (row) known.add(id);
        else known.delete(id);
      }
      commit();
      if (isReady || readyWhen === 'loaded') markReady();
    }, markError);
  };
}

/** A row among rows in the order of their ids. @param {any[]} rows @param {string} id */
function find(rows, id) {
  let [from, to] = [0, rows.length];
  while (from < to) {
    const middle = (from + to) >> 1;
    if (rows[middle].id < id) from = middle + 1;
    else to = middle;
  }
  return rows[from]?.id === id ? rows[from] : undefined;
}
