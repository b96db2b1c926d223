// One device of the page: a client of its own, with its own id, copy, queue and line. No DOM; `pane.js` draws it.

import { RyzeRealtimeClient } from '/client.js';
import { digestOf } from './digest.js';
import { uuid } from './ids.js';
import { read, write } from './local-storage.js';

const API = '/api/realtime';
const TYPES = { phone: 'mobile', tablet: 'mobile', watch: 'watch', browser: 'web' };
/** Of older edits nobody asks any more how long they took. */
const EDITS_MOST = 200;

export class Device {
  /** What the line is doing, as `client.status` says, and whether the server has revoked this device. */
  state = { state: 'off', why: '', retryInMs: 0 };
  isRevoked = false;
  pending = 0;
  /** The open conflicts that this device knows, and the ids of those that its own edits met. */
  conflicts = [];
  mine = new Set();
  #listeners = new Map();
  #settings;
  #offKey;
  #owesWord = false;

  /** `settings`: `person`, `token()`, `strategy()`, `name(kind)` in the language that is on, `edits`: row → who edited it last, and `said`. */
  constructor(kind, settings) {
    this.kind = kind;
    this.#settings = settings;
    this.id = keptId(kind, settings.person);
    this.#offKey = `${this.id}/off`;
    this.isOff = read('localStorage', this.#offKey) === 'true';
    this.client = new RyzeRealtimeClient(location.origin, {
      token: settings.token(),
      deviceId: this.id,
      deviceType: TYPES[kind],
      deviceName: settings.name(kind),
      // Read anew for every upload, so that the choice counts at once.
      get conflictStrategy() {
        return settings.strategy();
      },
      // Switched off means off: nothing passes, neither a sync nor a question.
      platform: { fetch: (...call) => (this.isOff ? Promise.reject(new TypeError('the line is switched off')) : fetch(...call)) },
    });
    this.#listen();
  }

  /** `changed`: something to draw; `told` ({key, values, tone}): a line for the log; `did` ({does}): for the steps; `token`: another one
   * is needed. */
  on(event, heard) {
    const heards = this.#listeners.get(event) ?? new Set();
    this.#listeners.set(event, heards.add(heard));
    return () => heards.delete(heard);
  }

  /** A line for this device's log. */
  tell(key, values = {}, tone = '') {
    this.#emit('told', { key, values, tone });
  }

  /** The person did something here that a step may be about. */
  did(does) {
    this.#emit('did', { does, by: this.kind, isOff: this.isOff });
  }

  /** Makes a row, with an id unless it has one, and answers with the id. It shows at once and goes out when it can. */
  insert(table, row) {
    const id = row.id ?? uuid();
    this.#edit(table, id, row, (rows) => rows.insert({ ...row, id }));
    return id;
  }

  update(table, id, changes) {
    this.#edit(table, id, changes, (rows) => rows.update(id, changes));
  }

  remove(table, id) {
    this.#edit(table, id, null, (rows) => rows.delete(id));
  }

  /** Goes online unless it was switched off. */
  start() {
    // Without a line, what was known last.
    if (this.isOff) this.lookAtConflicts();
    else this.#connect();
  }

  /** The switch of its line. It stays as it is over a reload, and other tabs follow. */
  turn(on) {
    write('localStorage', this.#offKey, String(!on));
    this.#turned(on);
    this.did(on ? 'online' : 'offline');
  }

  renew(token) {
    this.client.setToken(token);
    if (!this.isOff) this.#connect();
  }

  /** Makes the server take this device again. */
  async allow() {
    const answer = await this.#ask(`/devices/${this.id}`, { method: 'PATCH', body: JSON.stringify({ is_active: true }) });
    if (!answer?.ok) return;
    this.isRevoked = false;
    this.#connect();
  }

  /** Goes offline and drops its copy, with what it had not sent. Started again, it begins from nothing. */
  forget() {
    return this.client.forget();
  }

  /** Looks at the open conflicts: the server's list, or the last one known without a line. */
  async lookAtConflicts() {
    this.conflicts = await this.client.conflicts();
    this.#emit('changed');
  }

  /** Settles a conflict; `choice` is a side's name or values by field. */
  async settle(id, choice) {
    try {
      await this.client.resolve(id, choice);
      this.did('settle');
    } finally {
      this.#spread();
      await this.lookAtConflicts();
    }
  }

  /** Compares the copy with the server's digest: `{rows, tables}` with the tables that differ, null without an answer. */
  async compare() {
    const answer = await this.#ask('/digest');
    if (!answer?.ok) return null;
    const { digest } = await answer.json();
    const differing = [];
    let rows = 0;
    for (const [table, theirs] of Object.entries(digest)) {
      const held = await this.client.table(table).all();
      rows += held.length;
      const own = digestOf(held);
      if (Object.keys(own).some((key) => own[key] !== theirs[key])) differing.push(table);
    }
    return { rows, tables: differing };
  }

  #edit(table, id, values, change) {
    const { edits, said } = this.#settings;
    if (table !== 'location_points') said.note(this.kind, id, values);
    edits.delete(id);
    edits.set(id, { by: this.id, at: performance.now(), isLive: this.state.state === 'live' });
    if (edits.size > EDITS_MOST) edits.delete(edits.keys().next().value);
    if (table !== 'location_points') this.tell('event.edit', { table });
    // Where the browser could not store it, an `error` event has said so.
    change(this.client.table(table)).catch(() => {});
  }

  #listen() {
    const { client } = this;
    client.status.subscribe((state) => {
      this.state = state;
      if (state.state === 'stopped') this.#findOutWhy();
      this.#emit('changed');
    });
    client.pending.subscribe((pending) => {
      this.pending = pending;
      this.#emit('changed');
    });
    client.on('connected', () => {
      this.tell('event.connected', {}, 'good');
      this.lookAtConflicts();
      if (this.#owesWord) this.#spread();
    });
    client.on('disconnected', () => this.tell('event.disconnected'));
    client.on('sync_completed', ({ totalChanges }) => {
      if (totalChanges) this.tell('event.synced', { n: totalChanges });
      this.#emit('changed');
    });
    ['data_updated', 'database_change'].forEach((type) => client.on(type, (message) => {
      this.#emit('arrived', message);
      this.#emit('changed');
    }));
    client.on('conflict', (conflict) => this.#collided(conflict));
    client.on('broadcast', ({ event }) => event === 'demo_conflicts' && this.lookAtConflicts());
    addEventListener('storage', ({ key, newValue }) => key === this.#offKey && this.#turned(newValue !== 'true'));
    client.on('error', ({ code, message }) => {
      if (code === 'token') this.#emit('token');
      // What stops the line is said beside it.
      const tone = ['stopped', 'token'].includes(code) ? '' : 'bad';
      this.tell(code === 'rejected' ? 'event.rejected' : 'event.error', { message }, tone);
    });
  }

  #collided({ table, strategy, conflict_id, fields, row }) {
    if (conflict_id) this.mine.add(conflict_id);
    this.tell('event.conflict', { table, strategy, fields: row ? fields : [] }, 'warn');
    this.lookAtConflicts();
    if (conflict_id) this.#spread();
  }

  /** Tells the other devices that the open conflicts are others now: at once, or when there is a line again. */
  async #spread() {
    this.#owesWord = !(await this.client.broadcast('demo_conflicts', {}).catch(() => false));
  }

  #turned(on) {
    this.isOff = !on;
    if (on) this.#connect();
    else this.client.disconnect();
    this.#emit('changed');
  }

  #connect() {
    this.client.connect().catch(() => {});
  }

  /** A line that stopped was refused: for its token, or for the device itself. */
  async #findOutWhy() {
    const answer = await this.#ask('/devices');
    if (answer?.status === 401) this.#emit('token');
    const devices = answer?.ok ? await answer.json() : [];
    this.isRevoked = devices.some(({ device_id, is_revoked }) => device_id === this.id && is_revoked);
    this.#emit('changed');
  }

  #ask(path, options = {}) {
    const headers = { authorization: `Bearer ${this.#settings.token()}`, 'content-type': 'application/json' };
    return this.isOff ? Promise.resolve(null) : fetch(API + path, { ...options, headers }).catch(() => null);
  }

  #emit(event, told) {
    this.#listeners.get(event)?.forEach((heard) => heard(told));
  }
}

/** A device keeps its id for as long as this browser keeps its storage, as an installed app would. */
function keptId(kind, person) {
  const key = `demo-device/${person}/${kind}`;
  const id = read('localStorage', key) ?? `demo-${kind}-${crypto.getRandomValues(new Uint32Array(1))[0].toString(16)}`;
  write('localStorage', key, id);
  return id;
}
