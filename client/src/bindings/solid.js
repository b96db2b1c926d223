// Primitives for Solid. Effects follow, and a server runs none: there the copy loads.

import { createEffect, createMemo, createSignal, onCleanup } from 'solid-js';
import { liveConflicts, liveQuery, liveRefused, liveStatus, rowOf, rowSpec } from './live.js';

/** @import { Accessor } from 'solid-js' */
/** @import { QuerySpec } from '../types.js' */
/** @import { Answer, Client, Conflicts, Line, Live, Refusals, RowAnswer } from './live.js' */
/** @template T @typedef {T | Accessor<T>} Given A value, or what reads it. */

/** Follows a query; nothing while `spec` is null. @template [T=any] @param {Given<Client | null>} client @param {Given<string>} table @param {Given<QuerySpec<T> | null>} [spec] @returns {Accessor<Answer<T>>} */
export const createQuery = (client, table, spec = {}) => follow(() => liveQuery(read(client), read(table), read(spec)));
/** Follows one row; nothing while there is no id. @template [T=any] @param {Given<Client | null>} client @param {Given<string>} table @param {Given<string | null | undefined>} id @returns {Accessor<RowAnswer<T>>} */
export function createRow(client, table, id) {
  const answer = follow(() => liveQuery(read(client), read(table), rowSpec(read(id))));
  return createMemo(() => rowOf(answer()));
}
/** @param {Given<Client | null>} client @returns {Accessor<Line>} */
export const createStatus = (client) => follow(() => liveStatus(read(client)));
/** @param {Given<Client | null>} client @returns {Accessor<Conflicts>} */
export const createConflicts = (client) => follow(() => liveConflicts(read(client)));
/** @param {Given<Client | null>} client @returns {Accessor<Refusals>} */
export const createRefused = (client) => follow(() => liveRefused(read(client)));

/** @template T @param {Given<T>} given @returns {T} */
const read = (given) => (typeof given === 'function' ? /** @type {Accessor<T>} */ (given)() : given);

/** @template T @param {() => Live<T>} find @returns {Accessor<T>} */
function follow(find) {
  // An equal query made anew is the same.
  const live = createMemo(find);
  const [value, set] = createSignal(live().initial());
  createEffect(() => {
    const now = live();
    const show = () => set(() => now.get());
    onCleanup(now.subscribe(show));
    show();
  });
  return value;
}
