// Queries where a table stays in storage. The rows that show, and some behind them, are in memory and kept as they change;
// storage is read again once too few are left.

import { compareBy, passing } from '../conditions.js';
import { Groups, Include, made as loaded } from '../query.js';
import { see, seeAll } from '../replica.js';
import { planOf } from './plan.js';
import { windowOf } from './window.js';

/** @import { Changed, Copy, QuerySpec } from '../types.js' */
/** @import { Source } from '../query.js' */

/** Rows in memory behind those that show, at most. */
const BEHIND_MOST = 50;

/** @param {Source} source @param {string} table @param {QuerySpec} spec @param {(row: any) => boolean} [test] What rows also have to pass */
export const made = (source, table, spec, test) => new LazyQuery(source, table, spec, test);

class LazyQuery {
  #source;
  #table;
  #spec;
  #test;
  #passes;
  #compare;
  #plan;
  #references;

  /** @param {Source} source @param {string} table @param {QuerySpec} spec @param {(row: any) => boolean} [test] */
  constructor(source, table, spec, test = () => true) {
    this.#source = source;
    this.#table = table;
    this.#spec = spec;
    this.#test = test;
    const holds = passing(spec.where);
    this.#passes = (/** @type {any} */ row) => holds(row) && test(row);
    const isGrouped = spec.groupBy || spec.aggregate;
    this.#compare = compareBy(isGrouped ? undefined : spec.orderBy);
    this.#plan = planOf(isGrouped ? { where: spec.where } : spec);
    this.#references = Object.entries(spec.include ?? {}).map(([name, by]) => new Reference(name, by));
    // What is wrong with it is told now.
    if (isGrouped) new Groups(spec);
  }

  async get() {
    return (await this.#whole())?.get() ?? this.#shown(await this.#first(this.#need));
  }

  async first() {
    return (await this.get())[0];
  }

  async count() {
    return (await this.#all(({ id }) => ({ id }))).length;
  }

  /** @param {string} field */
  async sum(field) {
    return (await this.#numbers(field)).reduce((sum, value) => sum + value, 0);
  }

  /** @param {string} field */
  async avg(field) {
    const all = await this.#numbers(field);
    return all.length ? all.reduce((sum, value) => sum + value, 0) / all.length : null;
  }

  /** @param {string} field */
  async min(field) {
    return (await this.#values(field)).reduce((least, value) => (value != null && (least === null || value < least) ? value : least), null);
  }

  /** @param {string} field */
  async max(field) {
    return (await this.#values(field)).reduce((most, value) => (value != null && (most === null || value > most) ? value : most), null);
  }

  /** @param {(rows: any[], info: any) => void} callback @returns {() => void} Ends it */
  subscribe(callback) {
    let isOver = false;
    let stop = () => {};
    this.#whole().then((query) => {
      if (!isOver) stop = query ? query.subscribe(callback) : this.#follow(callback);
    });
    return () => {
      isOver = true;
      stop();
    };
  }

  /** The same on tables that are all loaded, if they are. */
  async #whole() {
    await this.#source.ready();
    const { lazy } = this.#source.copy();
    const isLazy = lazy && (lazy.of(this.#table) || this.#references.some(({ table }) => !table || lazy.of(table)));
    return isLazy ? undefined : loaded(this.#source, this.#table, this.#spec, this.#test);
  }

  get #need() {
    const { limit = Infinity, offset = 0, groupBy, aggregate } = this.#spec;
    return groupBy || aggregate ? Infinity : limit + offset;
  }

  /** @param {number} need @param {(row: any) => any} [pick] @returns {Promise<{rows: any[], isAll: boolean}>} */
  async #first(need, pick) {
    if (!need) return { rows: [], isAll: false };
    const copy = () => this.#source.copy();
    const rows = copy().lazy?.of(this.#table);
    if (rows) return windowOf(rows, copy, { plan: this.#plan, passes: this.#passes, compare: this.#compare, pick }, need);
    return { rows: seeAll(copy(), this.#table).filter(this.#passes).sort(this.#compare), isAll: true };
  }

  /** @param {(row: any) => any} pick */
  async #all(pick) {
    await this.#source.ready();
    return (await this.#first(Infinity, pick)).rows;
  }

  /** @param {string} field @returns {Promise<any[]>} */
  async #values(field) {
    return (await this.#all((row) => ({ ...this.#ordered(row), id: row.id, [field]: row[field] }))).map((row) => row[field]);
  }

  /** @param {string} field @returns {Promise<number[]>} */
  async #numbers(field) {
    return (await this.#values(field)).filter((value) => typeof value === 'number');
  }

  /** What orders a row. @param {any} row */
  #ordered(row) {
    return Object.fromEntries(this.#plan.shape.by.map(([field]) => [field, row[field]]));
  }

  /** The window, with what its rows refer to. @param {{rows: any[]}} found */
  async #shown({ rows }) {
    const { limit = Infinity, offset = 0 } = this.#spec;
    if (!this.#spec.groupBy && !this.#spec.aggregate) return this.#joined(rows.slice(offset, offset + limit));
    const groups = new Groups(this.#spec);
    rows.forEach((row) => groups.add(row));
    return groups.rows().sort(compareBy(this.#spec.orderBy)).slice(offset, offset + limit);
  }

  /** @param {any[]} rows */
  async #joined(rows) {
    let joined = rows;
    for (const reference of this.#references) {
      const found = await reference.all(() => this.#source.copy(), joined);
      joined = joined.map((row, at) => ({ ...row, [reference.name]: found[at] }));
    }
    return joined;
  }

  /** @param {(rows: any[], info: any) => void} callback */
  #follow(callback) {
    const { copy, isStale, watch } = this.#source;
    /** What changed and was not looked at yet; null is all. @type {Changed | null | undefined} */
    let due;
    let isLooking = false;
    let isOver = false;
    /** @type {boolean | undefined} */
    let wasReady;
    let last = '';
    const held = new Held(this.#compare, this.#passes, this.#need, () => this.#first(this.#need + (this.#need < Infinity ? BEHIND_MOST : 0)));
    const look = async () => {
      if (isLooking) return;
      isLooking = true;
      while (due !== undefined && !isOver) {
        const changed = due;
        due = undefined;
        try {
          const ids = changed && (changed.get(this.#table) ?? (changed.has(this.#table) ? null : []));
          const isWhole = !ids || this.#spec.groupBy || this.#spec.aggregate;
          const touched = isWhole && (!ids || [...ids].length) ? await held.fill() : await held.take([.../** @type {Iterable<string>} */ (ids)], (id) => this.#seen(id));
          const isReady = Boolean(copy().cursor);
          const refers = this.#references.some((reference) => reference.isTouched(changed));
          if (!touched.size && !refers && wasReady === isReady) continue;
          const rows = await this.#shown({ rows: held.rows });
          const text = JSON.stringify(rows);
          if (isOver || (text === last && wasReady === isReady)) continue;
          [last, wasReady] = [text, isReady];
          queueMicrotask(() => isOver || callback(rows, { isReady, isStale: isStale(), changed: [...touched] }));
        } catch {
          // The storage does not answer: what comes next is seen against all.
          held.lose();
        }
      }
      isLooking = false;
    };
    const stop = watch((changed) => {
      due = due === undefined ? changed : due === null || !changed ? null : joinedOf(due, changed);
      look();
    });
    return () => {
      isOver = true;
      stop();
    };
  }

  /** A row as the person sees it. @param {string} id */
  #seen(id) {
    const copy = this.#source.copy();
    return copy.lazy ? copy.lazy.see(copy, this.#table, id) : see(copy, this.#table, id);
  }
}

/** The rows of a query that are in memory. */
class Held {
  /** In their order. @type {any[]} */
  rows = [];
  /** @type {Map<string, any>} */
  #byId = new Map();
  #isAll = false;
  #isFilled = false;
  #compare;
  #passes;
  #need;
  #read;

  /** @param {(one: any, other: any) => number} compare @param {(row: any) => boolean} passes @param {number} need @param {() => Promise<{rows: any[], isAll: boolean}>} read */
  constructor(compare, passes, need, read) {
    this.#compare = compare;
    this.#passes = passes;
    this.#need = need;
    this.#read = read;
  }

  /** What is held may be wrong. */
  lose() {
    this.#isFilled = false;
  }

  /** Reads it anew. @returns {Promise<Set<string>>} The rows that may be others now */
  async fill() {
    const { rows, isAll } = await this.#read();
    const touched = new Set([...this.#byId.keys(), ...rows.map(({ id }) => id)]);
    this.rows = rows;
    this.#isAll = isAll;
    this.#byId = new Map(rows.map((row) => [row.id, row]));
    this.#isFilled = true;
    return touched;
  }

  /** @param {string[]} ids @param {(id: string) => any} seen @returns {Promise<Set<string>>} */
  async take(ids, seen) {
    if (!this.#isFilled) return this.fill();
    const rows = await Promise.all(ids.map(seen));
    const touched = new Set();
    ids.forEach((id, at) => {
      const [had, row] = [this.#byId.get(id), rows[at]];
      const passes = row && this.#passes(row) && (this.#isAll || (this.rows.length > 0 && this.#compare(row, this.rows[this.rows.length - 1]) <= 0));
      if (!had && !passes) return;
      touched.add(id);
      if (had) {
        this.rows.splice(this.#place(had), 1);
        this.#byId.delete(id);
      }
      if (passes) {
        this.rows.splice(this.#place(row), 0, row);
        this.#byId.set(id, row);
      }
    });
    if (!this.#isAll && this.rows.length < this.#need) (await this.fill()).forEach((id) => touched.add(id));
    if (this.rows.length > this.#need + 2 * BEHIND_MOST) {
      for (const { id } of this.rows.splice(this.#need + BEHIND_MOST)) this.#byId.delete(id);
      this.#isAll = false;
    }
    return touched;
  }

  /** Where a row is, or would be. @param {any} row */
  #place(row) {
    let [from, to] = [0, this.rows.length];
    while (from < to) {
      const middle = (from + to) >> 1;
      if (this.#compare(this.rows[middle], row) < 0) from = middle + 1;
      else to = middle;
    }
    return from;
  }
}

/** What rows refer to (`food_id`), or what refers to them (`exercise_sets.workout_exercise_id`). */
class Reference {
  /** @type {string | undefined} */
  table;
  #by;
  #field;
  #isMany;

  /** @param {string} name @param {string} by */
  constructor(name, by) {
    this.name = name;
    this.#by = by;
    const [one, two] = by.split('.');
    this.#isMany = two !== undefined;
    this.#field = two ?? one;
    this.table = this.#isMany ? one : undefined;
  }

  /** @param {Changed | null} changed */
  isTouched(changed) {
    return !changed || !this.table || changed.has(this.table);
  }

  /** What each row has. @param {() => Copy} copy @param {any[]} rows @returns {Promise<any[]>} */
  all(copy, rows) {
    if (!this.#isMany) return Promise.all(rows.map((row) => (row[this.#field] == null ? null : this.#one(copy, row[this.#field]))));
    const table = /** @type {string} */ (this.table);
    const lazy = copy().lazy?.of(table);
    if (lazy) return Promise.all(rows.map((row) => this.#many(lazy, copy, row.id)));
    const include = new Include(this.name, this.#by);
    include.fill(copy());
    return Promise.resolve(rows.map((row) => include.of(copy(), row)));
  }

  /** @param {() => Copy} copyNow @param {string} id */
  async #one(copyNow, id) {
    const copy = copyNow();
    // Ids are one of a kind, so whichever table has it is the one.
    const tables = this.table ? [this.table] : new Set([...copy.rows.keys(), ...copy.queue.map(({ table }) => table)]);
    for (const table of tables) {
      const row = copy.lazy ? await copy.lazy.see(copy, table, id) : see(copy, table, id);
      if (!row) continue;
      this.table = table;
      return row;
    }
    return null;
  }

  /** @param {import('./rows.js').LazyRows} rows @param {() => Copy} copy @param {string} id */
  async #many(rows, copy, id) {
    const spec = { where: { [this.#field]: id } };
    return (await windowOf(rows, copy, { plan: planOf(spec), passes: (row) => row[this.#field] === id, compare: compareBy(undefined) }, Infinity)).rows;
  }
}

/** @param {Changed} one @param {Changed} other @returns {Changed} */
function joinedOf(one, other) {
  const all = new Map(one);
  other.forEach((ids, table) => {
    const had = all.get(table);
    all.set(table, had === null || !ids ? null : new Set([...had ?? [], ...ids]));
  });
  return all;
}
