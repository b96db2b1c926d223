// Whether the copy is what it should be. Pure, as `replica.js` is.

/** @import { Copy, Digest, Patch } from './types.js' */

/** A table that was repaired is left alone for this long. */
export const REPAIR_EVERY_MS = 3_600_000;

/**
 * What other `tables` than the last time mean: which of them have to be pulled from zero, or `full` when nobody can name
 * them, and what goes at once.
 * @param {Copy} copy
 * @param {string[]} tables None is all
 * @returns {{missing: string[], full: boolean, patch: Patch | null}}
 */
export function retabled({ rows, cursor, meta }, tables) {
  const had = meta.tables ?? tables;
  if (!cursor || String(had) === String(tables)) return { missing: [], full: false, patch: null };
  if (!tables.length) return { missing: [], full: true, patch: null };
  const clear = [...rows.keys()].filter((table) => !tables.includes(table));
  const missing = had.length ? tables.filter((table) => !had.includes(table)) : [];
  return { missing, full: false, patch: { clear, meta: { ...meta, tables: tables.filter((table) => !missing.includes(table)) } } };
}

/** Rows and sum of versions by table. @param {Copy} copy @param {string[]} tables @returns {Digest} */
export function digestOf({ rows }, tables) {
  return Object.fromEntries(tables.map((table) => {
    const held = [...(rows.get(table)?.values() ?? [])];
    return [table, { rows: held.length, version_sum: held.reduce((sum, { _version }) => sum + _version, 0) }];
  }));
}

/** The tables in which the copy differs from the server's digest, without those repaired lately.
 * @param {Copy} copy @param {Digest} theirs @param {number} now
 */
export function damaged(copy, theirs, now) {
  const empty = { rows: 0, version_sum: 0 };
  const tables = [...new Set([...copy.rows.keys(), ...Object.keys(theirs)])];
  const mine = digestOf(copy, tables);
  return tables.filter((table) => {
    const { rows, version_sum } = theirs[table] ?? empty;
    const differs = rows !== mine[table].rows || version_sum !== mine[table].version_sum;
    const ago = now - (copy.meta.repaired?.[table] ?? -Infinity);
    // Before it was repaired: the clock was set back.
    return differs && (ago < 0 || ago >= REPAIR_EVERY_MS);
  });
}
