// One table as the app uses it. Reads look at the copy and never wait for the network; writes show at once and are queued.

import { canonical } from './plain.js';
import { uuid } from './platform.js';

/** @import { Edited, Info, Insertable, Operation, Query, Queried, QuerySpec, Row } from './types.js' */

/**
 * @typedef {object} Source
 * @property {(table: string, id: string) => Promise<any>} see
 * @property {(table: string) => Promise<any[]>} seeAll
 * @property {(table: string, operation: Operation, row: any) => Edited<any>} write
 * @property {(table: string, spec: QuerySpec) => Queried} query
 * @property {(table: string, query: Query, callback: (rows: any[], info: Info) => void) => () => void} watch
 */

/** `T` is a row as it is read, `I` as it is inserted, `R` what an include has of it. @template T @template [I=Insertable<T>] @template [R=Record<string, any>] */
export class Table {
  #name;
  #source;

  /** @param {string} name @param {Source} source */
  constructor(name, source) {
    this.#name = name;
    this.#source = source;
  }

  /** @param {string} id @returns {Promise<T | undefined>} */
  get(id) {
    return this.#source.see(this.#name, id);
  }

  /** @returns {Promise<T[]>} */
  all() {
    return this.#source.seeAll(this.#name);
  }

  /** Rows whose fields equal those of `query`, or that pass its test.
   * @param {Partial<T> | ((row: T) => boolean)} query @returns {Promise<T[]>}
   */
  async where(query) {
    return (await this.all()).filter(matcher(query));
  }

  /** @param {I} row @returns {Edited<T>} The row with its id */
  insert(row) {
    return this.#source.write(this.#name, 'INSERT', withId(row));
  }

  /** @param {string} id @param {Partial<Omit<I, 'id'>>} changes Only what changes @returns {Edited<T | undefined>} */
  update(id, changes) {
    return this.#source.write(this.#name, 'UPDATE', { ...changes, id });
  }

  /** @param {I} row @returns {Edited<T>} */
  upsert(row) {
    return this.#source.write(this.#name, 'UPSERT', withId(row));
  }

  /** @param {string} id @returns {Edited<void>} */
  delete(id) {
    return this.#source.write(this.#name, 'DELETE', { id });
  }

  /** @template {Record<string, keyof R & string>} [Include={}] @param {QuerySpec<T, keyof R & string> & {include?: Include}} spec
   * @returns {Queried<T & {[As in keyof Include]: R[Include[As]]} & Record<string, any>>}
   */
  query(spec) {
    return /** @type {any} */ (this.#source.query(this.#name, spec));
  }

  /** Calls back with the rows now, and again whenever they have changed. `info` tells whether there was a first sync (`isReady`) and no line (`isStale`).
   * @param {Partial<T> | ((row: T) => boolean) | null} query @param {(rows: T[], info: Info) => void} callback
   * @returns {() => void} Ends it
   */
  subscribe(query, callback) {
    return this.#source.watch(this.#name, query, callback);
  }
}

/** @param {any} row */
const withId = (row) => ({ ...row, id: row.id ?? uuid() });

/** @param {Query} query @returns {(row: any) => boolean} */
export function matcher(query) {
  if (typeof query === 'function') return /** @type {(row: any) => boolean} */ (query);
  const fields = Object.entries(query ?? {}).map(([field, value]) => [field, canonical(value), canonical(value) !== value || field === 'id']);
  return (row) => fields.every(([field, value, isId]) => (isId ? canonical(row[field]) : row[field]) === value);
}
