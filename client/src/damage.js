// Whether the copy is what it should be. Pure, as `replica.js` is.

/** @import { Copy, Digest, Patch, Row } from './types.js' */

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

/** What the protocol calls a digest. @param {Copy} copy @param {string[]} tables @returns {Digest} */
export function digestOf({ rows }, tables) {
  return Object.fromEntries(tables.map((table) => {
    const held = [...(rows.get(table)?.values() ?? [])];
    return [table, { rows: held.length, version_sum: held.reduce((sum, { _version }) => sum + _version, 0), hash: hashOf(held.map(weigh).reduce(([sumP, sumQ], [p, q]) => [(sumP + p) % P, (sumQ + q) % Q], [0, 0])) }];
  }));
}

export const [P, Q] = [67108859, 67108763];

/** A row's part in the hash. Nothing here exceeds 2^53. @param {Row} row @returns {[number, number]} */
export function weigh({ id, _version }) {
  const text = id.replaceAll('-', '');
  let [p, q] = [1, 1];
  // The two hexadecimal digits of each code are decimal ones.
  if (/^[ -)0-9@-IP-Y`-ip-y]{32}$/.test(text)) {
    p = q = 0;
    for (let at = 0; at < 32; ) {
      let part = 0;
      do part = part * 100 + (text.charCodeAt(at) >> 4) * 10 + text.charCodeAt(at) % 16; while (++at % 4);
      p = (p * 1e8 + part) % P;
      q = (q * 1e8 + part) % Q;
    }
  }
  return [p * p % P * p % P * (_version % P) % P, q * q % Q * q % Q * (_version % Q) % Q];
}

/** @param {number[]} sums Of what rows weigh */
export const hashOf = (sums) => sums.map((sum) => sum.toString(16).padStart(7, '0')).join('');

/** The tables in which the copy differs from the server's digest, without those repaired lately.
 * @param {Copy} copy @param {Digest} theirs @param {number} now @param {Record<string, Digest[string] | undefined>} [sums] Of the tables that stay in storage; those that are not known are not judged
 */
export function damaged(copy, theirs, now, sums = {}) {
  /** @type {Digest[string]} */
  const empty = { rows: 0, version_sum: 0 };
  const tables = [...new Set([...copy.rows.keys(), ...Object.keys(theirs)])].filter((table) => !(table in sums) || sums[table]);
  const mine = { ...digestOf(copy, tables.filter((table) => !(table in sums))), .../** @type {Digest} */ (sums) };
  return tables.filter((table) => {
    const { rows, version_sum, hash } = theirs[table] ?? empty;
    const own = mine[table];
    // Daemons of release 0.1 know no hash.
    const differs = rows !== own.rows || version_sum !== own.version_sum || (hash ?? own.hash) !== own.hash;
    const ago = now - (copy.meta.repaired?.[table] ?? -Infinity);
    // Before it was repaired: the clock was set back.
    return differs && (ago < 0 || ago >= REPAIR_EVERY_MS);
  });
}
