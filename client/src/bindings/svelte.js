// Stores for Svelte 3 and newer: `$meals.rows`. A server shows that the copy loads.

import { liveConflicts, liveQuery, liveRefused, liveStatus, rowOf, rowSpec } from './live.js';

/** @import { QuerySpec } from '../types.js' */
/** @import { Answer, Client, Conflicts, Line, Live, Refusals, RowAnswer } from './live.js' */
/** @template T @typedef {{subscribe: (run: (value: T) => void) => () => void}} Readable */

/** Follows a query; nothing while `spec` is null. @template [T=any] @param {Client | null} client @param {string} table @param {QuerySpec<T> | null} [spec] @returns {Readable<Answer<T>>} */
export const query = (client, table, spec) => store(() => liveQuery(client, table, spec));
/** Follows one row; nothing while there is no id. @template [T=any] @param {Client | null} client @param {string} table @param {string | null | undefined} id @returns {Readable<RowAnswer<T>>} */
export const row = (client, table, id) => store(() => liveQuery(client, table, rowSpec(id)), rowOf);
/** @param {Client | null} client @returns {Readable<Line>} */
export const status = (client) => store(() => liveStatus(client));
/** @param {Client | null} client @returns {Readable<Conflicts>} */
export const conflicts = (client) => store(() => liveConflicts(client));
/** @param {Client | null} client @returns {Readable<Refusals>} */
export const refused = (client) => store(() => liveRefused(client));

/** @template T, [S=T] @param {() => Live<T>} find @param {(value: T) => S} [shape] @returns {Readable<S>} */
function store(find, shape = (value) => /** @type {any} */ (value)) {
  return {
    subscribe(run) {
      const live = find();
      const isServer = typeof document === 'undefined';
      let told = isServer ? live.initial() : live.get();
      run(shape(told));
      if (isServer) return () => {};
      const tell = () => {
        const now = live.get();
        if (now !== told) run(shape((told = now)));
      };
      const stop = live.subscribe(tell);
      tell();
      return stop;
    },
  };
}
