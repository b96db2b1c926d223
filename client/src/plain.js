// What an app hands in, brought into the form that the server will get. What that form would change in silence is refused.

/** @import { Operation, Row } from './types.js' */

/** Not what JSON makes of it, but whether it says the same. @template T @param {T} given @returns {T} */
export const plain = (given) => JSON.parse(JSON.stringify(given, function (key, value) {
  const was = this[key];
  const isSaid = typeof value === 'number' ? isFinite(value)
    : typeof value === 'string' ? !/[\ud800-\udfff]/u.test(value)
      : value === null ? was === null
        : value === undefined ? !Array.isArray(this)
          : !/^(function|symbol)$/.test(typeof value) && /^\[object (Object|Array|Boolean|BigInt)\]$/.test(Object.prototype.toString.call(value));
  if (!isSaid) throw new TypeError(`${key || 'It'} can’t be sent: JSON has no such value.`);
  return value;
}));

/** The one form of a row's id: the server answers with UUIDs in lower case. @param {any} id */
export const canonical = (id) => (/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(id) ? id.toLowerCase() : id);

/** A row as it is sent: without the marks that are the client's, since it may come back as it was read. @param {Operation} operation @param {any} row @returns {Row} */
export function sendable(operation, row) {
  if (!['INSERT', 'UPDATE', 'UPSERT', 'DELETE'].includes(operation)) throw new Error(`A change is an INSERT, UPDATE, UPSERT or DELETE, not ${operation}.`);
  const { _version, ...data } = plain(row);
  if (data._pending === true) delete data._pending;
  if (data._stored === false) delete data._stored;
  if (!data.id) throw new Error('A change needs the id of its row.');
  data.id = canonical(data.id);
  return data;
}
