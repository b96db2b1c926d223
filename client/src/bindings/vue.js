// Composables for Vue 3. A component follows once it is mounted, so a server, and the page's first look, show that the copy loads.

import { computed, getCurrentInstance, inject, onMounted, onScopeDispose, shallowRef, toValue, watch } from 'vue';
import { liveConflicts, liveQuery, liveRefused, liveStatus, rowOf, rowSpec } from './live.js';

/** @import { ComputedRef, MaybeRefOrGetter } from 'vue' */
/** @import { QuerySpec } from '../types.js' */
/** @import { Answer, Client, Conflicts, Line, Live, Refusals, RowAnswer } from './live.js' */
/** `client` in place of the app's. @typedef {{client?: Client | null}} How */

const KEY = Symbol('ryzed');

/** The plugin: `app.use(ryzed, client)`. @type {import('vue').Plugin<[Client]>} */
export const ryzed = { install: (app, client) => void app.provide(KEY, client) };

/** The app's client. @returns {Client} */
export function useClient() {
  const client = inject(KEY, undefined);
  if (!client) throw new Error('Hand the app its client: app.use(ryzed, client).');
  return client;
}

/** Follows a query, which may be a ref or a getter; nothing while that is null.
 * @template [T=any] @param {MaybeRefOrGetter<string>} table @param {MaybeRefOrGetter<QuerySpec<T> | null>} [spec] @param {How} [how] @returns {ComputedRef<Answer<T>>}
 */
export function useQuery(table, spec = {}, how) {
  const client = given(how);
  return follow(() => liveQuery(client, toValue(table), toValue(spec)));
}

/** Follows one row; nothing while there is no id.
 * @template [T=any] @param {MaybeRefOrGetter<string>} table @param {MaybeRefOrGetter<string | null | undefined>} id @param {How} [how] @returns {ComputedRef<RowAnswer<T>>}
 */
export function useRow(table, id, how) {
  const answer = useQuery(table, () => rowSpec(toValue(id)), how);
  return computed(() => rowOf(answer.value));
}

/** @param {How} [how] @returns {ComputedRef<Line>} */
export const useStatus = (how) => of(liveStatus, how);
/** @param {How} [how] @returns {ComputedRef<Conflicts>} */
export const useConflicts = (how) => of(liveConflicts, how);
/** @param {How} [how] @returns {ComputedRef<Refusals>} */
export const useRefused = (how) => of(liveRefused, how);

/** @param {How} [how] */
const given = (how) => (how?.client === undefined ? useClient() : how.client);

/** @template T @param {(client: Client | null) => Live<T>} live @param {How} [how] */
function of(live, how) {
  const client = given(how);
  return follow(() => live(client));
}

/** @template T @param {() => Live<T>} find @returns {ComputedRef<T>} */
function follow(find) {
  const value = shallowRef(find().initial());
  const begin = () => watch(find, (live, _, onCleanup) => {
    const show = () => (value.value = live.get());
    onCleanup(live.subscribe(show));
    show();
  }, { immediate: true });
  if (getCurrentInstance()) onMounted(begin);
  else onScopeDispose(begin());
  return computed(() => value.value);
}
