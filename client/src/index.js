// The client as the app has it. What a device does is in `device.js`; here are the app's listeners and queries, and the
// choice whether this tab does it or asks the one that leads.

import { Device } from './device.js';
import { Keeper } from './keeper.js';
import { surroundings } from './platform.js';
import { applyPatch, open, see, seeAll, wholeOf } from './replica.js';
import { Failure } from './server.js';
import { indexedDbStorage } from './storage/indexeddb.js';
import { memoryStorage } from './storage/memory.js';
import { matcher, Table } from './table.js';
import { Tabs } from './tabs.js';
import { Watched } from './watched.js';

/** @import { Operation, Patch, Query, Token } from './types.js' */
/** @typedef {import('./types.js').Conflict} Conflict */
/** @typedef {import('./types.js').Edit} Edit */
/** @typedef {import('./types.js').Events} Events */
/** @typedef {import('./types.js').Options} Options */
/** @typedef {import('./types.js').Result} Result */
/** @typedef {import('./types.js').Row} Row */
/** @typedef {import('./types.js').Status} Status */
/** @typedef {import('./types.js').Storage} Storage */
/** @typedef {import('./types.js').SyncSummary} SyncSummary */

export { Failure, indexedDbStorage, memoryStorage, Table };

/** As often as a leader beats itself. */
const BEAT_MS = 30_000;

/** @template {object} [Tables=Record<string, Row>] */
export class RyzeRealtimeClient {
  /** `state` of the line, `why` it is no better, and `retryInMs` while it waits. */
  status = new Watched(/** @type {Status} */ ({ state: 'off', why: '', retryInMs: 0 }));
  /** How many edits the server has not judged yet. */
  pending = new Watched(0);
  #platform;
  #keeper;
  #device;
  #tabs;
  #isReady = false;
  #sleep = () => {};
  /** @type {Promise<void> | null} */
  #begun = null;
  /** @type {Map<string, Set<(told: any) => void>>} */
  #handlers = new Map();
  /** @type {Set<(tables: Set<string> | null) => void>} */
  #watchers = new Set();
  /** Tables that changed and were not shown yet; null is all. @type {Set<string> | null | undefined} */
  #toShow;

  /**
   * @param {string} url Where the daemon answers, such as `https://sync.example.com`
   * @param {Token | Options} [how]
   */
  constructor(url, how = {}) {
    const options = typeof how === 'object' ? how : { token: how };
    if (!/^(http|ws)s?:\/\//.test(url)) throw new Error(`The server’s address begins with https:// or http://, unlike ${url}.`);
    const { deviceId } = options;
    if (deviceId !== undefined && (!/^[\w.-]{1,64}$/.test(deviceId) || deviceId === 'ryzed')) {
      throw new Error('A deviceId is 1 to 64 of A-Z a-z 0-9 . _ - and not ryzed.');
    }
    const platform = { ...surroundings(), ...options.platform };
    this.#platform = platform;
    const api = `${url.replace(/^ws/, 'http').replace(/\/(api\/realtime\/?)?$/, '')}/api/realtime`;
    // Two devices on one page keep two copies.
    const name = ['ryzed', api, deviceId].join(' ').trim();
    const { storage = typeof indexedDB === 'object' ? indexedDbStorage(name) : memoryStorage() } = options;
    this.#keeper = new Keeper(storage, (patch) => this.#changed(patch), (message) => this.#emit('error', { code: 'storage', message }));
    const emit = (/** @type {string} */ event, /** @type {any} */ told) => this.#emit(event, told);
    this.#device = new Device({ api, options, platform, keeper: this.#keeper, status: this.status, emit });
    // Tabs share a line only if they share a copy, which a storage of the app's own may not.
    this.#tabs = new Tabs(options.storage ? { ...platform, locks: undefined } : platform, name, {
      run: (task, given, sub) => this.#run(task, given, sub),
      yields: (sub) => this.#yields(sub),
      snapshot: () => ({ patch: wholeOf(this.#keeper.copy), status: this.status.value }),
      follow: (message) => this.#follow(message),
      lead: () => this.#lead(),
    });
    this.status.subscribe((status) => this.#tabs.leads && this.#tabs.tell({ status }));
    this.#ready();
  }

  /** The id of this device; known once the copy is loaded. */
  get deviceId() {
    return this.#device.id;
  }

  /** How far the copy goes; sent back to the server as it came. */
  get cursor() {
    return this.#shown.cursor;
  }

  /**
   * Goes online and stays so until `disconnect`. Answers whether the line is live; if not, it goes on trying.
   * Fails when trying again makes no sense.
   * @returns {Promise<boolean>}
   */
  async connect() {
    this.#sleep();
    // In each tab: the one that leads may be hidden.
    this.#sleep = this.#platform.wakes(() => this.#have('nudge'));
    await this.#ready();
    // The one that leads has a token of its own: whose is this one?
    if (!this.#tabs.leads) await this.#device.token().catch(() => {});
    return this.#do('connect').catch((fault) => {
      if (this.#device.isForeign) this.status.set({ state: 'stopped', why: fault.message, retryInMs: 0 });
      this.#refresh();
      throw fault;
    });
  }

  /** Goes offline. Edits wait from here on. */
  disconnect() {
    this.#sleep();
    if (this.#isReady && this.#tabs.leads) this.#device.disconnect();
    else this.#have('disconnect');
  }

  /** Goes on with another token. @param {Token} token */
  setToken(token) {
    this.#device.setToken(token);
    if (!this.#tabs.leads && typeof token === 'string') this.#have('setToken', token);
    if (this.#isReady) this.#refresh();
  }

  /** @template {keyof Events} Name @param {Name} event @param {(told: Events[Name]) => void} handler @returns {() => void} Ends it */
  on(event, handler) {
    const handlers = this.#handlers.get(event) ?? new Set();
    this.#handlers.set(event, handlers.add(handler));
    return () => handlers.delete(handler);
  }

  /** @template {keyof Tables & string} Name @param {Name} name @returns {Table<Tables[Name]>} */
  table(name) {
    return new Table(name, {
      see: async (table, id) => (await this.#ready(), see(this.#shown, table, id)),
      seeAll: async (table) => (await this.#ready(), seeAll(this.#shown, table)),
      write: (table, operation, row) => this.#do('write', table, operation, row),
      watch: (table, query, callback) => this.#watch(table, query, callback),
    });
  }

  /** Uploads and downloads now. @param {boolean} [forceFull] Everything anew @returns {Promise<SyncSummary>} */
  performSync(forceFull = false) {
    return this.#do('performSync', forceFull);
  }

  /** What this device knows, and what the server adds when it can be reached. @returns {Promise<Record<string, any>>} */
  getSyncStatus() {
    return this.#do('getSyncStatus');
  }

  /** @param {string} table @param {Operation | Lowercase<Operation>} operation @param {Row} row @returns {Promise<Row | undefined>} */
  sendDataChange(table, operation, row) {
    return this.#do('write', table, operation.toUpperCase(), row);
  }

  /** To the person's other devices, not stored. @param {string} event @param {any} payload @returns {Promise<boolean>} Whether it left */
  broadcast(event, payload) {
    return this.#do('broadcast', event, payload);
  }

  /** The open conflicts: the server's list, or without a line the last one known. @returns {Promise<Conflict[]>} */
  conflicts() {
    return this.#do('conflicts');
  }

  /** Settles an open conflict: one side's values, or others by field. Needs the line.
   * @param {string} id @param {'server' | 'client' | Record<string, any>} choice @returns {Promise<Result>}
   */
  resolve(id, choice) {
    return this.#do('resolve', id, choice);
  }

  /** Goes offline and drops everything that is kept here, unsent edits too: for signing out. @returns {Promise<void>} */
  async forget() {
    await this.#do('forget');
    this.#leave();
  }

  #ready() {
    return (this.#begun ??= this.#begin());
  }

  /** Until it is used again: another client, or tab, may be somebody else’s by then. */
  #leave() {
    this.#sleep();
    this.#begun = null;
    this.#isReady = false;
    this.#tabs.leave(this.#keeper.stored());
  }

  /** The copy, as far as it is this person’s. */
  get #shown() {
    return this.#device.isForeign ? open() : this.#keeper.copy;
  }

  async #begin() {
    await this.#tabs.join();
    await this.#keeper.load();
    if (this.#tabs.leads) await this.#device.name().catch(() => {});
    this.#refresh();
    this.#isReady = true;
    this.#tabs.begin();
    if (!this.#tabs.leads) this.#beat();
  }

  /** Beats for a leader that is hidden: browsers slow its timers down, not what comes from other tabs. */
  #beat() {
    this.#platform.setTimeout(() => {
      if (this.#tabs.leads || !this.#isReady) return;
      // Nobody's: it makes no claim to the copy, and needs no answer.
      this.#tabs.tell({ type: 'ask', task: 'beat', given: [] });
      this.#beat();
    }, BEAT_MS);
  }

  /** @param {string} task @param {any[]} given @returns {Promise<any>} */
  async #do(task, ...given) {
    // What JSON makes of it now, whichever tab does it and however late: that is what the server will get.
    const plain = JSON.parse(JSON.stringify(given));
    await this.#ready();
    const { sub } = this.#device;
    return this.#tabs.leads ? this.#run(task, plain, sub) : this.#tabs.ask(task, plain, sub);
  }

  /** What nobody waits for. @param {string} task @param {any[]} given */
  #have(task, ...given) {
    this.#do(task, ...given).catch(() => {});
  }

  /** @param {string} task @param {any[]} given @param {string} [sub] For whom @returns {Promise<any>} */
  async #run(task, given, sub) {
    await this.#ready();
    if (task !== 'forget') this.#device.admit(sub);
    return /** @type {any} */ (this.#device)[task](...given);
  }

  /** Leaves the copy to a tab of its person. @param {string} [sub] Who asks */
  #yields(sub) {
    const own = this.#device.sub;
    const owner = this.#keeper.copy.meta.user ?? sub;
    const isTheirs = Boolean(own && owner && sub === owner && own !== owner);
    if (isTheirs) this.#leave();
    return isTheirs;
  }

  /** @param {{patch?: Patch, status?: Status, event?: string, told?: any}} message From the tab that leads */
  #follow({ patch, status, event, told }) {
    if (patch) {
      applyPatch(this.#keeper.copy, patch);
      this.#changed(patch);
    }
    // Of another person’s copy only that it is one.
    if (this.#device.isForeign) return;
    if (status) this.status.set(status);
    if (event) this.#tell(event, told);
  }

  /** The tab that led is gone: its copy is in storage, its line is this tab's to hold. */
  async #lead() {
    await this.#ready();
    await this.#keeper.load();
    await this.#device.name().catch(() => {});
    this.#refresh();
    if (!['off', 'stopped'].includes(this.status.value.state)) this.#device.connect().catch(() => {});
  }

  /** Shows a copy that is wholly another one. */
  #refresh() {
    this.#changed({ queue: this.#keeper.copy.queue });
  }

  /** @param {Patch} patch */
  #changed(patch) {
    const { rows, clear, queue } = patch;
    if (this.#isReady && this.#tabs.leads) this.#tabs.tell({ patch });
    if (queue) this.pending.set(this.#shown.queue.filter(({ done }) => !done).length);
    if (rows || clear || queue) this.#show(clear || queue ? null : new Set(rows?.map(([table]) => table)));
  }

  /** Tells the queries once for all that changes in one go. @param {Set<string> | null} tables */
  #show(tables) {
    if (this.#toShow === undefined) {
      queueMicrotask(() => {
        const changed = this.#toShow ?? null;
        this.#toShow = undefined;
        // Each by itself: a query that throws keeps nothing from the others.
        this.#watchers.forEach((look) => queueMicrotask(() => look(changed)));
      });
    }
    this.#toShow = this.#toShow === null || !tables ? null : new Set([...(this.#toShow ?? []), ...tables]);
  }

  /** @param {string} table @param {Query} query @param {(rows: any[]) => void} callback */
  #watch(table, query, callback) {
    const passes = matcher(query);
    /** @type {any[] | undefined} */
    let last;
    const look = (/** @type {Set<string> | null} */ tables) => {
      if (!this.#isReady || (tables && !tables.has(table))) return;
      const rows = seeAll(this.#shown, table).filter(passes);
      if (last?.length === rows.length && rows.every((row, at) => isSame(row, last?.[at]))) return;
      last = rows;
      // Later, so that a callback that throws keeps nothing from the others.
      queueMicrotask(() => this.#watchers.has(look) && callback(rows));
    };
    this.#ready().then(() => this.#watchers.has(look) && look(null));
    this.#watchers.add(look);
    return () => void this.#watchers.delete(look);
  }

  /** @param {string} event @param {any} told */
  #emit(event, told) {
    this.#tell(event, told);
    if (this.#tabs.leads) this.#tabs.tell({ event, told });
  }

  /** @param {string} event @param {any} told */
  #tell(event, told) {
    // Later, so that a handler that throws breaks nothing here.
    this.#handlers.get(event)?.forEach((handler) => queueMicrotask(() => handler(told)));
  }
}

/** @param {any} one @param {any} other */
const isSame = (one, other) => one === other || JSON.stringify(one) === JSON.stringify(other);
