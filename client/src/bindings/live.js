// Live values of a client, for interfaces to follow: one subscription for all that ask alike, and a value that is another one only when what
// shows is. React, Vue, Svelte and Solid have it in their own forms beside this file.

/** @import { Conflict, QuerySpec, Refused, Result, Status } from '../types.js' */
/** @typedef {import('../index.js').RyzeRealtimeClient<any, any>} Client */

/** A value that nobody follows yet is kept for so long: an interface may take its time to show it. */
const UNSEEN_MS = 5000;

/**
 * @template [T=any]
 * @typedef {object} Answer The rows of a query, and how sure they are.
 * @property {T[]} rows None while it loads
 * @property {boolean} isLoading The copy on this device was not looked at yet
 * @property {boolean} isReady The copy was synced once; before, no rows may mean that nothing came yet
 * @property {boolean} isStale There is no line: the rows may be old
 * @property {Error | undefined} error A query that can't be, or could not be loaded
 */
/** @template [T=any] @typedef {Omit<Answer<T>, 'rows'> & {row: T | undefined}} RowAnswer One row, and how sure it is. */
/** @typedef {Status & {pending: number}} Line The status, and how many edits wait. */
/** @typedef {{conflicts: Conflict[], isLoading: boolean, error: Error | undefined, resolve: (id: string, choice: 'server' | 'client' | Record<string, any>) => Promise<Result>}} Conflicts */
/** @typedef {{refused: Refused[], retry: (id: string, changes?: Record<string, any>) => Promise<any>, discard: (id?: string) => Promise<void>}} Refusals */
/** @template T @typedef {{stop: () => void, poke?: () => void}} Following Ends it; has it look again. */
/**
 * @template T
 * @typedef {object} Plan
 * @property {T} initial Before there is a client or a copy, as on a server
 * @property {(tell: (value: T) => void, now: () => T) => Following<T>} start
 * @property {() => T} [peek] The value while nobody follows it, where it is at hand
 */

const noClient = () => Promise.reject(new Error('There is no client yet.'));

/** @type {Answer<any>} */
export const LOADING = Object.freeze({ rows: /** @type {any[]} */ ([]), isLoading: true, isReady: false, isStale: true, error: undefined });
/** The answer to no question. @type {Answer<any>} */
const UNASKED = Object.freeze({ ...LOADING, isLoading: false });
/** @type {Line} */
const OFF = Object.freeze({ state: 'off', why: '', retryInMs: 0, stored: true, refused: 0, pending: 0 });
/** @type {Conflicts} */
const NO_CONFLICTS = Object.freeze({ conflicts: [], isLoading: true, error: undefined, resolve: noClient });
/** @type {Refusals} */
const NONE_REFUSED = Object.freeze({ refused: [], retry: noClient, discard: noClient });

/** A value that is followed while somebody listens. @template T */
export class Live {
  #plan;
  /** @type {Map<string, Live<any>> | undefined} */
  #known;
  #key;
  #value;
  /** @type {Set<() => void>} */
  #listeners = new Set();
  /** @type {Following<T> | undefined} */
  #following;
  /** @type {any} */
  #timer;
  #isLoaded = () => {};
  /** Ends with the first value. @type {Promise<void>} */
  #loaded = new Promise((resolve) => (this.#isLoaded = resolve));

  /** @param {Plan<T>} plan @param {Map<string, Live<any>>} [known] Where those who ask alike find it @param {string} [key] */
  constructor(plan, known, key = '') {
    this.#plan = plan;
    this.#known = known;
    this.#key = key;
    this.#value = plan.initial;
    this.#keep();
  }

  /** The value; the same object until it is another one. */
  get = () => {
    if (!this.#following && this.#plan.peek) this.#take(this.#plan.peek());
    return this.#value;
  };

  /** The value on a server, and of the first look in a page that came from one. */
  initial = () => this.#plan.initial;

  /** Calls back after each change. @param {() => void} listener @returns {() => void} Ends it */
  subscribe = (listener) => {
    // The same function may listen twice.
    const one = () => listener();
    clearTimeout(this.#timer);
    this.#listeners.add(one);
    this.#begin();
    return () => {
      if (this.#listeners.delete(one) && !this.#listeners.size) this.#rest(0);
    };
  };

  /** Ends once there is a value; that is kept for a while, for those who subscribe then. */
  load() {
    this.#begin();
    if (!this.#listeners.size) this.#rest(UNSEEN_MS);
    return this.#loaded;
  }

  /** Looks again. */
  poke() {
    this.#following?.poke?.();
  }

  #keep() {
    if (!this.#known) return;
    if (!this.#known.has(this.#key)) this.#known.set(this.#key, this);
    if (!this.#listeners.size) this.#rest(UNSEEN_MS);
  }

  #begin() {
    if (this.#following) return;
    this.#keep();
    let isOver = false;
    const tell = (/** @type {T} */ value) => {
      if (isOver || !this.#take(value)) return;
      this.#isLoaded();
      this.#listeners.forEach((listener) => listener());
    };
    const { stop, ...rest } = this.#plan.start(tell, () => this.#value);
    this.#following = { ...rest, stop: () => ((isOver = true), stop()) };
  }

  /** @param {T} value @returns {boolean} Another one than before */
  #take(value) {
    const isSame = value === this.#value || (this.#plan.peek && JSON.stringify(value) === JSON.stringify(this.#value));
    if (!isSame) this.#value = value;
    return !isSame;
  }

  /** Ends after a while, unless somebody listens by then: what goes and comes at once goes on. @param {number} ms */
  #rest(ms) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      if (this.#listeners.size) return;
      this.#following?.stop();
      this.#following = undefined;
      if (this.#known?.get(this.#key) === this) this.#known.delete(this.#key);
    }, ms);
    // It keeps no process alive.
    this.#timer.unref?.();
  }
}

/** @type {WeakMap<Client, Map<string, Live<any>>>} */
const ofClients = new WeakMap();

/** @template T @param {Client} client @param {string} key @param {() => Plan<T>} plan @returns {Live<T>} */
function shared(client, key, plan) {
  const known = ofClients.get(client) ?? new Map();
  ofClients.set(client, known);
  return known.get(key) ?? new Live(plan(), known, key);
}

/** A value that never changes. @template T @param {T} initial */
const still = (initial) => new Live({ initial, start: () => ({ stop: () => {} }) });
const [LOADS, ASKS_NOT, IS_OFF, HAS_NONE, REFUSES_NONE] = [still(LOADING), still(UNASKED), still(OFF), still(NO_CONFLICTS), still(NONE_REFUSED)];

/** The query's text, which stands for it: an equal object made anew is the same query. @param {any} value */
const textOf = (value) => JSON.stringify(value, function (key, given) {
  const was = this[key];
  return was instanceof Date ? { $time: Number(was) } : typeof was === 'number' && !isFinite(was) ? { $number: String(was) } : given;
});

/** A query. `null` for what is not known yet asks for nothing. @param {Client | null | undefined} client @param {string} table @param {QuerySpec<any> | null} [spec] @returns {Live<Answer>} */
export function liveQuery(client, table, spec = {}) {
  if (!client) return LOADS;
  if (!spec) return ASKS_NOT;
  return shared(client, `query ${table} ${textOf(spec)}`, () => ({ initial: LOADING, start: (tell, now) => {
    const isStale = () => client.status.value.state !== 'live';
    const stopRows = client.table(table).query(spec).subscribe(
      (rows, { isReady }) => tell({ rows, isLoading: false, isReady, isStale: isStale(), error: undefined }),
      (error) => tell({ ...now(), isLoading: false, error }),
    );
    const stopLine = client.status.subscribe(() => {
      if (!now().isLoading && now().isStale !== isStale()) tell({ ...now(), isStale: isStale() });
    });
    return { stop: () => (stopRows(), stopLine()) };
  } }));
}

/** The query for one row. @param {string | null | undefined} id @returns {QuerySpec<any> | null} */
export const rowSpec = (id) => (id ? { where: { id } } : null);

/** @template T @param {Answer<T>} answer @returns {RowAnswer<T>} */
export const rowOf = ({ rows, ...rest }) => ({ row: rows[0], ...rest });

/** @param {Client | null | undefined} client @returns {Live<Line>} */
export function liveStatus(client) {
  if (!client) return IS_OFF;
  const peek = () => ({ ...client.status.value, pending: client.pending.value });
  return shared(client, 'status', () => ({ initial: OFF, peek, start: (tell) => {
    const stops = [client.status, client.pending].map((watched) => /** @type {any} */ (watched).subscribe(() => tell(peek())));
    return { stop: () => stops.forEach((stop) => stop()) };
  } }));
}

/** @param {Client | null | undefined} client @returns {Live<Refusals>} */
export function liveRefused(client) {
  if (!client) return REFUSES_NONE;
  const { retry, discard } = client.refused;
  const peek = () => ({ refused: client.refused.value, retry, discard });
  return shared(client, 'refused', () => ({ initial: NONE_REFUSED, peek, start: (tell) => ({ stop: client.refused.subscribe(() => tell(peek())) }) }));
}

/** The open conflicts. They are asked for again when one comes, when the line is back, and when a row that has one changes. @param {Client | null | undefined} client @returns {Live<Conflicts>} */
export function liveConflicts(client) {
  if (!client) return HAS_NONE;
  return shared(client, 'conflicts', () => ({ initial: NO_CONFLICTS, start: (tell, now) => {
    let isAsking = false;
    let isDue = false;
    const resolve = async (/** @type {string} */ id, /** @type {any} */ choice) => {
      const result = await client.resolve(id, choice);
      tell({ ...now(), conflicts: now().conflicts.filter(({ conflict_id }) => conflict_id !== id) });
      ask();
      return result;
    };
    const ask = async () => {
      isDue = true;
      if (isAsking) return;
      isAsking = true;
      while (isDue) {
        isDue = false;
        await client.conflicts().then(
          (conflicts) => tell({ conflicts, isLoading: false, error: undefined, resolve }),
          (error) => tell({ ...now(), isLoading: false, error, resolve }),
        );
      }
      isAsking = false;
    };
    const changed = (/** @type {Record<string, any>} */ { table, data, new_record: row = data }) => {
      if (now().conflicts.some((conflict) => conflict.table === table && (!row || conflict.id === row.id))) ask();
    };
    const stops = [
      ...(/** @type {const} */ (['conflict', 'connected', 'sync_completed', 'forgotten'])).map((event) => client.on(event, () => void ask())),
      ...(/** @type {const} */ (['data_updated', 'database_change'])).map((event) => client.on(event, changed)),
    ];
    ask();
    return { poke: ask, stop: () => stops.forEach((stop) => stop()) };
  } }));
}
