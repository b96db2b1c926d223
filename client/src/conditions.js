// What a query’s plain objects mean: conditions, orders, groups. What they can't mean is refused when the query is made.

import { canonical } from './plain.js';

/** @import { GroupBy, OrderBy, Where } from './types.js' */

/** What a condition's value is compared as: times as such, ids in their one form. @param {any} given */
const operand = (given) => (given instanceof Date ? given.getTime() : canonical(given));
/** How a row's value is read, to compare with that. @param {any} given @returns {(value: any) => any} */
const reader = (given) => (given instanceof Date ? (value) => Date.parse(value) : isUuid(given) ? canonical : (value) => value);
/** @param {any} given */
const isUuid = (given) => typeof given === 'string' && given.length === 36 && canonical(given.toUpperCase()) !== given.toUpperCase();
/** @param {any} given @param {(value: any, given: any) => boolean} holds */
const compared = (given, holds) => {
  const [read, other] = [reader(given), operand(given)];
  return (/** @type {any} */ value) => value != null && holds(read(value), other);
};

/** @type {Record<string, (given: any) => (value: any) => boolean>} */
const TESTS = {
  eq: (given) => (given === null ? (value) => value == null : compared(given, (value, other) => value === other)),
  ne: (given) => TESTS.not(given),
  gt: (given) => compared(given, (value, other) => value > other),
  gte: (given) => compared(given, (value, other) => value >= other),
  lt: (given) => compared(given, (value, other) => value < other),
  lte: (given) => compared(given, (value, other) => value <= other),
  between: ([least, most]) => {
    const [from, to] = [TESTS.gte(least), TESTS.lte(most)];
    return (value) => from(value) && to(value);
  },
  in: (given) => {
    const all = new Set(given.map(canonical));
    return (value) => all.has(canonical(value)) || (value === undefined && all.has(null));
  },
  startsWith: (given) => (value) => typeof value === 'string' && value.startsWith(given),
  contains: (given) => (value) => Array.isArray(value) ? value.includes(given) : typeof value === 'string' && value.includes(given),
  isNull: (given) => (value) => (value == null) === given,
  not: (given) => {
    const test = condition(given);
    return (value) => !test(value);
  },
};

/** @param {any} given @returns {(value: any) => boolean} */
function condition(given) {
  if (given === null || typeof given !== 'object' || given instanceof Date) return TESTS.eq(given);
  const tests = Object.entries(given).map(([how, what]) => {
    if (!Object.hasOwn(TESTS, how)) throw new Error(`There is no condition ${how}; there are ${Object.keys(TESTS).join(', ')}.`);
    return TESTS[how](what);
  });
  return (value) => tests.every((test) => test(value));
}

/** @param {Where | undefined} where @returns {(row: any) => boolean} */
export function passing(where) {
  if (typeof where === 'function') throw new Error('A query’s where is a plain object; where() and subscribe() take a function.');
  const tests = Object.entries(where ?? {}).map(([field, given]) => {
    if (field === 'and' || field === 'or') {
      const all = given.map(passing);
      return field === 'and' ? (/** @type {any} */ row) => all.every((/** @type {any} */ test) => test(row)) : (/** @type {any} */ row) => all.some((/** @type {any} */ test) => test(row));
    }
    if (field === 'not') {
      const test = passing(given);
      return (/** @type {any} */ row) => !test(row);
    }
    const test = condition(given);
    return (/** @type {any} */ row) => test(row[field]);
  });
  return (row) => tests.every((test) => test(row));
}

/** Nothing comes first; what is equal stays in the order of the ids. @param {OrderBy | undefined} orderBy @returns {(one: any, other: any) => number} */
export function compareBy(orderBy) {
  const orders = [orderBy ?? []].flat().flatMap((order) => /** @type {[string, string][]} */ (typeof order === 'string' ? [[order, 'asc']] : Object.entries(order)));
  const bad = orders.find(([, way]) => way !== 'asc' && way !== 'desc');
  if (bad) throw new Error(`An order is asc or desc, not ${bad[1]}.`);
  return (one, other) => {
    for (const [field, way] of orders) {
      const [a, b] = [one[field] ?? null, other[field] ?? null];
      if (a === b) continue;
      const sign = a === null ? -1 : b === null ? 1 : a < b ? -1 : a > b ? 1 : 0;
      if (sign) return way === 'asc' ? sign : -sign;
    }
    return one.id < other.id ? -1 : one.id > other.id ? 1 : 0;
  };
}

/** @type {Record<string, (at: Date) => Date>} */
const SPANS = {
  day: (at) => new Date(at.getFullYear(), at.getMonth(), at.getDate()),
  week: (at) => new Date(at.getFullYear(), at.getMonth(), at.getDate() - ((at.getDay() + 6) % 7)),
  month: (at) => new Date(at.getFullYear(), at.getMonth(), 1),
};

/** The group of a row: fields, or the day, week (from Monday) or month of a time, where the person is. @param {GroupBy | undefined} groupBy */
export function groupKey(groupBy) {
  const parts = [groupBy ?? []].flat().map((part) => {
    if (typeof part === 'string') return (/** @type {any} */ row) => [part, row[part] ?? null];
    const [[span, field]] = Object.entries(part);
    if (!Object.hasOwn(SPANS, span)) throw new Error(`There is no group by ${span}; there are ${Object.keys(SPANS).join(', ')}.`);
    return (/** @type {any} */ row) => {
      const at = new Date(row[field]);
      if (Number.isNaN(at.getTime())) return [span, null];
      const from = SPANS[span](at);
      return [span, [from.getFullYear(), from.getMonth() + 1, from.getDate()].map((number) => String(number).padStart(2, '0')).join('-')];
    };
  });
  return (/** @type {any} */ row) => Object.fromEntries(parts.map((part) => part(row)));
}
