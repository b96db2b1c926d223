// The first rows of a query on a table that stays in storage: what storage has, with what memory has instead.

import { shown } from './rows.js';

/** @import { Copy, Row } from '../types.js' */
/** @import { Plan } from './plan.js' */
/** @import { LazyRows } from './rows.js' */
/** @typedef {{plan: Plan, passes: (row: any) => boolean, compare: (one: any, other: any) => number, pick?: (row: any) => any}} Ask `pick`: what is kept of a row */

/** Rows read in one go. */
const CHUNK = 500;
/** Where no index helps, and all are looked at. */
const SCAN_CHUNK = 2000;
/** Read beyond what is asked for: some of it may be gone. */
const SPARE = 20;

/**
 * At least `need` rows in their order, or all there are (`isAll`).
 * @param {LazyRows} rows @param {() => Copy} copyNow @param {Ask} ask @param {number} need @returns {Promise<{rows: any[], isAll: boolean}>}
 */
export const windowOf = (rows, copyNow, ask, need) => rows.reading(async () => {
  for (;;) {
    const { era } = rows;
    const stored = await storedOf(rows, copyNow, ask, need);
    const copy = copyNow();
    await pinEdited(rows, copy);
    if (rows.era === era && copy === copyNow() && !edited(rows, copy).some((id) => rows.lacks(id))) return merged(rows, copy, ask, stored);
  }
});

/** @param {LazyRows} rows @param {() => Copy} copyNow @param {Ask} ask @param {number} need @returns {Promise<{found: any[], isAll: boolean}>} */
async function storedOf(rows, copyNow, { plan, passes, compare, pick = (row) => row }, need) {
  const { name, shape, values, from, to, ids } = plan;
  if (ids) {
    const confirmed = await rows.confirmed(ids);
    return { found: [...confirmed.values()].filter((row) => row && passes(row)).map(pick), isAll: true };
  }
  const isNatural = !shape.eq.length && !shape.by.length;
  let isIndexed = !isNatural && (need < Infinity || shape.eq.length > 0 || from !== undefined || to !== undefined);
  let found = [];
  let isAll = true;
  let isLacking = false;
  for (let after, count = Math.min(CHUNK, need + SPARE); ; count = CHUNK) {
    const page = await rows.read(isIndexed ? { name, values, from, to, after, count } : { after, count: isNatural ? count : SCAN_CHUNK });
    if (!page) {
      isIndexed = false;
      isLacking = true;
      continue;
    }
    for (const row of page.rows) if (row && passes(row)) found.push(pick(row));
    after = page.next;
    if (after === undefined) break;
    if (isIndexed || isNatural) {
      const copy = copyNow();
      if (found.length < need || found.filter(({ id }) => isStored(rows, copy, id)).length < need) continue;
      isAll = false;
      break;
    }
    if (found.length > 2 * need + CHUNK) {
      // What memory has may take the place of as many.
      found = found.sort(compare).slice(0, need + rows.known().size + edited(rows, copyNow()).length);
      isAll = false;
    }
  }
  // Only now: while it is made, others wait for storage.
  if (isLacking) rows.source.index(rows.table, name, shape);
  return { found: found.sort(compare), isAll };
}

/** @param {LazyRows} rows @param {Copy} copy @param {Ask} ask @param {{found: any[], isAll: boolean}} stored */
function merged(rows, copy, { plan: { ids }, passes, compare, pick = (row) => row }, { found, isAll }) {
  const last = found[found.length - 1];
  const mine = new Set([...rows.known(), ...edited(rows, copy)]);
  const over = [...mine].filter((id) => !ids || ids.includes(id)).map((id) => shown(rows.get(id), copy, rows.table, id)).filter((row) => row && passes(row));
  const all = [...found.filter(({ id }) => !mine.has(id)), ...over.map(pick)].sort(compare);
  // Behind the last one that was read there may be others.
  return { rows: isAll || !last ? all : all.filter((row) => compare(row, last) <= 0), isAll };
}

/** @param {LazyRows} rows @param {Copy} copy */
const edited = ({ table }, copy) => copy.queue.filter((edit) => edit.table === table).map(({ data }) => data.id);

/** @param {LazyRows} rows @param {Copy} copy */
const pinEdited = (rows, copy) => rows.pin(edited(rows, copy), copy);

/** Whether a row is as storage has it. @param {LazyRows} rows @param {Copy} copy @param {string} id */
const isStored = (rows, copy, id) => rows.lacks(id) && !copy.edits.has(`${rows.table} ${id}`);
