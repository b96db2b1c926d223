// One device: its copy, and what can be done with it alone. What it does with the server is in `online.js`, which is loaded
// beside the copy.

import { online } from './later.js';
import { attempt, claims, uuid } from './platform.js';
import { sendable } from './plain.js';
import { enqueue, enqueueSet, keyOf, missing } from './queue.js';
import { see } from './replica.js';
import { Failure } from './server.js';

/** @import { Persister } from './persister.js' */
/** @import { Online } from './online.js' */
/** @import { Edit, Meta, Operation, Options, Patch, Platform, Row, Status, Token } from './types.js' */
/** @import { Observable } from './observable.js' */

/** The part that goes online is loaded again after this, should that have failed. */
const LOAD_AGAIN_MS = 5000;

/** Calls that can be taken back. */
export const LOG_MOST = 100;
/** Writes in one batch: they go out in one request. */
const SET_MOST = 500;

/** The copy is another tab's to change by now. */
export const DEPOSED = new Error('Another tab leads.');

/** @typedef {{table: string, operation: Operation, data: Row, was: Row | undefined}} Done */
/**
 * @typedef {object} Given
 * @property {string} api
 * @property {Options & {tables?: string[]}} options
 * @property {Platform} platform
 * @property {Persister} persister
 * @property {Observable<Status>} status
 * @property {(event: string, told: any) => void} emit
 * @property {string} [name] Of the copy, where the browser's other store keeps the device's id too
 */

export class Device {
  owner;
  /** @type {Token | undefined} */
  source;
  /** Whose token this device has, once that is known. @type {string | undefined} */
  sub;
  /** Tables in use. @type {Set<string>} */
  used = new Set();
  /** The last calls, with the rows as they were before. @type {Map<string, Done[]>} */
  log = new Map();
  /** @type {import('./guard.js').Guard | undefined} */
  guard;
  /** @type {Online | undefined} */
  #online;
  /** @type {Promise<Online> | undefined} */
  #loading;
  #isWanted = false;
  /** @type {any} */
  #timer;

  /** @param {Given} given */
  constructor(given) {
    this.owner = given;
    this.#take(given.options.token);
  }

  get id() {
    return this.copy.meta.deviceId ?? '';
  }

  /** Whether the copy is another person's than the token. */
  get isForeign() {
    return Boolean(this.sub && this.copy.meta.user && this.sub !== this.copy.meta.user);
  }

  get copy() {
    return this.owner.persister.copy;
  }

  /** What is done with the server. @returns {Promise<Online>} */
  load() {
    return (this.#loading ??= online().then(({ Online: Loaded }) => (this.#online = new Loaded(this)), ({ message }) => {
      this.#loading = undefined;
      throw new Failure(`What goes online can’t be loaded: ${message}`, { loss: { code: 1006 } });
    }));
  }

  /** Does what the app, or another tab, asks for. @param {string} task @param {any[]} given @returns {Promise<any>} */
  async run(task, given) {
    const own = /** @type {any} */ (this)[task];
    return own ? own.call(this, ...given) : (await this.load()).run(task, given);
  }

  /** Gives itself an id, once. A copy that can't be read, or was lost, is the same device all the same. */
  async name() {
    const { options, name } = this.owner;
    const store = attempt(() => (name ? localStorage : undefined));
    const deviceId = options.deviceId ?? (this.id || (attempt(() => store?.getItem(/** @type {string} */ (name))) ?? uuid()));
    attempt(() => store?.setItem(/** @type {string} */ (name), deviceId));
    const { life = uuid() } = this.copy.meta;
    if (deviceId !== this.id || life !== this.copy.meta.life) await this.note({ deviceId, life });
  }

  /** A copy is one person's, whoever comes first: what another one does must not mix into it. @param {string} [sub] @param {boolean} [claims] Whether it becomes theirs */
  admit(sub, claims = true) {
    const { meta } = this.copy;
    if (!sub || sub === meta.user) return;
    if (meta.user) throw new Failure('The copy on this device is another person’s: forget() it first.', { loss: { code: 4403 } });
    if (claims) this.note({ user: sub });
  }

  /** @returns {Promise<boolean>} */
  async connect() {
    const { status, platform } = this.owner;
    this.#want(true);
    try {
      await this.load();
    } catch (fault) {
      const again = () => this.#isWanted && this.connect().catch(() => {});
      this.#timer = platform.setTimeout(again, LOAD_AGAIN_MS);
      status.set({ ...status.value, state: 'waiting', why: /** @type {Error} */ (fault).message, retryInMs: LOAD_AGAIN_MS });
    }
    return Boolean(this.#isWanted && await this.#online?.connect());
  }

  disconnect() {
    this.#want(false);
    if (this.#online) return this.#online.disconnect();
    const { status } = this.owner;
    status.set({ ...status.value, state: 'off', why: '', retryInMs: 0 });
  }

  nudge() {
    if (this.#online) this.#online.nudge();
    else if (this.#isWanted) this.connect().catch(() => {});
  }

  /** A sign of life for a tab that follows. */
  here() {
    const { lives } = this.owner.platform;
    return new Promise((/** @type {(value: void) => void} */ resolve) => (lives ? lives(resolve) : resolve()));
  }

  /** Ends the line without a word: another tab holds it now. */
  rest() {
    this.#want(false);
    this.log.clear();
    this.#online?.rest();
  }

  /** @param {Token} token */
  setToken(token) {
    this.#take(token);
    this.#online?.renew(token);
  }

  /** Finds out whose token this device has. */
  async token() {
    if (!this.sub) await (await this.load()).token();
  }

  /** @param {string} table @param {Operation} operation @param {any} row @param {string} [ask] @param {string} [life] @returns {Promise<Row | undefined>} */
  async write(table, operation, row, ask, life) {
    return (await this.writeAll([[table, operation, row]], ask, life))[0];
  }

  /** @param {[table: string, operation: Operation, row: any][]} writes Several are one set: all of them or none
   * @param {string} [ask] Names the call: made again, it counts once @param {string} [life] Of the copy that it was made on
   * @returns {Promise<(Row | undefined)[]>} The rows as they are shown; `_stored` is false if they are in memory only
   */
  async writeAll(writes, ask = uuid(), life) {
    const { emit, persister } = this.owner;
    this.#refuseDropped(life);
    if (writes.length > SET_MOST) throw new Error(`A batch has ${SET_MOST} writes at most.`);
    // They build on what is stored, too.
    if (await this.copy.lazy?.want(writes, this)) throw DEPOSED;
    // They build on the newest.
    this.#online?.take();
    const edits = writes.map((write) => this.#checked(ask, ...write));
    const { meta, queue } = this.copy;
    const shown = () => edits.map(({ table, operation, data: { id } }) => (operation === 'DELETE' ? undefined : see(this.copy, table, id)));
    const status = meta.judged?.[ask];
    if (status) {
      emit('settled', [{ asks: [ask], status }]);
      return shown();
    }
    const ofRows = () => edits.flatMap((edit) => this.copy.edits.get(keyOf(edit)) ?? []);
    const before = ofRows();
    // Asked again, since the tab that was asked first went without an answer.
    const isAsked = before.some(({ asks }) => asks?.includes(ask));
    if (!isAsked) this.log.set(ask, edits.map((edit) => ({ ...edit, was: see(this.copy, edit.table, edit.data.id) })));
    if (this.log.size > LOG_MOST) this.log.delete(this.log.keys().next().value ?? '');
    const grown = isAsked ? queue : edits.length > 1 ? enqueueSet(queue, edits, ask, uuid)
      : edits.reduce((now, { base, ...edit }) => enqueue(now, edit, base, uuid, before), queue);
    const stored = this.keep({ queue: grown });
    this.#withdrawn([...before, { asks: [ask] }], ofRows());
    this.#online?.changed();
    const isStored = await stored;
    if (!isStored && persister.isResting) throw DEPOSED;
    return shown().map((row) => (isStored || !row ? row : { ...row, _stored: false }));
  }

  /** A write as it is queued; `base` is the version that it builds on. @param {string} ask @param {string} table @param {Operation} operation @param {any} row */
  #checked(ask, table, operation, row) {
    const { copy: { rows, meta }, owner: { options: { tables } } } = this;
    if (tables?.length && !tables.includes(table)) throw new Error(`This client does not copy the table ${table}.`);
    const data = sendable(operation, row);
    const errors = this.guard?.errors(table, operation, data) ?? [];
    if (errors.length) throw new Failure(errors.map(({ field, message }) => `${field} ${message}`).join('; '), { status: 422, errors, loss: { code: 4400 } });
    this.learn(table);
    const held = rows.get(table)?.get(data.id);
    const base = !held ? meta.removed?.[data.id] : operation === 'INSERT' ? undefined : held._version;
    return { table, operation, data, asks: [ask], base };
  }

  /** Edits and verdicts that only another tab has. @param {Edit[]} edits @param {string} [life] Of the copy that they were made on @param {Meta['judged']} [known] */
  adopt(edits, life, known) {
    const { queue, meta } = this.copy;
    this.#refuseDropped(life);
    const judged = { ...known, ...meta.judged };
    const news = missing(queue, judged, edits).map((edit) => ({ ...edit, sent: true }));
    const kept = this.keep({ queue: [...queue, ...news], meta: { ...meta, judged } });
    this.#online?.changed();
    return kept;
  }

  /** Learns what the tables in use are like, once there is a line. @param {string} table One more */
  learn(table) {
    this.used.add(table);
    this.#online?.learn();
  }

  async forget() {
    const { persister, status, emit } = this.owner;
    this.disconnect();
    // What it downloads would come after the drop.
    await this.#online?.end();
    this.log.clear();
    await persister.drop();
    if (!this.#isWanted) status.set({ ...status.value, state: 'off', why: 'Signed out: the copy was dropped.', retryInMs: 0 });
    emit('forgotten', {});
  }

  /** @param {Patch} patch */
  keep(patch) {
    return this.owner.persister.keep(patch);
  }

  /** Notes what else is to be kept. @param {Partial<Meta>} news */
  note(news) {
    return this.keep({ meta: { ...this.copy.meta, ...news } });
  }

  refused() {
    return this.copy.meta.refused ?? [];
  }

  /** @param {boolean} isWanted */
  #want(isWanted) {
    this.#isWanted = isWanted;
    this.owner.platform.clearTimeout(this.#timer);
  }

  /** @param {Token | undefined} source */
  #take(source) {
    this.source = source;
    this.sub = typeof source === 'string' ? claims(source).sub : undefined;
  }

  /** @param {string} [life] Of the copy that an edit was made on */
  #refuseDropped(life) {
    if (life && this.copy.meta.dropped?.includes(life)) throw new Error('The copy was dropped.');
  }

  /** Tells of calls whose edits are gone unsent, since a later one undid them. @param {Pick<Edit, 'asks'>[]} before @param {Edit[]} now */
  #withdrawn(before, now) {
    const left = new Set(now.flatMap(({ asks = [] }) => asks));
    const asks = before.flatMap(({ asks: some = [] }) => some).filter((ask) => !left.has(ask));
    if (asks.length) this.owner.emit('settled', [{ asks, status: 'withdrawn' }]);
  }
}
