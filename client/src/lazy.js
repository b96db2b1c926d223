// Tables that stay in storage until their rows are read, and queries with them: loaded by who has such tables.

import { inDatabase } from './lazy/indexeddb.js';

/** @import { Options, Storage } from './types.js' */

export { made } from './lazy/query.js';

/** Options that have their form already: the storage knows what is lazy for as long as it is there. @type {WeakSet<Options>} */
const prepared = new WeakSet();

/** Brings `tables` into the form of a list, and has the storage leave those that are lazy, if it can. @param {Options} options @param {Storage} storage
 * @param {(tables: string[]) => any} [inSql] Where there may be SQL
 */
export async function prepare(options, storage, inSql) {
  if (prepared.has(options)) return;
  const given = options.tables ?? [];
  /** @type {Record<string, string>} */
  const how = Object.assign({}, ...[given].flat().filter((one) => typeof one === 'object'));
  const wrong = Object.keys(how).find((table) => how[table] !== 'lazy' && how[table] !== 'whole');
  if (wrong) throw new Error(`A table is lazy or whole, unlike ${wrong}: ${how[wrong]}.`);
  options.tables = Array.isArray(given) ? given.flatMap((one) => (typeof one === 'string' ? one : Object.keys(one))) : [];
  prepared.add(options);
  const lazy = Object.keys(how).filter((table) => how[table] === 'lazy').sort();
  storage.lazy?.(inDatabase(lazy), inSql?.(lazy));
}
