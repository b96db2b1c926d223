// One device: its copy, its line to the server, and what the app has it do. What is decided, the pure modules decide:
// `replica.js`, `queue.js` and `state.js`.

import { Connection } from './connection.js';
import { exchange } from './exchange.js';
import { attempt, soon, uuid } from './platform.js';
import { sendable } from './plain.js';
import { enqueue, missing } from './queue.js';
import { applyPatch, cursorText, live, see } from './replica.js';
import { call, Failure } from './server.js';

/** @import { Keeper } from './keeper.js' */
/** @import { Conflict, Edit, Line, Message, Operation, Options, Patch, Platform, Refused, Result, Row, Status, SyncSummary, Token } from './types.js' */
/** @import { Watched } from './watched.js' */

/** Tables are learnt so long after the line is live. */
const LEARN_MS = 1000;
/** Refused edits that are kept; of more, the oldest leave. */
const REFUSED_MOST = 1000;
/** A server's wish to be left alone is heeded for so long at most. */
const ORDERED_MOST_MS = 60_000;
/** Live messages that come in a burst are taken together: once none came for a while, but not for ever. */
const BURST_LEAST = 20;
const BURST_QUIET_MS = 10;
const BURST_MOST_MS = 300;

const DROPPED = 'The copy was dropped.';
/** The copy is another tab's to change by now. */
export const DEPOSED = new Error('Another tab leads.');

/**
 * @typedef {object} Given
 * @property {string} api
 * @property {Options} options
 * @property {Platform} platform
 * @property {Keeper} keeper
 * @property {Watched<Status>} status
 * @property {(event: string, told: any) => void} emit
 * @property {string} [name] Of the copy, where the browser's other store keeps the device's id too
 */

export class Device {
  #given;
  #line;
  /** @type {Promise<unknown>} */
  #exchanges = Promise.resolve();
  #api;
  /** Until then the server wants to be left alone. */
  #notBefore = 0;
  /** What is known of the tables in use: a schema each, null for no such table. @type {Map<string, any>} */
  #schemas = new Map();
  #isLearning = false;
  /** @type {typeof import('./more.js') | undefined} */
  #more;
  /** Live messages that were not taken yet. @type {Message[]} */
  #incoming = [];
  #isTaking = false;

  /** @param {Given} given */
  constructor(given) {
    this.#given = given;
    this.#api = given.api;
    this.#line = new Connection({
      platform: given.platform,
      address: () => this.#address(),
      sync: (connecting) => this.#exchange(connecting ? { digest: true } : { ifNeeded: true }),
      heard: (message) => this.#heard(message),
      changed: (line, before) => this.#lineChanged(line, before),
      pending: () => this.#copy.queue.length,
      failed: (fault) => given.emit('error', { code: 'token', message: fault.message }),
      check: () => this.admit(this.sub),
      isShared: Boolean(given.name && given.platform.locks),
    }, given.options.token);
  }

  get id() {
    return this.#copy.meta.deviceId ?? '';
  }

  /** Whose token this device has, once that is known. */
  get sub() {
    return this.#line.sub;
  }

  /** Whether the copy is another person's than the token. */
  get isForeign() {
    return Boolean(this.sub && this.#copy.meta.user && this.sub !== this.#copy.meta.user);
  }

  get #copy() {
    return this.#given.keeper.copy;
  }

  /** Gives itself an id, once. A copy that can't be read, or was lost, is the same device all the same. */
  async name() {
    const { options, name } = this.#given;
    const store = attempt(() => (name ? localStorage : undefined));
    const deviceId = options.deviceId ?? (this.id || (attempt(() => store?.getItem(/** @type {string} */ (name))) ?? uuid()));
    attempt(() => store?.setItem(/** @type {string} */ (name), deviceId));
    const { life = uuid() } = this.#copy.meta;
    if (deviceId !== this.id || life !== this.#copy.meta.life) await this.#keep({ meta: { ...this.#copy.meta, deviceId, life } });
  }

  /** A copy is one person's, whoever comes first: what another one does must not mix into it. @param {string} [sub] @param {boolean} [claims] Whether it becomes theirs */
  admit(sub, claims = true) {
    const { meta } = this.#copy;
    if (!sub || sub === meta.user) return;
    if (meta.user) throw new Failure('The copy on this device is another person’s: forget() it first.', { loss: { code: 4403 } });
    if (claims) this.#keep({ meta: { ...meta, user: sub } });
  }

  /** Finds out whose token this device has. */
  token() {
    return this.#line.token();
  }

  /** @returns {Promise<boolean>} */
  connect() {
    const { status } = this.#given;
    this.#line.dispatch({ type: 'connect' });
    return new Promise((resolve, reject) => {
      const stop = status.subscribe(({ state, why }) => {
        if (state === 'stopped') reject(new Error(why));
        else if (['live', 'waiting', 'off'].includes(state)) resolve(state === 'live');
        else return;
        queueMicrotask(() => stop());
      });
    });
  }

  nudge() {
    this.#line.dispatch({ type: 'nudge' });
  }

  beat() {
    this.#line.dispatch({ type: 'beat' });
  }

  disconnect() {
    this.#line.dispatch({ type: 'disconnect' });
  }

  /** A sign of life for a tab that follows. */
  here() {
    const { lives } = this.#given.platform;
    return new Promise((/** @type {(value: void) => void} */ resolve) => (lives ? lives(resolve) : resolve()));
  }

  /** Ends the line without a word: another tab holds it now. */
  rest() {
    this.#line.rest();
    this.#incoming = [];
  }

  /** @param {Token} token */
  setToken(token) {
    this.#line.renew(token);
  }

  /** @param {string} table @param {Operation} operation @param {any} row @param {string} [ask] Names the call: made again, it counts once
   * @param {string} [life] Of the copy that it was made on
   * @returns {Promise<Row | undefined>} The row as it is shown; `_stored` is false if it is in memory only
   */
  async write(table, operation, row, ask, life) {
    if (this.#isDropped(life)) throw new Error(DROPPED);
    const { tables } = this.#given.options;
    if (tables?.length && !tables.includes(table)) throw new Error(`This client does not copy the table ${table}.`);
    const data = sendable(operation, row);
    const schema = this.#schemas.get(table);
    const errors = schema === null ? [{ field: 'table', code: 'unknown_table', message: `there is no table ${table}` }]
      : schema ? this.#more?.check(schema, operation, data) ?? [] : [];
    if (errors.length) throw new Failure(errors.map(({ field, message }) => `${field} ${message}`).join('; '), { status: 422, errors, loss: { code: 4400 } });
    this.learn(table);
    // It builds on the newest.
    this.#take();
    const { rows, meta, queue } = this.#copy;
    const status = ask && meta.judged?.[ask];
    if (status) {
      this.#given.emit('settled', [{ asks: [ask], status }]);
      return see(this.#copy, table, data.id);
    }
    const held = rows.get(table)?.get(data.id);
    const base = !held ? meta.removed?.[data.id] : operation === 'INSERT' ? undefined : held._version;
    const key = `${table} ${data.id}`;
    const before = this.#copy.edits.get(key) ?? [];
    const stored = this.#keep({ queue: enqueue(queue, { table, operation, data, ...(ask && { asks: [ask] }) }, base, uuid, before) });
    this.#withdrawn([...before, { asks: ask ? [ask] : [] }], this.#copy.edits.get(key) ?? []);
    this.#line.dispatch({ type: 'changed' });
    const isStored = await stored;
    if (!isStored && this.#given.keeper.isResting) throw DEPOSED;
    const shown = operation === 'DELETE' ? undefined : see(this.#copy, table, data.id);
    return isStored || !shown ? shown : { ...shown, _stored: false };
  }

  /** Asks for a table's schema, once there is a line and a little time: with it an edit is checked before it is queued. @param {string} [table] Without one, those that are not known yet */
  learn(table) {
    if (table && !this.#schemas.has(table)) this.#schemas.set(table, undefined);
    if (this.#line.line.name !== 'live' || this.#isLearning) return;
    const unknown = [...this.#schemas].filter(([, schema]) => schema === undefined).map(([name]) => name);
    if (!unknown.length) return;
    this.#isLearning = true;
    // What the person waits for comes first.
    this.#given.platform.setTimeout(async () => {
      for (const name of unknown) {
        const found = await this.#call(`/tables/${encodeURIComponent(name)}/schema`).catch(({ status, isFromServer }) => (status === 404 && isFromServer ? null : undefined));
        this.#more ??= found && await import('./more.js').catch(() => undefined);
        this.#schemas.set(name, found);
      }
      this.#isLearning = false;
    }, LEARN_MS);
  }

  /** Edits that only another tab has. @param {Edit[]} edits @param {string} [life] Of the copy that they were made on */
  async adopt(edits, life) {
    const { queue, meta } = this.#copy;
    if (this.#isDropped(life)) throw new Error(DROPPED);
    const news = missing(queue, meta.judged, edits);
    if (news.length) await this.#keep({ queue: [...queue, ...news.map((edit) => ({ ...edit, sent: true }))] });
    this.#line.dispatch({ type: 'changed' });
  }

  /** Queues a refused edit again. @param {string} id Its `mutation_id` @param {Record<string, any>} changes @param {string} [ask] @param {string} [life] */
  async retry(id, changes, ask, life) {
    const { table, operation, data } = this.#refused().find(({ mutation_id }) => mutation_id === id) ?? {};
    if (!table || !operation) throw new Error('There is no such edit.');
    const written = this.write(table, operation, { ...data, ...changes }, ask, life);
    this.discard(id);
    return written;
  }

  /** @param {string} [id] All without one */
  async discard(id) {
    const refused = this.#refused().filter(({ mutation_id }) => id && mutation_id !== id);
    await this.#keep({ meta: { ...this.#copy.meta, refused } });
  }

  /** @param {boolean} full @returns {Promise<SyncSummary>} */
  async performSync(full) {
    const { signal } = this.#line;
    try {
      const summary = await this.#exchange({ full });
      await this.#given.keeper.stored();
      return summary;
    } catch (fault) {
      if (fault instanceof Failure && !signal.aborted) this.#line.lose(fault.loss);
      throw fault;
    }
  }

  async getSyncStatus() {
    const { queue, cursor, meta } = this.#copy;
    const theirs = await this.#call(`/sync-status?device_id=${this.id}`).catch(() => ({ is_online: false, last_sync: meta.lastSync ?? null }));
    return { ...theirs, device_id: this.id, pending_uploads: queue.length, cursor };
  }

  /** @param {string} event @param {any} payload */
  broadcast(event, payload) {
    return this.#line.send({ type: 'broadcast', event, payload });
  }

  /** @returns {Promise<Conflict[]>} */
  async conflicts() {
    const { conflicts } = await this.#call('/conflicts').catch(() => ({ conflicts: this.#open() }));
    this.#keepConflicts(conflicts);
    return conflicts;
  }

  /** @param {string} id @param {string | Record<string, any>} choice */
  async resolve(id, choice) {
    const body = typeof choice === 'string' ? { resolution: choice } : { resolution: 'fields', data: choice };
    const result = await this.#call(`/conflicts/${id}/resolve`, { body });
    this.#keepConflicts(this.#open(id));
    this.#owePull();
    return result;
  }

  /** @param {string} path @param {{method?: string, body?: object}} [how] */
  request(path, how) {
    return this.#call(path, how);
  }

  /** @param {string} id */
  async revoke(id) {
    await this.#call(`/devices/${id}`, { method: 'DELETE' });
    // It may have been one too many.
    if (id !== this.id && this.#line.line.name === 'stopped') this.#line.dispatch({ type: 'connect' });
  }

  async forget() {
    this.disconnect();
    this.#line.cancel();
    // What it downloads would come after the drop.
    await this.#exchanges.catch(() => {});
    const { keeper, status, emit } = this.#given;
    await keeper.drop();
    if (this.#line.line.name === 'off') status.set({ ...status.value, state: 'off', why: 'The person signed out: the copy was dropped.', retryInMs: 0 });
    emit('forgotten', {});
  }

  /** @param {Patch} patch */
  #keep(patch) {
    return this.#given.keeper.keep(patch);
  }

  /** @param {string} [life] */
  #isDropped(life) {
    return Boolean(life && this.#copy.meta.dropped?.includes(life));
  }

  #refused() {
    return this.#copy.meta.refused ?? [];
  }

  /** One at a time. @param {{full?: boolean, digest?: boolean, ifNeeded?: boolean}} how @returns {Promise<SyncSummary>} */
  #exchange(how) {
    const { emit, options, platform } = this.#given;
    const { signal } = this.#line;
    const run = this.#exchanges.catch(() => {}).then(() => exchange({
      copy: this.#copy,
      isCurrent: (copy) => copy === this.#copy,
      tables: options.tables ?? [],
      api: this.#given.api,
      // Without storage it goes on in memory; the app was told.
      keep: (patch) => this.#keep(patch),
      post: (body) => this.#call('/sync', { body: { ...this.#self(), ...body }, signal }),
      rejected: ({ mutation_id, table, operation, data, asks }, { errors = [] }) => {
        const edit = /** @type {Refused} */ ({ mutation_id, table, operation, data, errors, at: new Date(platform.now()).toISOString() });
        const refused = [...this.#refused().filter((other) => other.mutation_id !== mutation_id), edit].slice(-REFUSED_MOST);
        this.#keep({ meta: { ...this.#copy.meta, refused } });
        emit('error', {
          code: 'rejected', edit, errors, message: errors.map(({ field, message }) => `${field} ${message}`.trim()).join('; '),
        });
      },
      collided: (conflict) => {
        if (conflict.conflict_id) this.#keepConflicts([...this.#open(conflict.conflict_id), conflict]);
        emit('conflict', conflict);
      },
      settled: (judged) => judged.length && emit('settled', judged.map(([{ asks = [] }, { status, errors }]) => ({ asks, status, ...(errors && { errors }) }))),
      replay: () => this.#replay(),
      now: platform.now,
    }, how)).then((summary) => {
      if (!how.ifNeeded || summary.totalChanges || summary.conflicts.length) emit('sync_completed', summary);
      return summary;
    });
    this.#exchanges = run;
    return run;
  }

  /** Tells of calls whose edits are gone unsent, since a later one undid them. @param {Pick<Edit, 'asks'>[]} before @param {Edit[]} now */
  #withdrawn(before, now) {
    const left = new Set(now.flatMap(({ asks = [] }) => asks));
    const asks = before.flatMap(({ asks: some = [] }) => some).filter((ask) => !left.has(ask));
    if (asks.length) this.#given.emit('settled', [{ asks, status: 'withdrawn' }]);
  }

  #self() {
    const { deviceType, deviceName, appVersion, conflictStrategy } = this.#given.options;
    return { device_id: this.id, device_type: deviceType, device_name: deviceName, app_version: appVersion, conflict_strategy: conflictStrategy };
  }

  /** @param {string} path @param {{body?: object, method?: string, signal?: AbortSignal}} [how] @param {string} [refused] A token that was, lately
   * @param {boolean} [isMoved] It has been asked for elsewhere @returns {Promise<any>}
   */
  async #call(path, how = {}, refused, isMoved) {
    const { platform, emit } = this.#given;
    const { signal } = how;
    const token = await this.#line.token(refused).catch((fault) => {
      throw fault instanceof Failure ? fault : new Failure(fault.message, { loss: { code: refused ? 4401 : 1006 } });
    });
    if (signal?.aborted) throw new Failure('it was called off', { loss: { code: 1006 } });
    this.admit(this.sub);
    const ms = this.#notBefore - platform.now();
    if (ms > 0 && ms <= ORDERED_MOST_MS) throw new Failure('The server wants to be left alone.', { status: 429, loss: { code: 1013, ms } });
    try {
      return await call(platform, this.#api + path, { ...how, token });
    } catch (fault) {
      if (!(fault instanceof Failure)) throw fault;
      if (fault.loss.ms) this.#notBefore = platform.now() + Math.min(fault.loss.ms, ORDERED_MOST_MS);
      if (fault.isRedirect && !isMoved) {
        const { to, why } = await import('./more.js').then(({ moved }) => moved(platform, this.#api), () => ({ to: '', why: fault.message }));
        if (!to) throw new Failure(why, { loss: { code: 1013 } });
        this.#api = to;
        return this.#call(path, how, refused, true);
      }
      if (fault.status === 409 && fault.type.endsWith('/limit-reached')) emit('too_many_devices', { devices: await this.#call('/devices').catch(() => []) });
      if (refused !== undefined || !this.#line.canAsk || fault.loss.code !== 4401) throw fault;
      return this.#call(path, how, token, isMoved);
    }
  }

  #address() {
    const { tables, deviceType, appVersion } = this.#given.options;
    const query = Object.entries({ cursor: cursorText(this.#copy.cursor), tables: tables?.join(), device_type: deviceType, app_version: appVersion })
      .filter(([, value]) => value).map(([name, value]) => `${name}=${encodeURIComponent(String(value))}`);
    return `${this.#api.replace(/^http/, 'ws')}/ws/${this.id}?${query.join('&')}`;
  }

  /** @param {Line} line @param {Line} before */
  #lineChanged({ name, why, wait }, before) {
    const { emit, status } = this.#given;
    status.set({ ...status.value, state: name, why, retryInMs: name === 'waiting' ? wait : 0 });
    if (name === 'live' && before.name !== 'live') {
      emit('connected', { deviceId: this.id });
      this.learn();
    }
    if (before.name === 'live' && name !== 'live') emit('disconnected', status.value);
    if (name === 'stopped') emit('error', { code: 'stopped', message: why });
  }

  /** @param {Message} message */
  #heard(message) {
    const { emit } = this.#given;
    const { type } = message;
    if (type === 'data_updated' || type === 'database_change') {
      this.#incoming.push(message);
      if (!this.#isTaking) this.#gather(this.#given.platform.now());
      return;
    }
    this.#take();
    if (type === 'sync_required' || type === 'sync_triggered') this.#owePull();
    if (type === 'error') emit(type, { ...message, message: message.detail });
    else if (type === 'other_device_synced') emit(type, { deviceId: message.device_id });
    // `sync_completed` of the server says what the exchange has said already.
    else if (type && type !== 'sync_completed') emit(type, message);
  }

  /** Takes what is live once that is all there: a row alone at once, a parent with its thousand children together. @param {number} since */
  #gather(since) {
    const count = this.#incoming.length;
    const isBurst = count > BURST_LEAST || this.#incoming.some(({ operation }) => operation === 'DELETE');
    const look = () => {
      if (this.#incoming.length > count && this.#given.platform.now() - since < BURST_MOST_MS) this.#gather(since);
      else this.#take();
    };
    this.#isTaking = true;
    // A hidden page’s timers sleep, and nobody looks.
    if (isBurst && !globalThis.document?.hidden) setTimeout(look, BURST_QUIET_MS);
    else soon(look);
  }

  /** What has come so far. */
  #take() {
    const { emit, options } = this.#given;
    this.#isTaking = false;
    const messages = this.#incoming.splice(0);
    if (messages.length) this.#takeLive(messages, !options.tables?.length);
    messages.forEach((message) => emit(message.type, message));
  }

  /** @param {Message[]} messages @param {boolean} dense */
  #takeLive(messages, dense) {
    const wasBehind = this.#copy.behind;
    /** @type {Patch} */
    const all = {};
    for (const message of messages) {
      const { rows = [], ...rest } = live(this.#copy, message, dense);
      applyPatch(this.#copy, { rows, ...rest });
      Object.assign(all, rest);
      if (rows.length) (all.rows ??= []).push(...rows);
    }
    this.#keep(all);
    if (this.#copy.behind && !wasBehind) this.#line.dispatch({ type: 'changed' });
  }

  /** What came during a download. A jump in its versions is none any more: the download closed it. */
  #replay() {
    this.#takeLive(this.#copy.held?.splice(0) ?? [], false);
  }

  #owePull() {
    this.#keep({ behind: true });
    this.#line.dispatch({ type: 'changed' });
  }

  /** The known open conflicts without one. @param {string} [id] */
  #open(id) {
    return (this.#copy.meta.conflicts ?? []).filter(({ conflict_id }) => conflict_id !== id);
  }

  /** @param {Conflict[]} conflicts */
  #keepConflicts(conflicts) {
    this.#keep({ meta: { ...this.#copy.meta, conflicts } });
  }
}
