// A copy in the browser's IndexedDB. Rows, queue and cursor change in one transaction, so a page killed at any moment
// goes on from a state that once was whole.

/** @import { Edit, Patch, Storage } from '../types.js' */

const VERSION = 1;
/** Rows written in one go. More, and the page would stutter while a first download is stored. */
const CHUNK = 500;

/** @param {string} name @returns {Storage} */
export function indexedDbStorage(name) {
  /** @type {Promise<IDBDatabase> | undefined} */
  let opening;
  /** What the queue's store holds. @type {Map<string, {at: number, edit: Edit}>} */
  let stored = new Map();
  let next = 0;
  const database = () => (opening ??= openDatabase(name, () => (opening = undefined)));

  return {
    async load() {
      const all = (await database()).transaction(['rows', 'queue', 'state']);
      const queue = all.objectStore('queue');
      const [keys, rows, places, edits, cursor, meta] = await Promise.all([
        done(all.objectStore('rows').getAllKeys()), done(all.objectStore('rows').getAll()),
        done(queue.getAllKeys()), done(queue.getAll()),
        done(all.objectStore('state').get('cursor')), done(all.objectStore('state').get('meta')),
      ]);
      stored = new Map(edits.map((edit, at) => [edit.mutation_id, { at: Number(places[at]), edit }]));
      next = 1 + Math.floor(Number(places[places.length - 1] ?? -1));
      return { rows: rows.map((row, at) => [String(/** @type {any[]} */ (keys[at])[0]), row]), queue: edits, cursor: cursor ?? null, meta: meta ?? {} };
    },

    async commit(patches) {
      const transaction = (await database()).transaction(['rows', 'queue', 'state'], 'readwrite');
      const ended = committed(transaction);
      ended.catch(() => {});
      const before = { stored, next };
      try {
        for (const patch of patches) await putRows(transaction.objectStore('rows'), patch);
        const last = (/** @type {'queue' | 'cursor' | 'meta'} */ part) => patches.findLast((patch) => patch[part] !== undefined)?.[part];
        const [queue, cursor, meta] = [/** @type {Edit[] | undefined} */ (last('queue')), last('cursor'), last('meta')];
        if (queue) putQueue(transaction.objectStore('queue'), queue);
        if (cursor !== undefined) transaction.objectStore('state').put(cursor, 'cursor');
        if (meta) transaction.objectStore('state').put(meta, 'meta');
        await ended;
      } catch (fault) {
        ({ stored, next } = before);
        // What was put before a fault would be stored otherwise. It may be over already.
        try {
          transaction.abort();
        } catch {}
        throw fault;
      }
    },

    async clear() {
      const transaction = (await database()).transaction(['rows', 'queue', 'state'], 'readwrite');
      for (const store of ['rows', 'queue', 'state']) transaction.objectStore(store).clear();
      await committed(transaction);
      stored = new Map();
    },
  };

  /** Writes what is new in the queue and drops what left it. @param {IDBObjectStore} store @param {Edit[]} queue */
  function putQueue(store, queue) {
    const now = new Map();
    for (const edit of queue) {
      const known = stored.get(edit.mutation_id);
      // Without locks another tab may write here too: its edits have other fractions.
      const at = known?.at ?? next++ + Math.random();
      if (known?.edit !== edit) store.put(edit, at);
      now.set(edit.mutation_id, { at, edit });
    }
    for (const [id, { at }] of stored) if (!now.has(id)) store.delete(at);
    stored = now;
  }
}

/** @param {IDBObjectStore} store @param {Patch} patch */
async function putRows(store, { clear, rows = [] }) {
  if (clear === true) store.clear();
  // An array sorts after every text, so this range is all rows of the table.
  else clear?.forEach((table) => store.delete(IDBKeyRange.bound([table], [table, []])));
  for (const [at, [table, id, row]] of rows.entries()) {
    /** @type {IDBRequest<any>} */
    const request = row ? store.put(row, [table, id]) : store.delete([table, id]);
    if (at % CHUNK === CHUNK - 1) await done(request);
  }
}

/** @param {string} name @param {() => void} closed The browser took it away, such as when its data was cleared @returns {Promise<IDBDatabase>} */
async function openDatabase(name, closed) {
  const opening = indexedDB.open(name, VERSION);
  opening.onupgradeneeded = () => ['rows', 'queue', 'state'].forEach((store) => opening.result.createObjectStore(store));
  const database = await done(opening);
  database.onclose = closed;
  return database;
}

/** @template T @param {IDBRequest<T>} request @returns {Promise<T>} */
const done = (request) => new Promise((resolve, reject) => {
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(request.error);
});

/** @param {IDBTransaction} transaction @returns {Promise<void>} */
const committed = (transaction) => new Promise((resolve, reject) => {
  transaction.oncomplete = () => resolve();
  transaction.onabort = () => reject(transaction.error);
});
