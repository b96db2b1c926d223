// Lazy tables in the browser's IndexedDB. Rows lie where those of other tables lie, so a table becomes lazy, or whole, without a
// download. Beside them, in the store of the state, are the entries of indexes under keys that are lists, and under `lazy` the
// sums for digests. All that changes with the rows, in their transaction. A release that knows nothing of it leaves them as they
// are, and is found out: then they are made anew.

import { hashOf, P, Q, weigh } from '../damage.js';
import { keyIn, LAST } from './plan.js';
import { Lazy, LazyRows } from './rows.js';

/** @import { Cursor, Meta, Patch, Row } from '../types.js' */
/** @import { Shape } from './plan.js' */
/** @import { Found, Source, Wanted } from './rows.js' */
/** @typedef {{upTo: string | true, rows: number, version_sum: number, p: number, q: number}} Sums `upTo`: of rows up to that id; true is of all */
/** @typedef {{shape: Shape, upTo: string | true, isBad?: boolean, made: number}} Index */
/** @typedef {{mark: string, clears: Record<string, number>, sums: Record<string, Sums>, indexes: Record<string, Record<string, Index>>}} Kept */
/** @typedef {(transaction: IDBTransaction, moved: () => void) => Promise<any>} Work */
/**
 * @typedef {object} LazyHooks
 * @property {(rows: IDBObjectStore) => [keys: Promise<any[]>, rows: Promise<any[]>]} loaded The rows that are loaded
 * @property {(transaction: IDBTransaction) => Promise<Lazy>} opened
 * @property {(transaction: IDBTransaction, patches: Patch[], moved: () => void) => Promise<void>} commit Before the rows are put
 */

/** Rows looked at in one go. */
const CHUNK = 500;
/** Indexes of one table; of more, the oldest goes. */
const INDEXES_MOST = 8;

/** @param {string[]} tables @returns {(run: (mode: IDBTransactionMode, work: Work) => Promise<any>, write: (work: Work) => Promise<any>) => LazyHooks} */
export const inDatabase = (tables) => (run, write) => {
  /** @type {LazyRows[]} */
  let opened = [];
  /** As they were seen last. @type {Record<string, number>} */
  let clears = {};
  /** Makes indexes and sums, one at a time. */
  let making = Promise.resolve();

  /** What is kept beside the rows; nothing of it counts if somebody else wrote since. @param {IDBTransaction} transaction @returns {Promise<Kept>} */
  async function keptIn(transaction) {
    const state = transaction.objectStore('state');
    const [lazy, cursor, meta] = await Promise.all(['lazy', 'cursor', 'meta'].map((part) => done(state.get(part))));
    if (lazy?.mark === markOf(cursor, meta, tables)) return lazy;
    return { mark: '', clears: lazy?.clears ?? {}, sums: {}, indexes: {} };
  }

  /** @type {Source} */
  const source = {
    read: (table, wanted) => run('readonly', async (transaction) => {
      const kept = await keptIn(transaction);
      const count = kept.clears[table] ?? 0;
      if (wanted.name !== undefined && kept.indexes[table]?.[wanted.name]?.upTo !== true) return;
      return { ...await rowsIn(transaction, table, wanted), clears: count };
    }),
    index: (table, name, shape) => void (making = making.then(() => make(table, name, shape)).catch(() => {})),
    async sums(table) {
      making = making.then(() => make(table)).catch(() => {});
      await making;
      const { upTo, rows, version_sum, p, q } = (await run('readonly', keptIn)).sums[table] ?? {};
      return upTo === true ? { rows, version_sum, hash: hashOf([p, q]) } : undefined;
    },
  };

  /** Makes an index, or the sums, as far as that was not done before. @param {string} table @param {string} [name] @param {Shape} [shape] */
  async function make(table, name, shape) {
    for (let isOver = false; !isOver; ) {
      await write(async (transaction, moved) => {
        const kept = await begun(transaction);
        const [rows, state] = ['rows', 'state'].map((store) => transaction.objectStore(store));
        const indexes = (kept.indexes[table] ??= {});
        const one = name === undefined ? (kept.sums[table] ??= { upTo: '', rows: 0, version_sum: 0, p: 0, q: 0 })
          : (indexes[name] ??= { shape: /** @type {Shape} */ (shape), upTo: '', made: Date.now() });
        isOver = one.upTo === true || Boolean('isBad' in one && one.isBad);
        if (isOver) return;
        if (name !== undefined) retire(state, table, indexes, name);
        const found = await done(rows.getAll(IDBKeyRange.bound([table, one.upTo], [table, []], true), CHUNK));
        moved();
        for (const row of found) {
          if ('shape' in one) enter(state, table, /** @type {string} */ (name), one, row);
          else count(one, row, 1);
        }
        if (!('isBad' in one && one.isBad)) one.upTo = found.length < CHUNK ? true : found[CHUNK - 1].id;
        state.put(kept, 'lazy');
      });
    }
  }

  /** What is kept beside the rows, begun anew if somebody else wrote since. @param {IDBTransaction} transaction */
  async function begun(transaction) {
    const kept = await keptIn(transaction);
    if (kept.mark) return kept;
    const state = transaction.objectStore('state');
    const [cursor, meta] = await Promise.all(['cursor', 'meta'].map((part) => done(state.get(part))));
    state.delete(IDBKeyRange.lowerBound([]));
    kept.mark = markOf(cursor, meta, tables);
    return kept;
  }

  /** @param {Sums} sums @param {Row} row @param {1 | -1} sign */
  function count(sums, row, sign) {
    const [p, q] = weigh(row);
    sums.rows += sign;
    sums.version_sum += sign * row._version;
    sums.p = (sums.p + sign * p + P) % P;
    sums.q = (sums.q + sign * q + Q) % Q;
  }

  /** Where the rows of the other tables lie. */
  const ranges = () => [
    ...tables.map((table, at) => (at ? IDBKeyRange.bound([tables[at - 1], []], [table], true, true) : IDBKeyRange.upperBound([table], true))),
    IDBKeyRange.lowerBound(tables.length ? [tables[tables.length - 1], []] : [], true),
  ];

  return {
    loaded(rows) {
      const all = (/** @type {'getAllKeys' | 'getAll'} */ what) => Promise.all(ranges().map((range) => done(/** @type {IDBRequest<any[]>} */ (rows[what](range))))).then((some) => some.flat());
      return [all('getAllKeys'), all('getAll')];
    },
    async opened(transaction) {
      clears = (await done(transaction.objectStore('state').get('lazy')))?.clears ?? {};
      opened = tables.map((table) => new LazyRows(table, source, clears[table] ?? 0));
      return new Lazy(opened);
    },
    async commit(transaction, patches, moved) {
      opened.forEach((one) => one.storing());
      const [rows, state] = ['rows', 'state'].map((store) => transaction.objectStore(store));
      const kept = await begun(transaction);
      for (const table of tables) await change(rows, state, kept, table, patches, moved);
      const last = (/** @type {'cursor' | 'meta'} */ part) => patches.findLast((patch) => patch[part] !== undefined)?.[part];
      const [cursor, meta] = await Promise.all([last('cursor') ?? done(state.get('cursor')), last('meta') ?? done(state.get('meta'))]);
      kept.mark = markOf(/** @type {any} */ (cursor), /** @type {any} */ (meta), tables);
      state.put(kept, 'lazy');
      transaction.addEventListener('complete', () => {
        clears = kept.clears;
        opened.forEach((one) => one.stored(patches, clears[one.table] ?? 0));
      });
    },
  };

  /** What patches mean for the indexes and sums of a table. @param {IDBObjectStore} store @param {IDBObjectStore} state @param {Kept} kept @param {string} table @param {Patch[]} patches @param {() => void} moved */
  async function change(store, state, kept, table, patches, moved) {
    /** @type {Map<string, Row | null>} */
    const news = new Map();
    let isCleared = false;
    for (const { clear, rows = [] } of patches) {
      if (clear === true || clear?.includes(table)) {
        news.clear();
        isCleared = true;
        kept.clears[table] = (kept.clears[table] ?? 0) + 1;
      }
      for (const [one, id, row] of rows) if (one === table) news.set(id, row);
    }
    if (isCleared) {
      state.delete(IDBKeyRange.bound([table], [table, LAST]));
      kept.sums[table] = { upTo: true, rows: 0, version_sum: 0, p: 0, q: 0 };
      for (const index of Object.values(kept.indexes[table] ?? {})) Object.assign(index, { upTo: true, isBad: false });
    }
    if (!news.size) return;
    const sums = kept.sums[table];
    const indexes = Object.entries(kept.indexes[table] ?? {});
    const isEmpty = isCleared || (sums?.upTo === true && !sums.rows);
    if (!sums && !indexes.length) return;
    const all = [...news];
    for (let at = 0; at < all.length; at += CHUNK) {
      const some = all.slice(at, at + CHUNK);
      const olds = isEmpty ? [] : await Promise.all(some.map(([id]) => done(store.get([table, id]))));
      moved();
      some.forEach(([id, row], nth) => {
        const old = olds[nth];
        for (const [name, index] of indexes) {
          if (old) leave(state, table, name, index, old);
          if (row) enter(state, table, name, index, row);
        }
        if (!sums || (sums.upTo !== true && id > sums.upTo)) return;
        if (old) count(sums, old, -1);
        if (row) count(sums, row, 1);
      });
    }
  }
};

/** What tells that nobody else wrote rows since. @param {Cursor | null | undefined} cursor @param {Meta | undefined} meta @param {string[]} tables */
const markOf = (cursor, meta, tables) => JSON.stringify([cursor ?? null, meta?.lastSync, meta?.repaired, meta?.tables, tables]);

/** @param {IDBTransaction} transaction @param {string} table @param {Wanted} wanted @returns {Promise<Omit<Found, 'clears'>>} */
async function rowsIn(transaction, table, { ids, name, values = [], from, to, after, count = CHUNK }) {
  const [rows, state] = ['rows', 'state'].map((store) => transaction.objectStore(store));
  const get = (/** @type {string} */ id) => done(rows.get([table, id]));
  if (ids) return { rows: await Promise.all(ids.map(get)) };
  if (name === undefined) {
    const found = await done(rows.getAll(IDBKeyRange.bound([table, after ?? ''], [table, []], after !== undefined), count));
    return { rows: found, next: found.length < count ? undefined : found[count - 1].id };
  }
  const prefix = [table, name, ...values];
  const low = after ?? (from === undefined ? prefix : [...prefix, from]);
  const high = to === undefined ? [...prefix, LAST] : [...prefix, to, LAST];
  // Nothing can be there.
  if (indexedDB.cmp(low, high) >= 0) return { rows: [] };
  const keys = /** @type {any[][]} */ (await done(state.getAllKeys(IDBKeyRange.bound(low, high, after !== undefined), count)));
  return { rows: await Promise.all(keys.map((key) => get(key[key.length - 1]))), next: keys.length < count ? undefined : keys[count - 1] };
}

/** @param {IDBObjectStore} state @param {string} table @param {string} name @param {Index} index @param {Row} row */
function enter(state, table, name, index, row) {
  const parts = keyIn(index.shape, row);
  if (parts) state.put(0, [table, name, ...parts, row.id]);
  // Such a value has no order: the table is looked through instead.
  else index.isBad = true, index.upTo = '';
}

/** @param {IDBObjectStore} state @param {string} table @param {string} name @param {Index} index @param {Row} row */
function leave(state, table, name, { shape }, row) {
  const parts = keyIn(shape, row);
  if (parts) state.delete([table, name, ...parts, row.id]);
}

/** Makes room for an index. @param {IDBObjectStore} state @param {string} table @param {Record<string, Index>} indexes @param {string} name */
function retire(state, table, indexes, name) {
  const others = Object.keys(indexes).filter((other) => other !== name).sort((one, other) => indexes[one].made - indexes[other].made);
  for (const old of others.slice(0, Math.max(0, others.length + 1 - INDEXES_MOST))) {
    state.delete(IDBKeyRange.bound([table, old], [table, old, LAST]));
    delete indexes[old];
  }
}

/** @template T @param {IDBRequest<T>} request @returns {Promise<T>} */
const done = (request) => new Promise((resolve, reject) => {
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(request.error);
});
