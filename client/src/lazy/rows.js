// What memory has of tables that stay in storage: the rows that storage does not have yet, and those that edits build on.

import { canonical } from '../plain.js';
import { see } from '../replica.js';

/** @import { Copy, Patch, Row } from '../types.js' */
/** @typedef {{ids?: string[], name?: string, values?: any[], from?: any, to?: any, after?: any, count?: number}} Wanted Rows by their ids, or the next `count` of an index, or of all by id. */
/** @typedef {{rows: (Row | undefined)[], clears: number, next?: any}} Found `clears` counts how often the table was cleared; `next` is where it goes on, if it does. */
/**
 * @typedef {object} Source What storage answers of a table.
 * @property {(table: string, wanted: Wanted) => Promise<Found | undefined>} read Nothing if it has no such index
 * @property {(table: string, name: string, shape: import('./plan.js').Shape) => void} index Makes an index, for later
 * @property {(table: string) => Promise<{rows: number, version_sum: number, hash: string} | undefined>} sums
 */

/** Rows that are kept for edits to build on. */
const PINNED_MOST = 1000;
/** Rows that may be stored by now are looked for once they are so many. */
const FRESH_MOST = 500;

/** A row as the person sees it. @param {Row | undefined} row @param {Copy} copy @param {string} table @param {string} id */
export const shown = (row, { edits }, table, id) => (edits.has(`${table} ${id}`) ? see({ rows: new Map([[table, new Map(row ? [[id, row]] : [])]]), edits }, table, id) : row);

export class LazyRows {
  table;
  source;
  /** Null is gone. @type {Map<string, Row | null>} */
  #fresh = new Map();
  /** Rows as they are stored, or will be. @type {Map<string, Row | undefined>} */
  #pinned = new Map();
  /** Counts the clearings here, also as it was when the last transaction began. */
  #era = 0;
  #storing = 0;
  /** How often storage has cleared the table, and how often it has once the last one here is done. */
  #cleared = 0;
  #toClear = 0;
  /** Reads under way; what they may miss stays until they end. */
  #readers = 0;
  /** @type {[string, Row | null | undefined][]} */
  #stored = [];
  #isLooking = false;
  /** Whether this tab stores, and so knows what is. */
  #isWriter = false;

  /** @param {string} table @param {Source} source @param {number} cleared */
  constructor(table, source, cleared) {
    this.table = table;
    this.source = source;
    this.#cleared = this.#toClear = cleared;
  }

  /** @param {string} id */
  get(id) {
    return this.#fresh.has(id) ? this.#fresh.get(id) ?? undefined : this.#pinned.get(id);
  }

  /** Whether only storage knows. @param {string} id */
  lacks(id) {
    return !this.#fresh.has(id) && !this.#pinned.has(id) && !this.isCleared;
  }

  /** @param {string} id @param {Row} row */
  set(id, row) {
    this.#put(id, row);
  }

  /** @param {string} id */
  delete(id) {
    this.#put(id, null);
  }

  clear() {
    this.#fresh.clear();
    this.#pinned.clear();
    this.#era++;
    this.#toClear = this.#cleared + 1;
  }

  /** Another leader's storage is what counts: what its last one did not store never was. */
  kept() {
    this.#toClear = this.#cleared;
    this.#fresh.clear();
    this.#pinned.clear();
  }

  /** Nothing that storage holds is in the table any more. */
  get isCleared() {
    return this.#toClear > this.#cleared;
  }

  /** Changes with each clearing. */
  get era() {
    return this.#era;
  }

  /** The ids of the rows that memory has. */
  known() {
    return new Set([...this.#fresh.keys(), ...this.#pinned.keys()]);
  }

  /** What storage does not have yet. */
  [Symbol.iterator]() {
    return this.#fresh[Symbol.iterator]();
  }

  /** @param {string} id @param {Row | null} row */
  #put(id, row) {
    this.#fresh.set(id, row);
    if (this.#pinned.has(id)) this.#pinned.set(id, row ?? undefined);
    if (this.#fresh.size > FRESH_MOST && !this.#isWriter && !this.#isLooking) this.#look();
  }

  /** A tab that follows is not told what is stored. */
  async #look() {
    this.#isLooking = true;
    const all = this.#fresh.entries();
    const entries = Array.from({ length: Math.min(FRESH_MOST, this.#fresh.size) }, () => /** @type {[string, Row | null]} */ (all.next().value));
    const rows = await this.read({ ids: entries.map(([id]) => id) }).catch(() => null);
    this.#isLooking = false;
    if (rows && !this.isCleared) this.#drop(entries.filter(([, row], at) => rows.rows[at]?._version === row?._version));
  }

  /** All that is here goes to storage now. */
  storing() {
    this.#storing = this.#era;
  }

  /** Storage has patches now. @param {Patch[]} patches @param {number} clears How often it has cleared the table */
  stored(patches, clears) {
    this.#isWriter = true;
    this.#cleared = clears;
    // What was given up, or made one, counts as done.
    this.#toClear = clears + Number(this.#era > this.#storing);
    this.#drop(patches.flatMap(({ rows = [] }) => rows.filter(([table]) => table === this.table).map(([, id, row]) => /** @type {[string, Row | null]} */ ([id, row]))));
  }

  /** @param {[string, Row | null | undefined][]} entries */
  #drop(entries) {
    if (this.#readers) return void this.#stored.push(...entries);
    for (const [id, row] of entries) if (this.#fresh.get(id) === row) this.#fresh.delete(id);
  }

  /** What storage has, or nothing while it is to be cleared. Until `over`, memory forgets nothing that this may lack. @param {Wanted} wanted @returns {Promise<Found | undefined>} */
  async read(wanted) {
    for (;;) {
      const found = await this.source.read(this.table, wanted);
      if (!found) return found;
      this.#cleared = Math.max(this.#cleared, found.clears);
      if (found.clears >= this.#toClear) return found;
      if (this.isCleared) return { rows: (wanted.ids ?? []).map(() => undefined), clears: found.clears };
    }
  }

  /** Does something that reads. @template T @param {() => Promise<T>} work @returns {Promise<T>} */
  async reading(work) {
    this.#readers++;
    try {
      return await work();
    } finally {
      if (!--this.#readers) this.#drop(this.#stored.splice(0));
    }
  }

  /** Has these rows in memory. @param {string[]} ids @param {Copy} copy */
  async pin(ids, copy) {
    if (this.#pinned.size > PINNED_MOST) for (const id of this.#pinned.keys()) if (!copy.edits.has(`${this.table} ${id}`)) this.#pinned.delete(id);
    await this.reading(async () => {
      const missing = ids.filter((id) => this.lacks(id));
      if (!missing.length) return;
      const found = await this.read({ ids: missing });
      missing.forEach((id, at) => this.#pinned.has(id) || this.#pinned.set(id, this.#fresh.has(id) ? this.#fresh.get(id) ?? undefined : found?.rows[at]));
    });
  }

  /** Rows as the server confirmed them. @param {string[]} ids @returns {Promise<Map<string, Row | undefined>>} */
  confirmed(ids) {
    return this.reading(async () => {
      const missing = ids.filter((id) => this.lacks(id));
      const found = missing.length ? await this.read({ ids: missing }) : undefined;
      const read = new Map(missing.map((id, at) => [id, found?.rows[at]]));
      return new Map(ids.map((id) => [id, this.lacks(id) ? read.get(id) : this.get(id)]));
    });
  }
}

export class Lazy {
  /** @type {[string, LazyRows][]} */
  rows;
  #waiting = Promise.resolve();
  /** @type {Map<string, LazyRows>} */
  #tables;

  /** @param {LazyRows[]} tables */
  constructor(tables) {
    this.rows = tables.map((one) => [one.table, one]);
    this.#tables = new Map(this.rows);
  }

  /** @param {string} table */
  of(table) {
    return this.#tables.get(table);
  }

  kept() {
    this.rows.forEach(([, rows]) => rows.kept());
  }

  /** The tables of which memory has all that counts. @param {Map<string, unknown>} rows Of the copy @returns {string[]} */
  loaded(rows) {
    return [...rows.keys()].filter((table) => this.of(table)?.isCleared ?? true);
  }

  /** What the person sees of a row. */
  see = async (/** @type {Copy} */ copy, /** @type {string} */ table, /** @type {string} */ id) => {
    const rows = this.of(table);
    if (!rows) return see(copy, table, id);
    return shown((await rows.confirmed([id])).get(id), copy, table, id);
  };

  /** What the tables add up to, as far as that is known. @param {(() => Promise<boolean>) | undefined} stored Waits for storage @returns {Promise<Record<string, import('../types.js').Digest[string] | undefined>>} */
  async sums(stored) {
    const isStored = await stored?.();
    const found = await Promise.all(this.rows.map(async ([table, { source }]) => [table, isStored ? await source.sums(table).catch(() => undefined) : undefined]));
    return Object.fromEntries(found);
  }

  /** Has the rows of writes in memory, as one after the other is asked for. Answers whether another tab leads by then. @param {[table: string, operation: string, row: any][]} writes @param {import("../device.js").Device} device @returns {Promise<boolean>} */
  want(writes, device) {
    this.#waiting = this.#waiting.catch(() => {}).then(async () => {
      for (const [table, rows] of this.rows) {
        const ids = writes.filter(([one, , row]) => one === table && row?.id).map(([, , { id }]) => canonical(id));
        // Without storage an edit is made all the same.
        if (ids.length) await rows.pin(ids, device.copy).catch(() => {});
      }
    });
    // The copy may have been loaded anew meanwhile.
    return this.#waiting.then(() => (device.copy.lazy && device.copy.lazy !== this ? device.copy.lazy.want(writes, device) : device.owner.persister.isResting));
  }
}
