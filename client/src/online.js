// What a device does with its server: the line, exchanges, what comes live. Loaded beside the copy, which works without.

import { cursorText, live } from './answers.js';
import { call } from './call.js';
import { Connection } from './connection.js';
import { exchange } from './exchange.js';
import { more } from './later.js';
import { applyPatch } from './replica.js';
import { Failure } from './server.js';
import { soon } from './soon.js';
import { WAYS } from './ways.js';

/** @import { Device } from './device.js' */
/** @import { Line, Message, Patch, Refused, SyncSummary, Token } from './types.js' */

/** Refused edits that are kept; of more, the oldest leave. */
const REFUSED_MOST = 1000;
/** A server's wish to be left alone is heeded for so long at most. */
const ORDERED_MOST_MS = 60_000;
/** The last calls that are noted. */
const CALLS_MOST = 20;
/** The media type of what a server tells as it comes. */
const EVENTS = 'text/event-stream';
/** Live messages that come in a burst are taken together: once none came for a while, but not for ever. */
const BURST_LEAST = 20;
const BURST_QUIET_MS = 10;
const BURST_MOST_MS = 300;

/** @param {Record<string, any>} parts */
const query = (parts) => Object.entries(parts).filter(([, value]) => value).map(([name, value]) => `${name}=${encodeURIComponent(String(value))}`).join('&');

export class Online {
  device;
  connection;
  /** The last calls: when, for how long, what, edits sent, rows got, the server's time, what went wrong. @type {any[][]} */
  calls = [];
  /** The server's digest for a report, and when it came. */
  digest = { at: -Infinity, told: /** @type {any} */ (null) };
  /** @type {Promise<unknown>} */
  #exchanges = Promise.resolve();
  #api;
  /** Until then the server wants to be left alone. */
  #notBefore = 0;
  /** Live messages that were not taken yet. @type {Message[]} */
  #incoming = [];
  #isTaking = false;
  /** What a poll brought, until an exchange takes it. @type {{cursor: string, page: any} | null} */
  #offer = null;

  /** @param {Device} device */
  constructor(device) {
    const { api, platform, emit, name } = device.owner;
    this.device = device;
    this.#api = api;
    this.connection = new Connection({
      platform,
      address: () => this.#address(),
      sync: (connecting) => this.#exchange(connecting ? { digest: true } : { ifNeeded: true }),
      heard: (message) => this.#heard(message),
      changed: (line, before) => this.#lineChanged(line, before),
      pending: () => device.copy.queue.length,
      failed: (fault) => emit('error', { code: 'token', message: fault.message }),
      whose: (sub) => (device.sub = sub),
      check: () => device.admit(device.sub),
      isShared: Boolean(name && platform.locks),
      recall: () => (device.copy.meta.way?.api === this.#api ? device.copy.meta.way : undefined),
      works: (way) => {
        const known = device.copy.meta.way;
        if ((known?.way ?? WAYS[0]) !== way || (known && known.api !== this.#api)) device.note({ way: way === WAYS[0] ? undefined : { api: this.#api, way, at: platform.now() } });
      },
      open: async (way) => new (await more())[way === 'stream' ? 'Stream' : 'Poll'](this),
    }, device.source);
  }

  /** Does what the app asks for now and then. @param {string} task @param {any[]} given @returns {Promise<any>} */
  async run(task, given) {
    const own = /** @type {any} */ (this)[task];
    return own ? own.call(this, ...given) : (await more()).TASKS[task](this, ...given);
  }

  /** @returns {Promise<boolean>} */
  connect() {
    const { status } = this.device.owner;
    this.connection.dispatch({ type: 'connect' });
    return new Promise((resolve, reject) => {
      const stop = status.subscribe(({ state, why }) => {
        if (state === 'stopped') reject(new Error(why));
        else if (['live', 'waiting', 'off'].includes(state)) resolve(state === 'live');
        else return;
        queueMicrotask(() => stop());
      });
    });
  }

  disconnect() {
    this.connection.dispatch({ type: 'disconnect' });
  }

  nudge() {
    this.connection.dispatch({ type: 'nudge' });
  }

  beat() {
    this.connection.dispatch({ type: 'beat' });
  }

  /** An edit was made. */
  changed() {
    this.connection.dispatch({ type: 'changed' });
  }

  /** Ends the line without a word. */
  rest() {
    this.connection.rest();
    this.#incoming = [];
  }

  /** Ends what is under way. */
  async end() {
    this.connection.cancel();
    await this.#exchanges.catch(() => {});
  }

  /** @param {Token} token */
  renew(token) {
    this.connection.renew(token);
  }

  token() {
    return this.connection.token();
  }

  /** Learns what the tables in use are like, once there is a line. */
  learn() {
    const { device } = this;
    if (this.connection.line.name === 'live') more().then(({ Guard }) => (device.guard ??= new Guard(this)).learn(device.used), () => {});
  }

  /** @param {boolean} full @returns {Promise<SyncSummary>} */
  async performSync(full) {
    const { signal } = this.connection;
    try {
      const summary = await this.#exchange({ full });
      await this.device.owner.persister.stored();
      return summary;
    } catch (fault) {
      if (fault instanceof Failure && !signal.aborted) this.connection.lose(fault.loss);
      throw fault;
    }
  }

  /** @param {string} event @param {any} payload */
  broadcast(event, payload) {
    return this.connection.send({ type: 'broadcast', event, payload });
  }

  /** One at a time. @param {{full?: boolean, digest?: boolean, ifNeeded?: boolean}} how @returns {Promise<SyncSummary>} */
  #exchange(how) {
    const { emit, options, platform } = this.device.owner;
    const { signal } = this.connection;
    const run = this.#exchanges.catch(() => {}).then(() => exchange({
      copy: this.device.copy,
      isCurrent: (copy) => copy === this.device.copy,
      tables: options.tables ?? [],
      api: this.device.owner.api,
      // Without storage it goes on in memory; the app was told.
      keep: (patch) => this.device.keep(patch),
      post: (body) => this.#offered(body) ?? this.call('/sync', { body: { ...this.#self(), ...body }, signal }),
      rejected: ({ mutation_id, table, operation, data, asks }, { errors = [] }) => {
        const edit = /** @type {Refused} */ ({ mutation_id, table, operation, data, errors, at: new Date(platform.now()).toISOString() });
        const refused = [...this.device.refused().filter((other) => other.mutation_id !== mutation_id), edit].slice(-REFUSED_MOST);
        this.device.note({ refused });
        emit('error', {
          code: 'rejected', edit, errors, message: errors.map(({ field, message }) => `${field} ${message}`.trim()).join('; '),
        });
      },
      collided: (conflict) => {
        const { conflict_id, parts } = conflict;
        // What waited with it before waits on.
        const before = this.open().find((known) => known.conflict_id === conflict_id)?.parts ?? [];
        const waiting = before.filter(({ id }) => !parts?.some((part) => part.id === id)).concat(parts ?? []);
        if (conflict_id) this.device.note({ conflicts: [...this.open(conflict_id), waiting[0] ? { ...conflict, parts: waiting } : conflict] });
        emit('conflict', conflict);
      },
      settled: (judged) => judged.length && emit('settled', judged.map(([{ asks = [] }, { status, errors }]) => ({ asks, status, ...(errors && { errors }) }))),
      replay: () => this.#replay(),
      stored: () => this.device.owner.persister.stored(),
      now: platform.now,
    }, how)).then((summary) => {
      if (!how.ifNeeded || summary.totalChanges || summary.conflicts.length) emit('sync_completed', summary);
      return summary;
    });
    this.#exchanges = run;
    return run;
  }

  /** Asks for what is new, for so many seconds. @param {number} wait @param {number} patience @param {AbortSignal} signal @returns {Promise<import('./types.js').Page>} */
  async poll(wait, patience, signal) {
    const { tables } = this.device.owner.options;
    return this.call(`/changes?${query({ cursor: this.stand(), tables: tables?.join(), device_id: this.device.id, wait })}`, { signal, patience });
  }

  /** Has the device take a poll's page, as the answer to a request that it need not make. @param {string} cursor The one that was asked with
   * @param {import('./types.js').Page} page
   */
  async offer(cursor, page) {
    this.#offer = { cursor, page };
    this.owePull();
    await this.#exchanges.catch(() => {});
    this.#offer = null;
  }

  /** Has the server tell what comes, as it comes. @param {AbortSignal} signal */
  async stream(signal) {
    const { platform, options: { tables, deviceType, appVersion } } = this.device.owner;
    const headers = { authorization: `Bearer ${await this.connection.token()}`, accept: EVENTS };
    const path = `/changes?${query({ cursor: this.stand(), tables: tables?.join(), device_id: this.device.id, device_type: deviceType, app_version: appVersion })}`;
    const answer = await platform.fetch(this.#api + path, { headers, signal, redirect: 'manual', cache: 'no-store' });
    if (!answer.ok || !answer.body || !answer.headers.get('content-type')?.startsWith(EVENTS)) throw new Error('it is no stream.');
    return answer.body.getReader();
  }

  /** Where the copy stands. */
  stand() {
    return cursorText(this.device.copy.cursor);
  }

  /** What a poll has brought already, if it is what is asked for. @param {any} body */
  #offered({ cursor, changes, digest, force_full_sync }) {
    const { cursor: from, page } = this.#offer ?? {};
    this.#offer = null;
    if (!changes.length && !digest && !force_full_sync && cursor && cursorText(cursor) === from) return page;
  }

  #self() {
    const { deviceType, deviceName, appVersion, conflictStrategy } = this.device.owner.options;
    return { device_id: this.device.id, device_type: deviceType, device_name: deviceName, app_version: appVersion, conflict_strategy: conflictStrategy };
  }

  /** @param {string} path @param {{body?: object, method?: string, signal?: AbortSignal, patience?: number}} [how] @param {string} [refused] A token that was, lately
   * @param {boolean} [isMoved] It has been asked for elsewhere @returns {Promise<any>}
   */
  async call(path, how = {}, refused, isMoved) {
    const { platform, emit } = this.device.owner;
    const { signal } = how;
    const token = await this.connection.token(refused).catch((fault) => {
      throw fault instanceof Failure ? fault : new Failure(fault.message, { loss: { code: refused ? 4401 : 1006 } });
    });
    if (signal?.aborted) throw new Failure('it was called off', { loss: { code: 1006 } });
    this.device.admit(this.device.sub);
    const ms = this.#notBefore - platform.now();
    if (ms > 0 && ms <= ORDERED_MOST_MS) throw new Failure('The server wants to be left alone.', { status: 429, loss: { code: 1013, ms } });
    const at = platform.now();
    const told = (/** @type {any} */ page, /** @type {any} */ fault = null) =>
      how.patience && !fault ? null : (this.calls = [...this.calls, [at, platform.now() - at, path, /** @type {any} */ (how.body)?.changes?.length, page?.total_changes, page?.sync_timestamp, fault?.status || fault?.message]].slice(-CALLS_MOST));
    try {
      const page = await call(platform, this.#api + path, { ...how, token });
      told(page);
      return page;
    } catch (fault) {
      told(null, fault);
      if (!(fault instanceof Failure)) throw fault;
      if (fault.loss.ms) this.#notBefore = platform.now() + Math.min(fault.loss.ms, ORDERED_MOST_MS);
      if (fault.isRedirect && !isMoved) {
        const { to, why } = await more().then(({ moved }) => moved(platform, this.#api), () => ({ to: '', why: fault.message }));
        if (!to) throw new Failure(why, { loss: { code: 1013 } });
        this.#api = to;
        return this.call(path, how, refused, true);
      }
      if (fault.status === 409 && fault.type.endsWith('/limit-reached')) emit('too_many_devices', { devices: await this.call('/devices').catch(() => []) });
      if (refused !== undefined || !this.connection.canAsk || fault.loss.code !== 4401) throw fault;
      return this.call(path, how, token, isMoved);
    }
  }

  #address() {
    const { tables, deviceType, appVersion } = this.device.owner.options;
    return `${this.#api.replace(/^http/, 'ws')}/ws/${this.device.id}?${query({ cursor: this.stand(), tables: tables?.join(), device_type: deviceType, app_version: appVersion })}`;
  }

  /** @param {Line} line @param {Line} before */
  #lineChanged({ name, why, wait }, before) {
    const { emit, status } = this.device.owner;
    status.set({ ...status.value, state: name, why, retryInMs: name === 'waiting' ? wait : 0, transport: name === 'live' ? this.connection.way : null });
    if (name === 'live' && before.name !== 'live') {
      emit('connected', { deviceId: this.device.id });
      this.learn();
    }
    if (before.name === 'live' && name !== 'live') emit('disconnected', status.value);
    if (name === 'stopped') emit('error', { code: 'stopped', message: why });
  }

  /** @param {Message} message */
  #heard(message) {
    const { emit } = this.device.owner;
    const { type } = message;
    if (type === 'data_updated' || type === 'database_change') {
      this.#incoming.push(message);
      if (!this.#isTaking) this.#gather(this.device.owner.platform.now());
      return;
    }
    this.take();
    if (type === 'sync_required' || type === 'sync_triggered') this.owePull();
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
      if (this.#incoming.length > count && this.device.owner.platform.now() - since < BURST_MOST_MS) this.#gather(since);
      else this.take();
    };
    this.#isTaking = true;
    // A hidden page’s timers sleep, and nobody looks.
    if (isBurst && !globalThis.document?.hidden) setTimeout(look, BURST_QUIET_MS);
    else soon(look);
  }

  /** What has come so far. */
  take() {
    const { emit, options } = this.device.owner;
    this.#isTaking = false;
    const messages = this.#incoming.splice(0);
    if (messages.length) this.#takeLive(messages, !options.tables?.length);
    messages.forEach((message) => emit(message.type, message));
  }

  /** @param {Message[]} messages @param {boolean} dense */
  #takeLive(messages, dense) {
    const wasBehind = this.device.copy.behind;
    /** @type {Patch} */
    const all = {};
    for (const message of messages) {
      const { rows = [], ...rest } = live(this.device.copy, message, dense);
      applyPatch(this.device.copy, { rows, ...rest });
      Object.assign(all, rest);
      if (rows.length) (all.rows ??= []).push(...rows);
    }
    this.device.keep(all);
    if (this.device.copy.behind && !wasBehind) this.connection.dispatch({ type: 'changed' });
  }

  /** What came during a download. A jump in its versions is none any more: the download closed it. */
  #replay() {
    this.#takeLive(this.device.copy.held?.splice(0) ?? [], false);
  }

  owePull() {
    this.device.keep({ behind: true });
    this.connection.dispatch({ type: 'changed' });
  }

  /** The known open conflicts without one. @param {string} [id] */
  open(id) {
    return (this.device.copy.meta.conflicts ?? []).filter(({ conflict_id }) => conflict_id !== id);
  }
}
