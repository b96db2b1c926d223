// Queries over the copy: what passes, in which order, with what it refers to, and what it adds up to. A query that is
// followed looks at the rows that changed, never at the whole table again.

import { compareBy, groupKey, passing } from './conditions.js';
import { canonical } from './plain.js';
import { see, seeAll } from './replica.js';

/** @import { Changed, Copy, Info, QuerySpec } from './types.js' */

/**
 * @typedef {object} Source
 * @property {() => Promise<unknown>} ready
 * @property {() => Copy} copy
 * @property {() => boolean} isStale
 * @property {(look: (changed: Changed | null) => void) => () => void} watch
 */

/** @param {Source} source @param {string} table @param {QuerySpec} spec @param {(row: any) => boolean} [test] What rows also have to pass */
export const made = (source, table, spec, test) => new Query(source, table, spec, test);

export class Query {
  #source;
  #table;
  #spec;
  #passes;
  #compare;
  /** All rows that pass, in their order; grouped ones in none. @type {any[]} */
  #sorted = [];
  /** Those rows by id. @type {Map<string, any>} */
  #rows = new Map();
  #includes;
  #groups;

  /** @param {Source} source @param {string} table @param {QuerySpec} spec @param {(row: any) => boolean} [test] */
  constructor(source, table, spec, test = () => true) {
    this.#source = source;
    this.#table = table;
    this.#spec = spec;
    const holds = passing(spec.where);
    this.#passes = (/** @type {any} */ row) => holds(row) && test(row);
    this.#compare = compareBy(spec.orderBy);
    this.#includes = Object.entries(spec.include ?? {}).map(([name, by]) => new Include(name, by));
    this.#groups = spec.groupBy || spec.aggregate ? new Groups(spec) : null;
  }

  /** The rows now. */
  async get() {
    await this.#source.ready();
    this.#fill(this.#source.copy());
    return this.#window();
  }

  async first() {
    return (await this.get())[0];
  }

  async count() {
    return (await this.#all()).length;
  }

  /** @param {string} field */
  async sum(field) {
    return numbers(await this.#all(), field).reduce((sum, value) => sum + value, 0);
  }

  /** @param {string} field */
  async avg(field) {
    const all = numbers(await this.#all(), field);
    return all.length ? all.reduce((sum, value) => sum + value, 0) / all.length : null;
  }

  /** @param {string} field */
  async min(field) {
    return (await this.#all()).map((row) => row[field]).reduce((least, value) => (value != null && (least === null || value < least) ? value : least), null);
  }

  /** @param {string} field */
  async max(field) {
    return (await this.#all()).map((row) => row[field]).reduce((most, value) => (value != null && (most === null || value > most) ? value : most), null);
  }

  /** @param {(rows: any[], info: Info & {changed: string[]}) => void} callback @returns {() => void} Ends it */
  subscribe(callback) {
    const { copy, isStale, watch } = this.#source;
    let isFilled = false;
    /** @type {boolean | undefined} */
    let wasReady;
    /** @type {any[]} */
    let last = [];
    let isOver = false;
    const stop = watch((changed) => {
      const now = copy();
      const isReady = Boolean(now.cursor);
      const touched = isFilled && changed ? this.#take(now, changed) : this.#fill(now);
      isFilled = true;
      if (!touched.size && wasReady === isReady) return;
      const rows = this.#window();
      // Outside the window nothing is to be told.
      if (wasReady === isReady && rows.length === last.length && rows.every((row, at) => row === last[at])) return;
      [last, wasReady] = [rows, isReady];
      queueMicrotask(() => isOver || callback(rows, { isReady, isStale: isStale(), changed: [...touched] }));
    });
    return () => {
      isOver = true;
      stop();
    };
  }

  async #all() {
    await this.#source.ready();
    return this.#found(this.#source.copy());
  }

  /** The rows that pass. One that is named is not looked for. @param {Copy} copy */
  #found(copy) {
    const id = this.#spec.where?.id;
    const some = typeof id === 'string' ? [see(copy, this.#table, canonical(id)) ?? []].flat() : seeAll(copy, this.#table);
    return some.filter(this.#passes);
  }

  /** @param {Copy} copy @returns {Set<string>} */
  #fill(copy) {
    this.#groups?.clear();
    this.#includes.forEach((include) => include.fill(copy));
    const found = this.#found(copy).map((row) => this.#joined(copy, row));
    const touched = new Set([...this.#rows.keys(), ...found.map(({ id }) => id)]);
    this.#rows = new Map(found.map((row) => [row.id, row]));
    if (this.#groups) found.forEach((row) => this.#groups?.add(row));
    else this.#sorted = found.sort(this.#compare);
    return touched;
  }

  /** @param {Copy} copy @param {Changed} changed @returns {Set<string>} The rows that are others now */
  #take(copy, changed) {
    const ids = changed.get(this.#table);
    if (ids === null || this.#includes.some((include) => include.isWhole(changed))) return this.#fill(copy);
    const due = new Set(ids ?? []);
    for (const include of this.#includes) for (const id of include.take(copy, changed)) if (this.#rows.has(id)) due.add(id);
    const touched = new Set();
    for (const id of due) {
      const row = see(copy, this.#table, id);
      const [had, passes] = [this.#rows.get(id), row && this.#passes(row)];
      if (!had && !passes) continue;
      touched.add(id);
      // First: it forgets what the old row refers to.
      if (had) this.#drop(had);
      if (passes) this.#put(this.#joined(copy, row));
    }
    return touched;
  }

  /** @param {any} row */
  #put(row) {
    this.#rows.set(row.id, row);
    if (this.#groups) this.#groups.add(row);
    else this.#sorted.splice(this.#place(row), 0, row);
  }

  /** @param {any} row */
  #drop(row) {
    this.#rows.delete(row.id);
    this.#includes.forEach((include) => include.forget(row));
    if (this.#groups) this.#groups.remove(row);
    else this.#sorted.splice(this.#place(row), 1);
  }

  /** Where a row is, or would be. @param {any} row */
  #place(row) {
    let [from, to] = [0, this.#sorted.length];
    while (from < to) {
      const middle = (from + to) >> 1;
      if (this.#compare(this.#sorted[middle], row) < 0) from = middle + 1;
      else to = middle;
    }
    return from;
  }

  #window() {
    const { limit = Infinity, offset = 0 } = this.#spec;
    const all = this.#groups ? this.#groups.rows().sort(this.#compare) : this.#sorted;
    return all.slice(offset, offset + limit);
  }

  /** @param {Copy} copy @param {any} row */
  #joined(copy, row) {
    return this.#includes.reduce((made, include) => ({ ...made, [include.name]: include.of(copy, row) }), row);
  }
}

/** What rows refer to (`food_id`), or what refers to them (`exercise_sets.workout_exercise_id`). */
export class Include {
  #field;
  /** Of the other rows; found out by the first reference that leads somewhere. @type {string | undefined} */
  #table;
  #isMany;
  /** What refers to a row (many), or the rows that refer to one. @type {Map<string, Set<string>>} */
  #index = new Map();
  /** Under which key each is there. @type {Map<string, string>} */
  #keys = new Map();

  /** @param {string} name @param {string} by */
  constructor(name, by) {
    this.name = name;
    const [one, two] = by.split('.');
    this.#isMany = two !== undefined;
    this.#field = two ?? one;
    this.#table = two === undefined ? undefined : one;
  }

  /** @param {Copy} copy */
  fill(copy) {
    this.#index = new Map();
    this.#keys = new Map();
    if (this.#isMany) for (const row of seeAll(copy, /** @type {string} */ (this.#table))) this.#note(row[this.#field], row.id);
  }

  /** @param {Changed} changed */
  isWhole(changed) {
    return this.#table !== undefined && changed.get(this.#table) === null;
  }

  /** @param {Copy} copy @param {Changed} changed @returns {Iterable<string>} The rows whose includes are others now */
  take(copy, changed) {
    const ids = this.#table === undefined ? undefined : changed.get(this.#table);
    if (!ids) return [];
    if (!this.#isMany) return [...ids].flatMap((id) => [...this.#index.get(id) ?? []]);
    const due = new Set();
    for (const id of ids) {
      const before = this.#keys.get(id);
      if (before !== undefined) due.add(before);
      const owner = see(copy, /** @type {string} */ (this.#table), id)?.[this.#field];
      if (owner != null) due.add(owner);
      this.#note(owner, id);
    }
    return due;
  }

  /** @param {Copy} copy @param {any} row */
  of(copy, row) {
    if (this.#isMany) return [...this.#index.get(row.id) ?? []].map((id) => see(copy, /** @type {string} */ (this.#table), id)).filter(Boolean);
    const id = row[this.#field];
    if (id == null) return null;
    this.#note(id, row.id);
    // Ids are one of a kind, so whichever table has it is the one.
    this.#table ??= [...copy.rows.keys()].find((table) => see(copy, table, id)) ?? copy.queue.find(({ data }) => data.id === id)?.table;
    return (this.#table && see(copy, this.#table, id)) ?? null;
  }

  /** @param {any} row */
  forget(row) {
    if (!this.#isMany) this.#note(null, row.id);
  }

  /** @param {string | null | undefined} key @param {string} id */
  #note(key, id) {
    const before = this.#keys.get(id);
    if (before !== undefined) this.#index.get(before)?.delete(id);
    if (key == null) return void this.#keys.delete(id);
    this.#keys.set(id, key);
    const some = this.#index.get(key);
    if (some) some.add(id);
    else this.#index.set(key, new Set([id]));
  }
}

/** Rows added up, by group. */
export class Groups {
  #keyOf;
  #sums;
  /** @type {Map<string, {key: Record<string, any>, rows: Map<string, any>, sums: Record<string, number>, counts: Record<string, number>, shown: any}>} */
  #groups = new Map();

  /** @param {QuerySpec} spec */
  constructor({ groupBy, aggregate = { count: 'count' } }) {
    this.#keyOf = groupKey(groupBy);
    this.#sums = Object.entries(aggregate).map(([name, what]) => /** @type {[string, string, string]} */ ([name, .../** @type {[string, string]} */ (what === 'count' ? ['count', ''] : Object.entries(what)[0])]));
  }

  clear() {
    this.#groups.clear();
  }

  /** @param {any} row */
  add(row) {
    const key = this.#keyOf(row);
    const text = JSON.stringify(key);
    const group = this.#groups.get(text) ?? { key, rows: new Map(), sums: {}, counts: {}, shown: null };
    this.#groups.set(text, group);
    group.rows.set(row.id, row);
    this.#count(group, row, 1);
  }

  /** @param {any} row */
  remove(row) {
    const text = JSON.stringify(this.#keyOf(row));
    const group = this.#groups.get(text);
    if (!group) return;
    group.rows.delete(row.id);
    if (group.rows.size) this.#count(group, row, -1);
    else this.#groups.delete(text);
  }

  rows() {
    return [...this.#groups.values()].map((group) => (group.shown ??= this.#shown(group)));
  }

  /** @param {any} group @param {any} row @param {number} sign */
  #count(group, row, sign) {
    group.shown = null;
    for (const [name, how, field] of this.#sums) {
      if ((how !== 'sum' && how !== 'avg') || typeof row[field] !== 'number') continue;
      group.sums[name] = (group.sums[name] ?? 0) + sign * row[field];
      group.counts[name] = (group.counts[name] ?? 0) + sign;
    }
  }

  /** @param {any} group */
  #shown({ key, rows, sums, counts }) {
    const made = { ...key };
    for (const [name, how, field] of this.#sums) {
      if (how === 'count') made[name] = rows.size;
      else if (how === 'sum') made[name] = sums[name] ?? 0;
      else if (how === 'avg') made[name] = counts[name] ? sums[name] / counts[name] : null;
      else {
        const isBetter = how === 'min' ? (/** @type {any} */ one, /** @type {any} */ other) => one < other : (/** @type {any} */ one, /** @type {any} */ other) => one > other;
        made[name] = [...rows.values()].reduce((best, row) => (row[field] != null && (best === null || isBetter(row[field], best)) ? row[field] : best), null);
      }
    }
    return made;
  }
}

/** @param {any[]} rows @param {string} field @returns {number[]} */
const numbers = (rows, field) => rows.map((row) => row[field]).filter((value) => typeof value === 'number');
