// Hooks for React 18 and newer. On a server, and until the page has taken over, they show that the copy loads: nothing that could be wrong.

'use client';

import { createContext, createElement, useContext, useMemo, useSyncExternalStore } from 'react';
import { liveConflicts, liveQuery, liveRefused, liveStatus, rowOf, rowSpec } from './live.js';

/** @import { QuerySpec } from '../types.js' */
/** @import { Answer, Client, Conflicts, Line, Live, Refusals, RowAnswer } from './live.js' */

/** `client` in place of the one around it; with `suspense`, the component waits for the copy to be loaded, and throws what makes the query impossible. @typedef {{client?: Client | null, suspense?: boolean}} How */
/**
 * @template {object} Tables @template {object} Inserts @template {object} [Relations={}]
 * @typedef {object} Hooks The hooks for tables that are known.
 * @property {() => import('../index.js').RyzeRealtimeClient<Tables, Inserts, Relations> | null} useClient
 * @property {<Name extends keyof Tables & string>(table: Name, spec?: QuerySpec<Tables[Name], Name extends keyof Relations ? keyof Relations[Name] & string : string> | null, how?: How) => Answer<Tables[Name] & Record<string, any>>} useQuery
 * @property {<Name extends keyof Tables & string>(table: Name, id: string | null | undefined, how?: How) => RowAnswer<Tables[Name]>} useRow
 */

const Context = createContext(/** @type {Client | null | undefined} */ (undefined));

/** Gives the client to all that is inside. `null` while there is none yet. @param {{client: Client | null, children?: import('react').ReactNode}} given */
export const RyzedProvider = ({ client, children }) => createElement(Context.Provider, { value: client }, children);

/** The client that is around. @returns {Client | null} */
export function useClient() {
  const client = useContext(Context);
  if (client === undefined) throw new Error('Put <RyzedProvider client={client}> around what uses its hooks, or hand them a client.');
  return client;
}

/** Follows a query; nothing while `spec` is null. An equal `spec` made anew goes on as it is.
 * @template [T=any] @param {string} table @param {QuerySpec<T> | null} [spec] All rows without one @param {How} [how] @returns {Answer<T>}
 */
export function useQuery(table, spec, how = {}) {
  const live = liveQuery(useGiven(how), table, spec);
  const isServer = useIsServer();
  const answer = useLive(live);
  if (!how.suspense) return answer;
  // On a server there is no copy to wait for: the nearest fallback is sent, and the page goes on from there.
  if (isServer) throw new Error('The copy is on the device: a server sends the fallback of the nearest Suspense.');
  if (answer.error) throw answer.error;
  if (answer.isLoading) throw live.load();
  return answer;
}

/** Follows one row; nothing while there is no id. @template [T=any] @param {string} table @param {string | null | undefined} id @param {How} [how] @returns {RowAnswer<T>} */
export function useRow(table, id, how) {
  const answer = useQuery(table, rowSpec(id), how);
  return useMemo(() => rowOf(answer), [answer]);
}

/** The line's status, and how many edits wait. @param {Pick<How, 'client'>} [how] @returns {Line} */
export const useStatus = (how) => useLive(liveStatus(useGiven(how)));

/** The open conflicts, and how to settle one. @param {Pick<How, 'client'>} [how] @returns {Conflicts} */
export const useConflicts = (how) => useLive(liveConflicts(useGiven(how)));

/** The edits that the server refused, and how to go on. @param {Pick<How, 'client'>} [how] @returns {Refusals} */
export const useRefused = (how) => useLive(liveRefused(useGiven(how)));

/** The hooks, knowing the tables: `export const { useQuery, useRow } = hooks<Tables, Inserts, Relations>()`. @template {object} Tables @template {object} [Inserts={}] @template {object} [Relations={}] @returns {Hooks<Tables, Inserts, Relations>} */
export const hooks = () => /** @type {any} */ ({ useClient, useQuery, useRow });

/** @param {Pick<How, 'client'>} [how] */
function useGiven(how) {
  const around = useContext(Context);
  if (how?.client !== undefined) return how.client;
  return around === undefined ? useClient() : around;
}

/** @template T @param {Live<T>} live @returns {T} */
const useLive = (live) => useSyncExternalStore(live.subscribe, live.get, live.initial);

const never = () => () => {};
const useIsServer = () => useSyncExternalStore(never, () => false, () => true);
