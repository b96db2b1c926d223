// A copy in the browser's IndexedDB. Rows, queue and cursor change in one transaction, so a page killed at any moment
// goes on from a state that once was whole.

import { difference } from '../queue.js';

/** @import { LazyHooks } from '../lazy/indexeddb.js' */
/** @import { Edit, Kept, Patch, Storage } from '../types.js' */

/**
 * What makes a database of one schema version one of the next. Never changed, only added to. A step that releases with
 * fewer steps can't live with puts the number of steps it takes into `state` under `least`.
 * @type {((database: IDBDatabase, transaction: IDBTransaction) => void)[]}
 */
const STEPS = [
  (database) => STORES.forEach((store) => database.createObjectStore(store)),
];
const STORES = ['rows', 'queue', 'state'];
/** Rows written in one go. More, and the page would stutter while a first download is stored. */
const CHUNK = 500;
/** A database that opens later is not going to. */
const OPEN_MS = 5000;
/** A transaction that does not begin for so long, or gets nowhere, is given up, and with it the handle. */
const BEGIN_MS = 4000;
const STUCK_MS = 20_000;

/**
 * @param {string} name
 * @param {boolean} [isShared] Whether several tabs use it, one of which leads: then only the last that led may write
 * @returns {Storage}
 */
export function indexedDbStorage(name, isShared = false) {
  /** @type {Promise<IDBDatabase> | undefined} */
  let opening;
  /** What the queue's store holds; null once that is not certain. @type {Edit[] | null} */
  let stored = [];
  /** Where each edit is in that store. @type {Map<string, number>} */
  let places = new Map();
  let next = 0;
  /** The number of this leader. @type {number | undefined} */
  let term;
  /** What is done for tables that are not loaded whole. @type {LazyHooks | undefined} */
  let lazy;

  return {
    lazy: (make) => (lazy = make(run, write)),

    load: (leads = false) => run(isShared && leads ? 'readwrite' : 'readonly', async (transaction, moved) => {
      const [rows, queue, state] = STORES.map((store) => transaction.objectStore(store));
      const [cursor, meta, last = 0, least = 0] = await Promise.all(['cursor', 'meta', 'term', 'least'].map((part) => done(state.get(part))));
      moved();
      if (least > STEPS.length) throw named('VersionError', 'A newer release stored it: reload the page.');
      if (transaction.mode === 'readwrite') state.put((term = last + 1), 'term');
      const [keys, all, at, edits] = await Promise.all(/** @type {Promise<any[]>[]} */ ([...lazy ? lazy.loaded(rows) : [done(rows.getAllKeys()), done(rows.getAll())], done(queue.getAllKeys()), done(queue.getAll())]));
      stored = edits;
      places = new Map(edits.map((edit, nth) => [edit.mutation_id, Number(at[nth])]));
      next = 1 + Math.floor(Number(at[at.length - 1] ?? -1));
      return { rows: all.map((row, nth) => [String(/** @type {any[]} */ (keys[nth])[0]), row]), queue: edits, cursor: cursor ?? null, meta: meta ?? {}, lazy: await lazy?.opened(transaction) };
    }),

    commit: (patches) => write(async (transaction, moved) => {
      const [rows, edits, state] = STORES.map((store) => transaction.objectStore(store));
      await lazy?.commit(transaction, patches, moved);
      for (const patch of patches) await putRows(rows, patch, moved);
      const last = (/** @type {'queue' | 'cursor' | 'meta'} */ part) => patches.findLast((patch) => patch[part] !== undefined)?.[part];
      const [queue, cursor, meta] = [/** @type {Edit[] | undefined} */ (last('queue')), last('cursor'), last('meta')];
      if (queue) putQueue(edits, queue);
      if (cursor !== undefined) state.put(cursor, 'cursor');
      if (meta) state.put(meta, 'meta');
      return queue;
    }),

    clear: () => write(async (transaction) => {
      const [rows, queue, state] = STORES.map((store) => transaction.objectStore(store));
      [rows, queue].forEach((store) => store.clear());
      ['cursor', 'meta'].forEach((part) => state.delete(part));
      return [];
    }),
  };

  /** @param {(transaction: IDBTransaction, moved: () => void) => Promise<Edit[] | undefined>} work Answers with the queue that it stores */
  async function write(work) {
    try {
      /** @type {Edit[] | undefined} */
      const queue = await run('readwrite', async (transaction, moved) => {
        // Another tab has taken over meanwhile, whatever this one believes.
        if (await done(transaction.objectStore('state').get('term')) !== term && term) throw named('Fenced', 'Another tab leads.');
        moved();
        return work(transaction, moved);
      });
      if (!queue) return;
      stored = queue;
      if (places.size > 2 * queue.length + CHUNK) places = new Map(queue.map(({ mutation_id }) => [mutation_id, /** @type {number} */ (places.get(mutation_id))]));
    } catch (fault) {
      // What was given up may be stored all the same.
      stored = null;
      throw fault;
    }
  }

  /**
   * A transaction, whole or not at all. A handle that was lost, or is stuck, is replaced once.
   * @template T @param {IDBTransactionMode} mode @param {(transaction: IDBTransaction, moved: () => void) => Promise<T>} work
   * @param {boolean} [isLast] @returns {Promise<T>}
   */
  async function run(mode, work, isLast = false) {
    const database = await (opening ??= open(name, () => (opening = undefined)).catch((fault) => {
      opening = undefined;
      throw fault;
    }));
    /** @type {IDBTransaction | undefined} */
    let transaction;
    /** @type {any} */
    let timer;
    try {
      const given = transaction = database.transaction(STORES, mode);
      return await new Promise((resolve, reject) => {
        const moved = (ms = STUCK_MS) => {
          clearTimeout(timer);
          timer = setTimeout(() => reject(named('TimeoutError', 'The storage does not answer.')), ms);
        };
        moved(BEGIN_MS);
        const worked = work(given, moved);
        worked.catch(reject);
        given.oncomplete = () => resolve(worked);
        given.onabort = () => reject(given.error ?? named('AbortError', 'The storage gave up.'));
      });
    } catch (fault) {
      // What was put before a fault would be stored otherwise. It may be over already.
      try {
        transaction?.abort();
      } catch {}
      if (isLast || !/^(InvalidState|Abort|Timeout|Unknown)Error$/.test(/** @type {Error} */ (fault).name)) throw fault;
      database.close();
      opening = undefined;
      return run(mode, work, true);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Writes what is new in the queue and drops what left it. @param {IDBObjectStore} store @param {Edit[]} queue */
  function putQueue(store, queue) {
    const { gone, come } = stored ? difference(stored, queue) : { gone: [], come: queue };
    const stay = new Set(come.map(({ mutation_id }) => mutation_id));
    const had = new Set(gone);
    const leave = stored ? gone.map(({ mutation_id }) => mutation_id) : [...places.keys()];
    for (const edit of come) {
      // Without locks another tab may write here too: its edits have other fractions.
      if (!places.has(edit.mutation_id)) places.set(edit.mutation_id, next++ + Math.random());
      if (!had.has(edit)) store.put(edit, places.get(edit.mutation_id));
    }
    for (const id of leave) if (!stay.has(id)) store.delete(/** @type {number} */ (places.get(id)));
  }
}

/** @param {IDBObjectStore} store @param {Patch} patch @param {() => void} moved */
async function putRows(store, { clear, rows = [] }, moved) {
  if (clear === true) store.clear();
  // An array sorts after every text, so this range is all rows of the table.
  else clear?.forEach((table) => store.delete(IDBKeyRange.bound([table], [table, []])));
  for (const [at, [table, id, row]] of rows.entries()) {
    /** @type {IDBRequest<any>} */
    const request = row ? store.put(row, [table, id]) : store.delete([table, id]);
    if (at % CHUNK !== CHUNK - 1) continue;
    await done(request);
    moved();
  }
}

/** The database, of this release's schema or a later one, or of an earlier one as long as a tab keeps it from being changed.
 * @param {string} name @param {() => void} closed Another tab changes the schema, or the browser took the database away @returns {Promise<IDBDatabase>}
 */
const open = (name, closed) => openAs(name, closed, STEPS.length).catch((fault) => {
  if (!/^(Version|Timeout)Error$/.test(fault.name)) throw fault;
  return openAs(name, closed);
});

/** @param {string} name @param {() => void} closed @param {number} [version] @returns {Promise<IDBDatabase>} */
const openAs = (name, closed, version) => new Promise((resolve, reject) => {
  const opening = indexedDB.open(name, version);
  let isLate = false;
  const late = () => {
    isLate = true;
    reject(named('TimeoutError', 'The storage can’t be opened.'));
  };
  const timer = setTimeout(late, OPEN_MS);
  opening.onblocked = late;
  opening.onupgradeneeded = ({ oldVersion }) =>
    STEPS.slice(oldVersion).forEach((step) => step(opening.result, /** @type {IDBTransaction} */ (opening.transaction)));
  opening.onerror = () => reject(opening.error);
  opening.onsuccess = () => {
    const database = opening.result;
    database.onclose = closed;
    database.onversionchange = () => {
      database.close();
      closed();
    };
    clearTimeout(timer);
    if (isLate) database.close();
    resolve(database);
  };
});

/** @template T @param {IDBRequest<T>} request @returns {Promise<T>} */
const done = (request) => new Promise((resolve, reject) => {
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(request.error);
});

/** @param {string} name @param {string} message */
const named = (name, message) => Object.assign(new Error(message), { name });
