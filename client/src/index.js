// The client as the app has it. What a device does is in `device.js`; here are the app's listeners and queries, and the
// choice whether this tab does it or asks the one that leads.

import { DEPOSED, Device, LOG_MOST } from './device.js';
import { Persister } from './persister.js';
import { inspector, lazily, more, preload, queries } from './later.js';
import { nameOf } from './naming.js';
import { canonical, plain } from './plain.js';
import { attempt, surroundings, uuid, within } from './platform.js';
import { difference, missing } from './queue.js';
import { applyPatch, open, see, seeAll, wholeOf } from './replica.js';
import { Failure } from './server.js';
import { indexedDbStorage } from './storage/indexeddb.js';
import { memoryStorage } from './storage/memory.js';
import { matcher, Table } from './table.js';
import { Tabs } from './tabs.js';
import { Watch } from './watch.js';
import { Observable } from './observable.js';

/** @import { Changed, Copy, Edited, Info, Insertable, Operation, Patch, Query, QuerySpec, Refused, Told, Token, Verdict } from './types.js' */
/** @typedef {import('./types.js').Conflict} Conflict */
/** @typedef {import('./types.js').Diagnosis} Diagnosis */
/** @typedef {import('./types.js').Edit} Edit */
/** @typedef {import('./types.js').Events} Events */
/** @typedef {import('./types.js').Options} Options */
/** @typedef {import('./types.js').Result} Result */
/** @typedef {import('./types.js').Row} Row */
/** @typedef {import('./types.js').Status} Status */
/** @typedef {import('./types.js').Storage} Storage */
/** @typedef {import('./types.js').SyncSummary} SyncSummary */

export { Failure, indexedDbStorage, memoryStorage, Table };

/** The next start goes on with what takes longer; a file that could not be fetched is asked for again. */
const TAKE_OVER_MS = 10_000;
/** From the best verdict to the worst. */
const VERDICTS = ['withdrawn', 'unknown', 'applied', 'merged', 'conflict', 'rejected'];

/** `Tables` are the rows of each table as they are read, `Inserts` as they are inserted, where that differs by more than the id, `Relations` what they refer to and what refers to them.
 * @template {object} [Tables=Record<string, Row>] @template {object} [Inserts={}] @template {object} [Relations={}]
 */
export class RyzeRealtimeClient {
  /** `state` of the line, `why` it is no better, `retryInMs` while it waits; `stored`: this device can store; `refused`: edits that wait for the person. */
  status = new Observable(/** @type {Status} */ ({ state: 'off', why: '', retryInMs: 0, stored: true, refused: 0 }));
  /** How many edits the server has not judged yet. */
  pending = new Observable(0);
  /** Edits that the server refused, oldest first, until the person has decided. Each is named by its `mutation_id`. */
  refused = Object.assign(new Observable(/** @type {Refused[]} */ ([])), {
    list: () => this.refused.value,
    /** Makes the edit again, perhaps mended. @param {string} id @param {Record<string, any>} [changes] @returns {Edited<any>} */
    retry: (id, changes = {}) => this.#write('retry', id, changes),
    /** @param {string} [id] All without one @returns {Promise<void>} */
    discard: (id) => this.#do('discard', ...(id ? [id] : [])),
  });
  #platform;
  /** @type {Persister} */
  #persister;
  /** @type {Device} */
  #device;
  /** @type {Tabs} */
  #tabs;
  #nameIt;
  #isReady = false;
  #sleep = () => {};
  /** Makes ready what reads tables that are not loaded. @type {() => any} */
  #prepare = () => {};
  #queries = queries;
  /** @type {Promise<void> | null} */
  #begun = null;
  /** @type {Map<string, Set<(told: any) => void>>} */
  #handlers = new Map();
  /** @type {Set<(changed: Changed | null) => void>} */
  #watchers = new Set();
  /** What changed and was not shown yet; null is all. @type {Changed | null | undefined} */
  #toShow;
  /** The queue as followers have it. @type {Edit[]} */
  #told = [];
  /** The copy that was a leader's, and takes its patches. @type {Copy | undefined} */
  #followed;
  /** Calls whose edits have no verdict yet. @type {Map<string, {settle: (verdict: Verdict) => void, settled: Promise<Verdict>, worst: Verdict, isQueued: boolean}>} */
  #unsettled = new Map();

  /** What this tab wrote and can take back. @type {string[]} */
  #made = [];
  /** What a batch collects. @type {{writes: any[][], made: Promise<[Edited<any[]>]>} | undefined} */
  #set;

  /**
   * @param {string} url Where the daemon answers, such as `https://sync.example.com`
   * @param {Token | Options} [how]
   */
  constructor(url, how = {}) {
    const options = /** @type {Options & {tables?: string[]}} */ (typeof how === 'object' ? Object.create(how) : { token: how });
    if (!/^(http|ws)s?:\/\//.test(url)) throw new Error(`No http(s) address: ${url}`);
    const { deviceId, app = '' } = options;
    if (!/^(?!ryzed$)[\w.-]{1,64}$/.test(deviceId ?? '-')) throw new Error('A deviceId is 1 to 64 of A-Za-z0-9._-, not ryzed.');
    const platform = { ...surroundings(), ...options.platform };
    this.#platform = platform;
    const api = `${url.replace(/^ws/, 'http').replace(/\/(api\/realtime\/?)?$/, '')}/api/realtime`;
    // Where the browser forbids storage, the very look at it may throw.
    const hasDatabase = !options.storage && Boolean(attempt(() => indexedDB) ?? globalThis.document);
    // Tabs share a line only if they share a copy, which a storage of the app's own may not.
    this.#tabs = new Tabs(options.storage ? { ...platform, locks: undefined } : platform, '', {
      run: (task, given, sub) => this.#run(task, given, sub),
      yields: (sub) => this.#yields(sub),
      snapshot: () => this.#snapshot(),
      follow: (message, isOurs) => this.#follow(message, isOurs),
      life: () => this.#persister.copy.meta.life,
      lead: () => this.#lead(),
      rest: () => {
        this.#device.rest();
        this.#persister.rest();
      },
      lost: () => this.#lost(),
    });
    /** @type {Storage | undefined} */
    let database;
    const { disk = (given) => given } = platform;
    const named = () => (database ??= disk(indexedDbStorage(this.#tabs.name, Boolean(platform.locks && platform.channel))));
    const storage = options.storage ?? (hasDatabase ? {
      load: async (leads) => named().load(leads), commit: async (patches) => named().commit(patches), clear: async () => named().clear(),
      lazy: (make) => named().lazy?.(make),
    } : memoryStorage());
    // Named by an object, a table may be left in storage until it is read.
    if (/{/.test(JSON.stringify(options.tables))) {
      this.#queries = /** @type {any} */ (lazily);
      this.#prepare = () => /** @type {Promise<unknown>} */ (lazily().then(({ prepare }) => prepare(/** @type {Options} */ (options), storage), () => new Promise((resolve) => platform.setTimeout(() => resolve(this.#prepare()), TAKE_OVER_MS))));
    }
    this.#persister = new Persister(storage, {
      platform,
      changed: (patch, changed) => this.#changed(patch, changed),
      storing: (stored, message) => {
        this.status.set({ ...this.status.value, stored });
        if (!stored) this.#emit('error', { code: 'storage', message: `Only in memory now: ${message}` });
      },
      fenced: () => this.#tabs.depose(),
    });
    const emit = (/** @type {string} */ event, /** @type {any} */ told) => this.#emit(event, told);
    this.#nameIt = () => nameOf(platform, { api, app, deviceId, hasDatabase });
    const ofCopy = hasDatabase ? ['ryzed', app, deviceId].filter(Boolean).join(' ') : undefined;
    this.#device = new Device({ api, options, platform, persister: this.#persister, status: this.status, emit, name: ofCopy });
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
   * Fails when trying again makes no sense; who does not wait for it reads why in the status.
   * @returns {Promise<boolean>}
   */
  connect() {
    return quiet(this.#connect());
  }

  /** Goes offline. Edits wait from here on. */
  disconnect() {
    this.#sleep();
    // Nothing was begun, or all was forgotten: there is nothing to end.
    if (this.#begun) this.#have('disconnect');
  }

  /** Goes on with another token. @param {Token} token */
  setToken(token) {
    this.#device.setToken(token);
    if (!this.#begun) return;
    if (!this.#tabs.leads && typeof token === 'string') this.#have('setToken', token);
    if (this.#isReady) this.#refresh();
  }

  /** @template {keyof Events} Name @param {Name} event @param {(told: Events[Name]) => void} handler @returns {() => void} Ends it */
  on(event, handler) {
    const handlers = this.#handlers.get(event) ?? new Set();
    this.#handlers.set(event, handlers.add(handler));
    return () => handlers.delete(handler);
  }

  /** @template {keyof Tables & string} Name @param {Name} name @returns {Table<Tables[Name], Name extends keyof Inserts ? Inserts[Name] : Insertable<Tables[Name]>, Name extends keyof Relations ? Relations[Name] : Record<string, any>>} */
  table(name) {
    this.#device.learn(name);
    return new Table(name, {
      see: async (table, id) => (await this.#ready(), (this.#shown.lazy?.see ?? see)(this.#shown, table, canonical(id))),
      seeAll: async (table) => (await this.#ready(), this.#shown.lazy ? this.#query(table, {}).get() : seeAll(this.#shown, table)),
      write: (table, operation, row) => this.#write('write', table, operation, row),
      query: (table, spec) => this.#query(table, spec),
      watch: (table, query, callback) => this.#watch(table, query, callback),
    });
  }

  /** Uploads and downloads now. @param {boolean} [forceFull] Everything anew @returns {Promise<SyncSummary>} */
  performSync(forceFull = false) {
    return this.#do('performSync', forceFull);
  }

  /** Ends once the edits made by now have their verdict and the copy is as new as now. Waits for a line; fails when that makes no sense. @returns {Promise<void>} */
  whenSynced() {
    const waiting = [...this.#unsettled.values()].map(({ settled }) => settled);
    return quiet(more().then(({ synced }) => synced(this, waiting)));
  }

  /** What this device knows, and what the server adds when it can be reached. @returns {Promise<Record<string, any>>} */
  getSyncStatus() {
    return this.#do('getSyncStatus');
  }

  /** @param {string} table @param {Operation | Lowercase<Operation>} operation @param {Row} row @returns {Edited<Row | undefined>} */
  sendDataChange(table, operation, row) {
    return this.#write('write', table, operation.toUpperCase(), row);
  }

  /** Makes several writes one: all of them or none, here, in storage and on the server.
   * @param {() => void} make Makes them, waiting for none @returns {Edited<any[]>} Their rows; each write's own promise ends as this one does
   */
  batch(make) {
    if (this.#set) throw new Error('A batch can’t hold another one.');
    /** @type {(made: [Edited<any[]>]) => void} */
    let give = () => {};
    const { writes } = (this.#set = { writes: [], made: new Promise((resolve) => (give = resolve)) });
    /** @type {Edited<any[]>} */
    let done;
    try {
      const waits = /** @type {any} */ (make());
      if (Object(waits).then) {
        quiet(Promise.resolve(waits));
        throw new Error('A batch can’t wait.');
      }
      done = this.#write('writeAll', writes);
    } catch (fault) {
      done = Object.assign(quiet(Promise.reject(fault)), { settled: Promise.resolve(/** @type {Verdict} */ ({ status: 'withdrawn' })) });
    } finally {
      this.#set = undefined;
    }
    give([done]);
    return done;
  }

  /** Takes back what this tab wrote last, a batch as a whole; again, what it wrote before. Another one's later change of a field stays.
   * @returns {Edited<any[]>} The rows that it changed; none if there is nothing to take back
   */
  undo() {
    return this.#write('undo', this.#made.pop() ?? '');
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

  /** The person's devices, from the server. @returns {Promise<Record<string, any>[]>} */
  devices() {
    return this.#do('request', '/devices');
  }

  /** @param {string} id A device's @param {string | null} name @returns {Promise<void>} */
  rename(id, name) {
    return this.#do('request', `/devices/${id}`, { method: 'PATCH', body: { name } });
  }

  /** Takes a device's access away. @param {string} id @returns {Promise<void>} */
  revoke(id) {
    return this.#do('revoke', id);
  }

  /** Reports on this client: what waits, why, how to go on. Its `text` is for a report: no token, nothing of what rows hold. @returns {Promise<Diagnosis>} */
  async diagnose() {
    const { diagnosed } = await inspector();
    await this.#ready();
    return diagnosed(this.#shown, this.#device, this.#tabs.leads, this.status.value, () => this.#do('diagnose'));
  }

  /** Goes offline and drops everything that is kept here, unsent edits too: for signing out. @returns {Promise<void>} */
  forget() {
    return quiet(this.#forget());
  }

  async #connect() {
    this.#sleep();
    // In each tab: the one that leads may be hidden.
    this.#sleep = this.#platform.wakes(() => this.#begun && this.#have('nudge'));
    // Fetched while the copy is loaded.
    this.#device.load().catch(() => {});
    await this.#ready();
    // The one that leads has a token of its own: whose is this one?
    if (!this.#tabs.leads) await this.#device.token().catch(() => {});
    return this.#do('connect').catch((fault) => {
      if (this.#device.isForeign) this.status.set({ ...this.status.value, state: 'stopped', why: fault.message, retryInMs: 0 });
      this.#refresh();
      throw fault;
    });
  }

  async #forget() {
    const forgetting = this.#do('forget');
    // Nothing that waits gets a verdict any more.
    await forgetting.finally(() => this.#unsettled.forEach((_, ask) => this.#settle(ask, { status: 'withdrawn' }, true)));
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
    this.#made = [];
    this.#device.rest();
    this.#tabs.leave(this.#persister.stored());
    this.#persister.reset();
    this.#refresh();
  }

  /** The copy, as far as it is this person’s. */
  get #shown() {
    return this.#device.isForeign ? open() : this.#persister.copy;
  }

  async #begin() {
    const { name, others } = this.#tabs.name ? { name: this.#tabs.name, others: [] } : await this.#nameIt();
    this.#tabs.name = name;
    await this.#tabs.join();
    await this.#prepare();
    await this.#persister.load(this.#tabs.leads);
    if (this.#tabs.leads) {
      const taking = others.length ? more().then(({ takeOver }) => takeOver(this.#platform, others, this.#persister)) : Promise.resolve();
      await within(this.#platform, TAKE_OVER_MS, taking).catch(() => {});
      await this.#device.name();
    }
    this.#refresh();
    this.#isReady = true;
    this.#tabs.begin();
    preload();
  }

  /** An edit: its promise ends once it is stored, or said not to be; `settled` is its verdict. @param {string} task @param {any[]} given @returns {Edited<any>} */
  #write(task, ...given) {
    if (this.#set && task === 'write') {
      const { writes, made } = this.#set;
      const at = writes.push(given) - 1;
      return Object.assign(quiet(made.then(([done]) => done).then((rows) => rows[at])), { settled: made.then(([{ settled }]) => settled) });
    }
    const ask = uuid();
    if (task !== 'undo') this.#made = [...this.#made, ask].slice(-LOG_MOST);
    /** @type {(verdict: Verdict) => void} */
    let settle = () => {};
    const settled = new Promise((/** @type {(verdict: Verdict) => void} */ resolve) => (settle = resolve));
    this.#unsettled.set(ask, { settle, settled, worst: { status: 'withdrawn' }, isQueued: false });
    const done = this.#do(task, ...given, ask, this.#persister.copy.meta.life);
    done.then(() => {
      const waiting = this.#unsettled.get(ask);
      if (!waiting) return;
      waiting.isQueued = true;
      if (!this.#persister.copy.asks.has(ask)) this.#settleMissed(ask);
    }, ({ message, errors = [] }) => {
      this.#made = this.#made.filter((made) => made !== ask);
      this.#settle(ask, { status: 'rejected', errors: errors.length ? errors : [{ field: '', code: 'invalid', message }] }, true);
    });
    return Object.assign(done, { settled });
  }

  /** @param {(Verdict & {asks: string[]})[]} verdicts */
  #judge(verdicts) {
    const queued = this.#persister.copy.asks;
    for (const { asks, ...verdict } of verdicts) asks.forEach((ask) => this.#settle(ask, verdict, !queued.has(ask)));
  }

  /** @param {string} ask @param {Verdict} verdict @param {boolean} isLast */
  #settle(ask, verdict, isLast) {
    const waiting = this.#unsettled.get(ask);
    if (!waiting) return;
    if (VERDICTS.indexOf(verdict.status) > VERDICTS.indexOf(waiting.worst.status)) waiting.worst = verdict;
    if (!isLast) return;
    this.#unsettled.delete(ask);
    waiting.settle(waiting.worst);
  }

  /** @param {string} task @param {any[]} given @returns {Promise<any>} */
  #do(task, ...given) {
    // Also for what nobody waits for, such as `connect` in a script: a failure must not end the process.
    return quiet((async () => {
      // What JSON makes of it now, whichever tab does it and however late: that is what the server will get.
      const ready = given.map((one) => (one === undefined ? one : plain(one)));
      for (;;) {
        // Anew, if the copy was dropped meanwhile.
        await this.#ready();
        const { leads } = this.#tabs;
        const { sub } = this.#device;
        try {
          return await (leads ? this.#run(task, ready, sub) : this.#tabs.ask(task, ready, sub));
        } catch (fault) {
          // The one that leads by now does it.
          if (fault !== DEPOSED && (!leads || this.#tabs.leads || !this.#begun)) throw fault;
        }
      }
    })());
  }

  /** What nobody waits for. @param {string} task @param {any[]} given */
  #have(task, ...given) {
    this.#do(task, ...given).catch(() => {});
  }

  /** @param {string} task @param {any[]} given @param {string} [sub] For whom @returns {Promise<any>} */
  async #run(task, given, sub) {
    await this.#ready();
    // It may have been asked of this tab while that led.
    if (!this.#tabs.leads) throw DEPOSED;
    if (task !== 'forget') this.#device.admit(sub, /^(write|writeAll|undo|connect|performSync)$/.test(task));
    return this.#device.run(task, given);
  }

  /** Leaves the copy to a tab of its person. @param {string} [sub] Who asks */
  #yields(sub) {
    const own = this.#device.sub;
    const owner = this.#persister.copy.meta.user ?? sub;
    const isTheirs = Boolean(own && owner && sub === owner && own !== owner);
    if (isTheirs) this.#leave();
    return isTheirs;
  }

  #snapshot() {
    this.#told = this.#persister.copy.queue;
    return { patch: wholeOf(this.#persister.copy), status: this.status.value };
  }

  /** @param {Told} message From a tab that leads @param {boolean} isOurs From the one that is followed */
  #follow({ to, patch, edits, status, event, told, life }, isOurs) {
    const { copy } = this.#persister;
    const { queue, meta: { life: own, judged } } = copy;
    const adopt = (/** @type {any[]} */ ...given) => void this.#tabs.ask('adopt', given, this.#device.sub).catch(() => {});
    if (to) this.#followed = copy;
    if (!isOurs || copy !== this.#followed) {
      // Of another one, and late: what only that one had is not lost.
      if (patch) adopt(edits?.come ?? patch.queue ?? [], life, patch.meta?.judged);
      if (life !== own) return;
      patch = edits = status = undefined;
    }
    if (edits) {
      // By their names: a tab that takes over, or has only begun, may have another queue.
      const { after, gone, come } = edits;
      const others = queue.filter(({ mutation_id }) => !gone.includes(mutation_id));
      const at = others.findIndex(({ mutation_id }) => mutation_id === after) + 1;
      if (at || !after) patch = { ...patch, queue: [...others.slice(0, at), ...come, ...others.slice(at)] };
      else this.#tabs.begin();
    }
    if (to) copy.lazy?.kept();
    if (patch) {
      const changed = applyPatch(copy, patch);
      this.#changed(patch, to || patch.clear ? null : changed);
    }
    if (to && patch?.queue) {
      // Another one leads, and may not know what the last one could not store.
      const known = patch.meta?.judged;
      const news = missing(patch.queue, known, queue);
      if (news.length || Object.keys(judged ?? {}).some((ask) => !known?.[ask])) adopt(news, own, judged);
      this.#lookForVerdicts();
    }
    // Of another person’s copy only that it is one.
    if (this.#device.isForeign) return;
    if (status) this.status.set(status);
    if (event) this.#tell(event, told);
  }

  /** The tab that led is gone: its copy is in storage, its line is this tab's to hold. */
  async #lead() {
    const { state } = this.status.value;
    await this.#ready();
    const { copy } = this.#persister;
    await this.#persister.load(true);
    // What the one before said, and could not store.
    const { queue, meta: { user, life, judged } } = copy;
    attempt(() => (this.#device.admit(user, false), this.#device.adopt(queue, life, judged)));
    await this.#device.name();
    this.#refresh();
    this.#lookForVerdicts();
    if (!this.#persister.isResting && !['off', 'stopped'].includes(state)) this.#device.connect().catch(() => {});
  }

  /** What it said is not known any more. */
  #lost() {
    const { state } = this.status.value;
    if (!['off', 'stopped'].includes(state)) this.status.set({ ...this.status.value, state: 'waiting', why: 'The leading tab does not answer.' });
  }

  /** What is no longer queued, and was never told of, went with a tab that ended. */
  #lookForVerdicts() {
    const queued = this.#persister.copy.asks;
    this.#unsettled.forEach(({ isQueued }, ask) => isQueued && !queued.has(ask) && this.#settleMissed(ask));
  }

  /** @param {string} ask */
  #settleMissed(ask) {
    this.#settle(ask, { status: this.#persister.copy.meta.judged?.[ask] ?? 'unknown' }, true);
  }

  /** Shows a copy that is wholly another one. */
  #refresh() {
    this.#changed({ queue: this.#persister.copy.queue, meta: this.#persister.copy.meta }, null);
  }

  /** @param {Patch} patch @param {Changed | null} changed Null is everything */
  #changed(patch, changed) {
    const { queue, meta } = patch;
    if (this.#isReady && this.#tabs.leads) {
      const { queue: whole, ...rest } = patch;
      // The whole queue with each edit would be costly to copy.
      const { at, gone, come } = difference(this.#told, whole ?? this.#told);
      const changes = { after: this.#told[at - 1]?.mutation_id, gone: [...gone, ...come].map(({ mutation_id }) => mutation_id), come };
      this.#tabs.tell({ patch: rest, ...(whole && { edits: changes }), whole: patch });
      this.#told = whole ?? this.#told;
    }
    if (queue) this.pending.set(this.#shown.asks.get('') ?? 0);
    if (meta) {
      this.refused.set(this.#shown.meta.refused ?? []);
      if (this.#tabs.leads) this.status.set({ ...this.status.value, refused: this.refused.value.length });
    }
    if (!changed || changed.size) this.#show(changed);
  }

  /** Tells the queries once for all that changes in one go. @param {Changed | null} changed */
  #show(changed) {
    if (this.#toShow === undefined) {
      queueMicrotask(() => {
        const all = this.#toShow ?? null;
        this.#toShow = undefined;
        // Each by itself: a query that throws keeps nothing from the others.
        this.#watchers.forEach((look) => queueMicrotask(() => look(all)));
      });
      this.#toShow = changed;
    } else if (!changed) this.#toShow = null;
    else if (this.#toShow) {
      const all = (this.#toShow = new Map(this.#toShow));
      changed.forEach((ids, table) => {
        const had = all.get(table);
        all.set(table, had === null || !ids ? null : new Set([...(had ?? []), ...ids]));
      });
    }
  }

  /** Shows changes to somebody, and everything at first. @param {(changed: Changed | null) => void} show @returns {() => void} Ends it */
  #toWatch(show) {
    const look = (/** @type {Changed | null} */ changed) => this.#isReady && show(changed);
    this.#watchers.add(look);
    this.#ready().then(() => this.#watchers.has(look) && look(null));
    return () => void this.#watchers.delete(look);
  }

  /** @param {string} table @param {Query} query @param {(rows: any[], info: Info) => void} callback */
  #watch(table, query, callback) {
    if (this.#queries !== queries) return this.#query(table, {}, matcher(query)).subscribe(callback);
    const watch = new Watch(table, matcher(query), callback);
    let isWanted = true;
    const stop = this.#toWatch((changed) => watch.look(this.#shown, changed, this.status.value.state !== 'live', () => isWanted));
    return () => {
      isWanted = false;
      stop();
    };
  }

  /** What a query is made of is loaded when there is one. @param {string} table @param {QuerySpec} spec @param {(row: any) => boolean} [test] What they also have to pass @returns {any} */
  #query(table, spec, test) {
    const source = {
      ready: () => this.#ready(), copy: () => this.#shown, isStale: () => this.status.value.state !== 'live',
      watch: (/** @type {(changed: Changed | null) => void} */ show) => this.#toWatch(show),
    };
    const make = () => this.#queries().then(({ made }) => /** @type {any} */ (made(source, table, spec, test)));
    const made = Object.fromEntries(['get', 'first', 'count', 'sum', 'avg', 'min', 'max'].map((what) => [
      what, (/** @type {any} */ given) => quiet(make().then((query) => query[what](given))),
    ]));
    const subscribe = (/** @type {any} */ callback, /** @type {any} */ failed) => {
      /** @type {(() => void) | null} */
      let stop = () => void (stop = null);
      make().then((query) => stop && (stop = query.subscribe(callback)), failed);
      return () => stop?.();
    };
    return { ...made, subscribe };
  }

  /** @param {string} event @param {any} told */
  #emit(event, told) {
    this.#tell(event, told);
    if (this.#tabs.leads) this.#tabs.tell({ event, told });
  }

  /** @param {string} event @param {any} told */
  #tell(event, told) {
    if (event === 'settled') return this.#unsettled.size ? this.#judge(told) : undefined;
    // Later, so that a handler that throws breaks nothing here.
    this.#handlers.get(event)?.forEach((handler) => queueMicrotask(() => handler(told)));
  }
}

/** A promise whose failure may go unheard. @template {Promise<any>} T @param {T} promise @returns {T} */
function quiet(promise) {
  promise.catch(() => {});
  return promise;
}
