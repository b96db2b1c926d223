// Lazy tables in SQLite. Rows lie where those of other tables lie. SQLite itself sorts, bounds and counts out what a query shows, by
// indexes on what the rows' JSON says, which it keeps itself. An index is made when it is first asked for, and named in the query:
// SQLite would look through the table instead.

import { hashOf, P, Q, weigh } from '../damage.js';
import { Lazy, LazyRows } from './rows.js';

/** @import { Patch } from '../types.js' */
/** @import { Driver } from '../storage/sql.js' */
/** @import { Shape } from './plan.js' */
/** @import { Found, Source, Wanted } from './rows.js' */
/** @typedef {{table: string, shape: Shape, name: string, bad: string}} Index `name` is the index's, `bad` that of the rows that have no order in it */

/** Rows read in one go. */
const CHUNK = 500;
/** Rows that are added up in one go. */
const SUM_CHUNK = 5000;
/** Indexes of one table; of more, the oldest goes. */
const INDEXES_MOST = 8;
/** Their names: what they are made for, in `sqlite_master`. */
const PREFIX = 'ryzed lazy ';
const BAD = ' without order';

/** @param {string[]} tables In order @returns {(driver: Driver) => ReturnType<typeof hooks>} The driver's calls are done one at a time */
export const inSql = (tables) => (driver) => hooks(tables, driver);

/** @param {string[]} tables @param {Driver} driver */
function hooks(tables, { all, batch }) {
  /** @type {LazyRows[]} */
  let opened = [];
  /** How often each table was cleared since. @type {Record<string, number>} */
  let clears = {};
  /** What the rows add up to, until they change. @type {Map<string, {rows: number, version_sum: number, hash: string}>} */
  const sums = new Map();
  /** The indexes that are there, for certain. @type {Set<string>} */
  let made = new Set();

  /** @type {Source} */
  const source = {
    async read(table, { ids, name, values = [], from, to, after, count = CHUNK }) {
      const cleared = clears[table] ?? 0;
      const found = (/** @type {any[]} */ rows) => rows.map(({ row }) => JSON.parse(row));
      if (ids) {
        const rows = new Map(found(await all(`SELECT row FROM ryzed_rows WHERE of_table = ${literal(table)} AND id IN (SELECT value FROM json_each(${literal(JSON.stringify(ids))}))`)).map((row) => [row.id, row]));
        return { rows: ids.map((id) => rows.get(id)), clears: cleared };
      }
      if (name === undefined) {
        const beyond = after === undefined ? '' : ` AND id > ${literal(after)}`;
        const rows = found(await all(`SELECT row FROM ryzed_rows WHERE of_table = ${literal(table)}${beyond} ORDER BY id LIMIT ${count}`));
        return { rows, clears: cleared, next: rows.length < count ? undefined : rows[count - 1].id };
      }
      const index = indexOf(table, name);
      if (!index || !await isMade(index) || await hasBad(index)) return;
      const rows = found(await all(textOf(index, { values, from, to, after, count })));
      return { rows, clears: cleared, next: rows.length < count ? undefined : [...index.shape.by.map(([field]) => rows[count - 1][field] ?? null), rows[count - 1].id] };
    },

    // It is made when it is read.
    index: () => {},

    async sums(table) {
      const known = sums.get(table);
      if (known) return known;
      const before = clears[table];
      let [rows, version_sum, p, q] = [0, 0, 0, 0];
      const changed = (/** @type {Patch[]} */ patches) => patches.some(({ clear, rows: some = [] }) => clear === true || clear?.includes(table) || some.some(([one]) => one === table));
      let isChanged = false;
      const stop = watch((patches) => (isChanged ||= changed(patches)));
      try {
        for (let after = ''; ; ) {
          const some = await all(`SELECT id, json_extract(row, '$._version') AS _version FROM ryzed_rows WHERE of_table = ${literal(table)} AND id > ${literal(after)} ORDER BY id LIMIT ${SUM_CHUNK}`);
          for (const row of some) {
            const [one, other] = weigh(row);
            rows++;
            version_sum += row._version;
            p = (p + one) % P;
            q = (q + other) % Q;
          }
          if (some.length < SUM_CHUNK) break;
          after = some[SUM_CHUNK - 1].id;
        }
      } finally {
        stop();
      }
      // It would be of two states.
      if (isChanged || clears[table] !== before) return;
      const told = { rows, version_sum, hash: hashOf([p, q]) };
      sums.set(table, told);
      return told;
    },
  };

  /** Those who want to know what is stored. @type {Set<(patches: Patch[]) => void>} */
  const watching = new Set();
  const watch = (/** @type {(patches: Patch[]) => void} */ run) => {
    watching.add(run);
    return () => watching.delete(run);
  };

  return {
    /** The rows that are loaded. */
    async loaded() {
      const ranges = tables.map((table, at) => (at ? `of_table > ${literal(tables[at - 1])} AND of_table < ${literal(table)}` : `of_table < ${literal(table)}`));
      const last = tables.length ? `of_table > ${literal(tables[tables.length - 1])}` : 'true';
      const rows = [];
      for (const range of [...ranges, last]) for (const row of await all(`SELECT of_table, row FROM ryzed_rows WHERE ${range}`)) rows.push(row);
      return rows;
    },

    opened() {
      clears = {};
      sums.clear();
      made = new Set();
      opened = tables.map((table) => new LazyRows(table, source, 0));
      return new Lazy(opened);
    },

    storing: () => opened.forEach((one) => one.storing()),

    /** @param {Patch[]} patches */
    stored(patches) {
      for (const one of opened) {
        const { table } = one;
        const times = patches.filter(({ clear }) => clear === true || clear?.includes(table)).length;
        if (times) clears[table] = (clears[table] ?? 0) + times;
        if (times || patches.some(({ rows = [] }) => rows.some(([other]) => other === table))) sums.delete(table);
        one.stored(patches, clears[table] ?? 0);
      }
      watching.forEach((run) => run(patches));
    },
  };

  /** Whether an index is there: it is made if it was not. @param {Index} index */
  async function isMade({ table, shape, name, bad }) {
    if (made.has(name)) return true;
    const there = (await all(`SELECT name FROM sqlite_master WHERE type = 'index' AND name LIKE '${PREFIX}%' ORDER BY rowid`)).map((one) => one.name);
    const others = there.filter((other) => other.startsWith(`${PREFIX}${table} [`) && !other.endsWith(BAD) && other !== name);
    const old = others.slice(0, Math.max(0, others.length + 1 - INDEXES_MOST));
    // A table that is loaded whole again needs none.
    const idle = there.filter((other) => !tables.some((one) => other.startsWith(`${PREFIX}${one} [`)));
    const keys = [...shape.eq.map((field) => folded(valueOf(field))), ...shape.by.map(([field, way]) => `${valueOf(field)} ${way}`), 'id'];
    await batch([
      ...[...old.flatMap((other) => [other, other + BAD]), ...idle].map((other) => /** @type {[string]} */ ([`DROP INDEX IF EXISTS ${quoted(other)}`])),
      [`CREATE INDEX IF NOT EXISTS ${quoted(name)} ON ryzed_rows (${keys.join(', ')}) WHERE of_table = ${literal(table)}`],
      ...(shape.by.length ? [/** @type {[string]} */ ([`CREATE INDEX IF NOT EXISTS ${quoted(bad)} ON ryzed_rows (id) WHERE of_table = ${literal(table)} AND ${badOf(shape)}`])] : []),
    ]);
    for (const other of old) made.delete(other);
    made.add(name);
    return true;
  }

  /** Whether there are values that SQLite does not order as the client does. @param {Index} index */
  async function hasBad({ table, shape, bad }) {
    if (!shape.by.length) return false;
    return (await all(`SELECT id FROM ryzed_rows INDEXED BY ${quoted(bad)} WHERE of_table = ${literal(table)} AND ${badOf(shape)} LIMIT 1`)).length > 0;
  }
}

/** @param {string} table @param {string} name @returns {Index | undefined} Nothing for fields that can't be named */
export function indexOf(table, name) {
  const [eq, by] = /** @type {[Shape['eq'], Shape['by']]} */ (JSON.parse(name));
  const fields = [...eq, ...by.map(([field]) => field)];
  if (fields.some((field) => /["\\\u0000]/.test(field))) return;
  const its = `${PREFIX}${table} ${name}`;
  return { table, shape: { eq, by }, name: its, bad: its + BAD };
}

/** The query for the next rows of an index. @param {Index} index @param {Pick<Wanted, 'values' | 'from' | 'to' | 'after' | 'count'>} wanted */
export function textOf({ table, shape: { eq, by }, name }, { values = [], from, to, after, count }) {
  const conditions = [`of_table = ${literal(table)}`];
  eq.forEach((field, at) => {
    const value = decoded(values[at], 'asc');
    conditions.push(value === null ? `${folded(valueOf(field))} IS NULL` : `${folded(valueOf(field))} = ${folded(literal(value))}`);
  });
  if (by[0]) {
    const [field, way] = by[0];
    const [low, high] = [from, to].map((bound) => (bound === undefined ? undefined : decoded(bound, way)));
    if (hasOrder(low)) conditions.push(`${valueOf(field)} ${way === 'asc' ? '>=' : '<='} ${literal(low)}`);
    if (hasOrder(high)) conditions.push(`${valueOf(field)} ${way === 'asc' ? '<=' : '>='} ${literal(high)}`);
  }
  if (after) {
    // Of the first field alone, for the index to begin there.
    if (by[0] && after[0] !== null) conditions.push(by[0][1] === 'asc' ? `${valueOf(by[0][0])} >= ${literal(after[0])}` : `(${beyond(by[0], after[0])} OR ${valueOf(by[0][0])} = ${literal(after[0])})`);
    conditions.push(behind(by, after));
  }
  const order = [...by.map(([field, way]) => `${valueOf(field)} ${way}`), 'id'].join(', ');
  return `SELECT row FROM ryzed_rows INDEXED BY ${quoted(name)} WHERE ${conditions.join(' AND ')} ORDER BY ${order} LIMIT ${count}`;
}

/** Whether a row comes after the one with these values. @param {Shape['by']} by @param {any[]} after @returns {string} */
function behind([first, ...rest], [value, ...others]) {
  if (!first) return `id > ${literal(value)}`;
  const same = value === null ? `${valueOf(first[0])} IS NULL` : `${valueOf(first[0])} = ${literal(value)}`;
  return `(${beyond(first, value)} OR (${same} AND ${behind(rest, others)}))`;
}

/** @param {[field: string, way: string]} order @param {any} value */
function beyond([field, way], value) {
  if (value === null) return way === 'asc' ? `${valueOf(field)} IS NOT NULL` : 'false';
  return way === 'asc' ? `${valueOf(field)} > ${literal(value)}` : `(${valueOf(field)} < ${literal(value)} OR ${valueOf(field)} IS NULL)`;
}

/** What a row says of a field. @param {string} field */
const valueOf = (field) => `json_extract(row, ${literal(`$."${field}"`)})`;

/** Ids are compared in one form; what is wider is no harm. @param {string} value */
const folded = (value) => `iif(length(${value}) = 36, lower(${value}), ${value})`;

/** Rows that SQLite orders otherwise than the client: lists and objects, and texts with signs beyond 16 bits. @param {Shape} shape */
const badOf = ({ by }) => `(${by.map(([field]) => field).flatMap((field) => [
  `json_type(row, ${literal(`$."${field}"`)}) IN ('array', 'object')`,
  `${valueOf(field)} GLOB '*[' || char(65536) || '-' || char(1114111) || ']*'`,
  `instr(json_extract(row, ${literal(`$."${field}"`)}), char(0)) > 0`,
]).join(' OR ')})`;

/** A bound that SQLite understands as the client does. @param {any} value */
const hasOrder = (value) => value !== undefined && value !== null && !/[\ud800-\udfff\u0000]/.test(String(value));

/** A value of a key, as the row has it. @param {any} value @param {string} way */
function decoded(value, way) {
  if (value === -Infinity || typeof value === 'object') return null;
  if (typeof value === 'number') return way === 'asc' ? value : -value;
  return way === 'asc' ? value : String.fromCharCode(...Array.from(value.slice(0, -1), (/** @type {string} */ sign) => 0xffff - sign.charCodeAt(0)));
}

/** @param {any} value @returns {string} */
function literal(value) {
  if (value === null) return 'NULL';
  if (typeof value !== 'string') return String(Number(value));
  // A text ends at such a sign.
  return value.split('\u0000').map((part) => `'${part.replaceAll("'", "''")}'`).join(' || char(0) || ');
}

/** @param {string} name */
const quoted = (name) => `"${name.replaceAll('"', '""')}"`;
