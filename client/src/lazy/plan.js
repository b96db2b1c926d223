// Which index a query takes, and the keys in it. Pure. An index holds, for each row of its table, the fields that a query
// compares, in the query's order and then the id, encoded so that keys are read from the first to the last.

import { canonical } from '../plain.js';

/** @import { QuerySpec, Row } from '../types.js' */
/** @typedef {{eq: string[], by: [field: string, way: string][]}} Shape The fields that have to equal something, and those in whose order rows come. */
/** @typedef {{name: string, shape: Shape, values: any[], from?: any, to?: any, ids?: string[]}} Plan `from` and `to` bound the first field of the order. */

const DAY_MS = 86_400_000;
/** Comes after all. */
export const LAST = [[]];

/** @param {QuerySpec} spec @returns {Plan} */
export function planOf({ where = {}, orderBy }) {
  /** @type {Record<string, any>} */
  const equal = {};
  for (const [field, given] of Object.entries(where)) {
    if (/^(and|or|not)$/.test(field)) continue;
    if (isPlain(given)) equal[field] = given;
    else if (given && isPlain(given.eq) && 'eq' in given) equal[field] = given.eq;
  }
  const all = [orderBy ?? []].flat().flatMap((order) => /** @type {[string, string][]} */ (typeof order === 'string' ? [[order, 'asc']] : Object.entries(order)));
  const by = all.filter(([field], at) => !(field in equal) && all.findIndex(([other]) => other === field) === at);
  // Nothing has the same id: what comes behind it orders nothing.
  const end = by.findIndex(([field]) => field === 'id');
  if (end >= 0) by.length = end + Number(by[end][1] === 'desc');
  const eq = Object.keys(equal).sort();
  const values = eq.map((field) => encoded(canonical(equal[field]), 'asc'));
  const { id } = where;
  const ids = typeof id === 'string' ? [canonical(id)] : Array.isArray(Object(id).in) ? [...new Set(id.in.map(canonical))] : undefined;
  return { name: JSON.stringify([eq, by]), shape: { eq, by }, values, ...(by[0] && bounds(Object(where)[by[0][0]], by[0][1])), ...(ids && { ids }) };
}

/** A row's key in an index, without the id; nothing if one of the values has no order. @param {Shape} shape @param {Row} row @returns {any[] | undefined} */
export function keyIn({ eq, by }, row) {
  const parts = [...eq.map((field) => encoded(canonical(row[field]), 'asc')), ...by.map(([field, way]) => encoded(row[field], way))];
  return parts.includes(undefined) ? undefined : parts;
}

/** @param {any} given */
const isPlain = (given) => given === null || /^(string|number|boolean)$/.test(typeof given);

/** @param {any} value @param {string} way */
function encoded(value, way) {
  const sign = way === 'asc' ? 1 : -1;
  if (value === null || value === undefined) return sign > 0 ? -Infinity : [];
  if (typeof value === 'number' || typeof value === 'boolean') return sign * Number(value);
  if (typeof value === 'string') return sign > 0 ? value : inverted(value);
}

/** A text that comes the later, the earlier the given one comes. @param {string} text */
const inverted = (text) => `${Array.from({ length: text.length }, (_, at) => String.fromCharCode(0xffff - text.charCodeAt(at))).join('')}\uffff`;

/** The part of an order in which a condition can hold; wider is no harm. @param {any} given @param {string} way */
function bounds(given, way) {
  if (given === null || typeof given !== 'object' || given instanceof Date) return {};
  const { gt, gte = gt, lt, lte = lt, between: [least = gte, most = lte] = [], startsWith } = given;
  const [low, high] = typeof startsWith === 'string' ? [startsWith, `${startsWith}\uffff`] : [bound(least, -1), bound(most, 1)];
  const [from, to] = way === 'asc' ? [low, high] : [high, low];
  return { from: from === undefined ? undefined : encoded(from, way), to: to === undefined ? undefined : encoded(to, way) };
}

/** Times are texts that may be of any zone. Ids are compared in one form. @param {any} given @param {number} side */
function bound(given, side) {
  if (given instanceof Date) return new Date(given.getTime() + side * DAY_MS).toISOString().slice(0, 19);
  return typeof given === 'number' || (typeof given === 'string' && given.length !== 36) ? given : undefined;
}
