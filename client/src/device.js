// One device: its copy, its line to the server, and what the app has it do. What is decided, the pure modules decide:
// `replica.js`, `queue.js` and `state.js`.

import { Connection } from './connection.js';
import { exchange } from './exchange.js';
import { uuid } from './platform.js';
import { enqueue } from './queue.js';
import { cursorText, live, see } from './replica.js';
import { call, Failure } from './server.js';

/** @import { Keeper } from './keeper.js' */
/** @import { Conflict, Line, Message, Operation, Options, Patch, Platform, Row, Status, SyncSummary, Token } from './types.js' */
/** @import { Watched } from './watched.js' */

const OPERATIONS = ['INSERT', 'UPDATE', 'UPSERT', 'DELETE'];

/**
 * @typedef {object} Given
 * @property {string} api
 * @property {Options} options
 * @property {Platform} platform
 * @property {Keeper} keeper
 * @property {Watched<Status>} status
 * @property {(event: string, told: any) => void} emit
 */

export class Device {
  #given;
  #line;
  /** @type {Promise<unknown>} */
  #exchanges = Promise.resolve();

  /** @param {Given} given */
  constructor(given) {
    this.#given = given;
    this.#line = new Connection({
      platform: given.platform,
      address: () => this.#address(),
      sync: (connecting) => this.#exchange(connecting ? { digest: true } : { ifNeeded: true }),
      heard: (message) => this.#heard(message),
      changed: (line, before) => this.#lineChanged(line, before),
      pending: () => this.#copy.queue.length,
      failed: (fault) => given.emit('error', { code: 'token', message: fault.message }),
      check: () => this.admit(this.sub),
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

  /** Gives itself an id, once. */
  name() {
    const deviceId = this.#given.options.deviceId ?? (this.id || uuid());
    return deviceId === this.id ? Promise.resolve() : this.#keep({ meta: { ...this.#copy.meta, deviceId } });
  }

  /** A copy is one person's, whoever comes first: what another one does must not mix into it. @param {string} [sub] */
  admit(sub) {
    const { meta } = this.#copy;
    if (!sub || sub === meta.user) return;
    if (meta.user) throw new Failure('The copy on this device is another person’s: forget() it first.', { loss: { code: 4403 } });
    this.#keep({ meta: { ...meta, user: sub } }).catch(() => {});
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

  /** @param {Token} token */
  setToken(token) {
    this.#line.renew(token);
  }

  /** @param {string} table @param {Operation} operation @param {any} row @returns {Promise<Row | undefined>} */
  async write(table, operation, row) {
    const { tables } = this.#given.options;
    if (tables?.length && !tables.includes(table)) throw new Error(`This client does not copy the table ${table}.`);
    // `_version` and `_pending` are ours, and a row may come back as it was read.
    const data = /** @type {Row} */ (Object.fromEntries(Object.entries(row).filter(([field]) => field[0] !== '_')));
    if (!OPERATIONS.includes(operation)) throw new Error(`A change is an INSERT, UPDATE, UPSERT or DELETE, not ${operation}.`);
    if (!data.id) throw new Error('A change needs the id of its row.');
    const { rows, meta } = this.#copy;
    const held = rows.get(table)?.get(data.id);
    const base = !held ? meta.removed?.[data.id] : operation === 'INSERT' ? undefined : held._version;
    const stored = this.#keep({ queue: enqueue(this.#copy.queue, { table, operation, data }, base, uuid) });
    this.#line.dispatch({ type: 'changed' });
    await stored;
    return operation === 'DELETE' ? undefined : see(this.#copy, table, data.id);
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
    const result = await this.#call(`/conflicts/${id}/resolve`, body);
    this.#keepConflicts(this.#open(id));
    this.#owePull();
    return result;
  }

  async forget() {
    this.disconnect();
    this.#line.cancel();
    // What it downloads would come after the drop.
    await this.#exchanges.catch(() => {});
    return this.#given.keeper.drop();
  }

  /** @param {Patch} patch */
  #keep(patch) {
    return this.#given.keeper.keep(patch);
  }

  /** One at a time. @param {{full?: boolean, digest?: boolean, ifNeeded?: boolean}} how @returns {Promise<SyncSummary>} */
  #exchange(how) {
    const { emit, options, platform } = this.#given;
    const { signal } = this.#line;
    const run = this.#exchanges.catch(() => {}).then(() => exchange({
      copy: this.#copy,
      tables: options.tables ?? [],
      // Without storage it goes on in memory; the app was told.
      keep: (patch) => this.#keep(patch).catch(() => {}),
      post: (body) => this.#call('/sync', { ...this.#self(), ...body }, signal),
      rejected: (edit, { errors = [] }) => emit('error', {
        code: 'rejected', edit, errors, message: errors.map(({ field, message }) => `${field} ${message}`.trim()).join('; '),
      }),
      collided: (conflict) => {
        if (conflict.conflict_id) this.#keepConflicts([...this.#open(conflict.conflict_id), conflict]);
        emit('conflict', conflict);
      },
      replay: () => this.#replay(),
      now: platform.now,
    }, how)).then((summary) => {
      if (!how.ifNeeded || summary.totalChanges || summary.conflicts.length) emit('sync_completed', summary);
      return summary;
    });
    this.#exchanges = run;
    return run;
  }

  #self() {
    const { deviceType, deviceName, appVersion, conflictStrategy } = this.#given.options;
    return { device_id: this.id, device_type: deviceType, device_name: deviceName, app_version: appVersion, conflict_strategy: conflictStrategy };
  }

  /** @param {string} path @param {object} [body] @param {AbortSignal} [signal] @param {boolean} [fresh] The last token was refused @returns {Promise<any>} */
  async #call(path, body, signal, fresh = false) {
    const { api, platform } = this.#given;
    const token = await this.#line.token(fresh).catch((fault) => {
      throw fault instanceof Failure ? fault : new Failure(fault.message, { loss: { code: 1006 } });
    });
    this.admit(this.sub);
    try {
      return await call(platform, api + path, { token, body, signal });
    } catch (fault) {
      if (fresh || !this.#line.canAsk || !(fault instanceof Failure && fault.loss.code === 4401)) throw fault;
      return this.#call(path, body, signal, true);
    }
  }

  #address() {
    const { api, options: { tables, deviceType, appVersion } } = this.#given;
    const query = Object.entries({ cursor: cursorText(this.#copy.cursor), tables: tables?.join(), device_type: deviceType, app_version: appVersion })
      .filter(([, value]) => value).map(([name, value]) => `${name}=${encodeURIComponent(String(value))}`);
    return `${api.replace(/^http/, 'ws')}/ws/${this.id}?${query.join('&')}`;
  }

  /** @param {Line} line @param {Line} before */
  #lineChanged({ name, why, wait }, before) {
    const { emit, status } = this.#given;
    status.set({ state: name, why, retryInMs: name === 'waiting' ? wait : 0 });
    if (name === 'live' && before.name !== 'live') emit('connected', { deviceId: this.id });
    if (before.name === 'live' && name !== 'live') emit('disconnected', status.value);
    if (name === 'stopped') emit('error', { code: 'stopped', message: why });
  }

  /** @param {Message} message */
  #heard(message) {
    const { emit, options } = this.#given;
    const { type } = message;
    if (type === 'data_updated' || type === 'database_change') this.#takeLive(message, !options.tables?.length);
    if (type === 'sync_required' || type === 'sync_triggered') this.#owePull();
    if (type === 'error') emit(type, { ...message, message: message.detail });
    else if (type === 'other_device_synced') emit(type, { deviceId: message.device_id });
    // `sync_completed` of the server says what the exchange has said already.
    else if (type !== 'sync_completed') emit(type, message);
  }

  /** @param {Message} message @param {boolean} dense */
  #takeLive(message, dense) {
    const wasBehind = this.#copy.behind;
    this.#keep(live(this.#copy, message, dense)).catch(() => {});
    if (this.#copy.behind && !wasBehind) this.#line.dispatch({ type: 'changed' });
  }

  /** What came during a download. A jump in its versions is none any more: the download closed it. */
  #replay() {
    this.#copy.held?.splice(0).forEach((message) => this.#takeLive(message, false));
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
    this.#keep({ meta: { ...this.#copy.meta, conflicts } }).catch(() => {});
  }
}
