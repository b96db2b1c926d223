// One device: its replica, its line to the server, and the timers between them. What the copy holds is decided in
// `replica.js`, what a broken line means in `link.js`; how it looks in `pane.js`.

import { API, call, faults } from './api.js';
import { afterClose, backoff } from './link.js';
import * as replica from './replica.js';

/** What this page shows is all that it copies. */
export const TABLES = ['foods', 'food_entries'];
const PING_EVERY_MS = 30_000;
/** A socket that heard nothing for this long is dead, even if the network never said so. */
const SILENCE_MS = 75_000;
/** Well under the server's limit for one request. */
const CHANGES_A_REQUEST = 500;
/** A refused message is tried again over HTTP, which says more. */
const RETRY_REFUSED_MS = 2_000;
/** Lets what is on its way arrive before a gap is pulled. */
const PULL_SETTLE_MS = 150;
/** More orders to start over than this in one exchange, and waiting does more good than asking. */
const RESETS_AN_EXCHANGE = 2;

/**
 * `listen` hears `{type}`: `state`, `token`, `log` {text, tone}, `live` {message}, `conflict` {conflict},
 * which also has the row as this device `had` it.
 * `kept` is its place in this browser, a `Kept`. `state` is offline, syncing, live, waiting, stopped or token; `wanted` is whether the person wants the line on.
 */
export class Device {
  #copy;
  #toldNotKept = false;

  constructor({ id, name, settings, kept, listen }) {
    Object.assign(this, { id, name, settings, kept, listen });
    Object.assign(this, { state: 'offline', note: '', wanted: false, revoked: false, line: null, failures: 0 });
    this.#copy = kept.load();
  }

  get copy() {
    return this.#copy;
  }

  /** Every step is kept, so that a reload goes on from here. */
  set copy(next) {
    this.#copy = next;
    if (this.kept.save(next) || this.#toldNotKept) return;
    this.#toldNotKept = true;
    this.#log('This browser keeps nothing for this page: a reload loses the edits that still wait.', 'bad');
  }

  /** Goes on where the page was left: with the line off if it was, else online. */
  start() {
    this.kept.open.forEach((conflict) => this.listen({ type: 'conflict', conflict }));
    if (!this.kept.isOff) this.goOnline();
    else this.#log(`Line off, as you left it. Edits waiting: ${this.copy.queue.length}.`);
  }

  /** Syncs, then goes live; comes back by itself until told otherwise. */
  async goOnline() {
    this.wanted = true;
    this.kept.isOff = false;
    const line = this.#pickUp();
    this.#become('syncing');
    if (await this.#sync({ again: true })) this.#openSocket(line);
  }

  /** Cuts the line. Edits queue up from here on. */
  goOffline() {
    this.wanted = false;
    this.kept.isOff = true;
    this.failures = 0;
    this.#hangUp();
    this.#become('offline');
    this.#log('Line off. Edits wait in the queue.');
  }

  /** Goes on with a new token: a live socket is renewed in place, one that was turned away tries again. */
  renew() {
    if (this.state === 'live') this.#send({ type: 'auth', token: this.settings.token() });
    else if (this.state === 'token') this.goOnline();
  }

  /** Changes a row: at once here, at the server as soon as the line allows. */
  edit(operation, table, data) {
    const mutation_id = uuid();
    this.copy = replica.queueEdit(this.copy, { mutation_id, table, operation, data });
    if (this.state !== 'live') this.#log(`${operation} queued, ${this.copy.queue.length} waiting.`);
    this.#changed();
    this.#flush();
  }

  /** Where the copy differs from the server's digest: a list, or null when there was no answer. */
  async compare() {
    const { body } = await this.#call(`/digest?tables=${TABLES}`);
    return body ? replica.digestDifferences(replica.digestOf(this.copy, TABLES), body.digest ?? body, TABLES) : null;
  }

  /** Settles an open conflict for good, as `server` or `client` had it. Answers `done`, `gone` if it was settled elsewhere, or `failed`. */
  async resolve(conflictId, resolution) {
    if (this.state !== 'live') {
      this.#log('The line is down, so the conflict stays open.', 'warn');
      return 'failed';
    }
    const { body, failure } = await this.#call(`/conflicts/${conflictId}/resolve`, { resolution });
    if (!body && failure.status !== 404) {
      this.#log(failure.why ?? 'The server could not be asked; try again.', 'bad');
      return 'failed';
    }
    this.kept.open = this.kept.open.filter(({ conflict_id }) => conflict_id !== conflictId);
    this.#pull(body ? `Settled with the ${resolution}’s value.` : 'That conflict was settled elsewhere.');
    return body ? 'done' : 'gone';
  }

  /** Takes the revocation back, then goes online. */
  async allow() {
    const { body, failure } = await this.#call(`/devices/${this.id}`, { is_active: true }, 'PATCH');
    if (body) this.goOnline();
    else this.#log(failure.why ?? 'The server could not be asked; try again.', 'bad');
  }

  /** A new attempt. Whatever an older one still has under way sees that it is no longer `this.line`, and stops. */
  #pickUp() {
    this.#hangUp();
    this.line = { gone: new AbortController(), socket: null, timers: [], heard: 0, syncing: null, pulling: false };
    return this.line;
  }

  #hangUp() {
    const { line } = this;
    this.line = null;
    line?.timers.forEach(clearTimeout);
    line?.gone.abort();
    line?.socket?.close(1000);
  }

  #openSocket(line) {
    const query = `cursor=${replica.cursorText(this.copy.cursor)}&tables=${TABLES}&device_type=mobile`;
    const url = new URL(`${API}/ws/${this.id}?${query}`, location.href.replace(/^http/, 'ws'));
    line.socket = new WebSocket(url, ['ryzed.v1', `bearer.${this.settings.token()}`]);
    line.socket.onmessage = ({ data }) => this.line === line && this.#hear(line, JSON.parse(data));
    line.socket.onclose = (close) => this.line === line && this.#closed(close);
  }

  #closed(close) {
    this.#log(`Connection closed (${close.code}).`, 'warn');
    this.#comeBack(afterClose(close, this.failures, Math.random()));
  }

  /** Does what `link.js` decided after a failure. */
  #comeBack(plan) {
    const line = this.#pickUp();
    if (plan.do === 'wait') {
      this.failures += 1;
      line.timers.push(setTimeout(() => this.goOnline(), plan.ms));
      this.#become('waiting', `Next try in ${(plan.ms / 1000).toFixed(1)} s.`);
      return;
    }
    this.#hangUp();
    if (plan.do === 'token') {
      this.#become('token', 'The token is missing, wrong or expired: paste another one above.');
      this.listen({ type: 'token' });
    } else {
      this.wanted = false;
      this.#become('stopped', plan.why, plan.revoked);
      this.#log(plan.why, 'bad');
    }
  }

  #hear(line, message) {
    line.heard = Date.now();
    const { type, device_id } = message;
    if (type === 'connection_established') this.#greeted(line, message);
    else if (type === 'data_updated' || type === 'database_change') this.#live(message);
    else if (type === 'change_result') this.#settle(message, message.conflict);
    else if (type === 'sync_required' || type === 'sync_triggered') this.#pull(`The server asks to pull${message.reason ? ` (${message.reason})` : ''}.`);
    else if (type === 'reset') this.#reset();
    else if (type === 'error') this.#refused(message);
    else if (type === 'presence') this.#log(`${device_id} is ${message.is_online ? 'online' : 'offline'}.`);
    else if (type === 'other_device_synced') this.#log(`${device_id} synced, changes: ${message.changes_count}.`);
    else if (type === 'token_expiring') {
      this.#log('The token ends within a minute.', 'warn');
      this.listen({ type: 'token' });
    }
  }

  #greeted(line, { heartbeat_seconds = Infinity }) {
    // Only here, since a line that never worked must keep backing off.
    this.failures = 0;
    line.timers.push(setInterval(() => this.#ping(line), Math.min(PING_EVERY_MS, heartbeat_seconds * 1000)));
    this.#become('live');
    this.#log('Live.', 'good');
    this.#flush();
  }

  #ping(line) {
    if (Date.now() - line.heard > SILENCE_MS) this.#closed({ code: 1006 });
    else this.#send({ type: 'ping', pending_uploads: this.copy.queue.length });
  }

  #live(message) {
    this.copy = replica.applyLive(this.copy, message);
    this.listen({ type: 'live', message });
    this.#changed();
  }

  #refused({ detail, code, mutation_id }) {
    this.#log(`Server: ${detail ?? code}`, 'bad');
    if (mutation_id) this.line.timers.push(setTimeout(() => this.#sync({ again: true }), RETRY_REFUSED_MS));
  }

  #reset() {
    this.copy = replica.reset(this.copy);
    this.#log('The server asks to start over; the copy was dropped.', 'warn');
    this.#changed();
  }

  #pull(why) {
    this.copy = replica.oweAPull(this.copy);
    this.#log(why);
    this.#changed();
  }

  #flush() {
    if (this.state !== 'live' || this.line.syncing) return;
    const edits = replica.sendable(this.copy);
    this.copy = replica.markSent(this.copy, edits);
    for (const edit of edits) this.#send({ type: 'data_updated', ...replica.onTheWire(edit, this.settings.strategy()) });
  }

  #settle(result, conflict) {
    const had = this.copy.rows[result.table]?.get(result.id)?.row;
    this.copy = replica.settle(this.copy, result, conflict);
    if (result.status === 'rejected') this.#log(`Rejected and undone: ${faults(result.errors)}.`, 'bad');
    else if (conflict) this.#log(conflict.conflict_id ? 'Conflict, yours to settle.' : `Conflict, settled by ${conflict.strategy}.`, 'warn');
    else this.#log(`Edit ${result.status} as v${result.version}.`, 'good');
    if (conflict) this.#collided({ ...conflict, had });
    this.#changed();
    this.#flush();
  }

  #collided(conflict) {
    if (conflict.conflict_id) this.kept.open = [...this.kept.open, conflict];
    this.listen({ type: 'conflict', conflict });
  }

  /** Uploads what waits and downloads until nothing more comes, one exchange at a time. False when the line broke. */
  async #sync(options) {
    const { line } = this;
    while (line?.syncing) await line.syncing;
    if (!line || this.line !== line) return false;
    line.syncing = this.#exchange(line, options);
    const failure = await line.syncing;
    line.syncing = null;
    if (this.line !== line) return false;
    if (failure) this.#comeBack(failure);
    else this.#changed();
    this.#flush();
    return !failure;
  }

  /** The whole exchange; answers with what to do about a failure, or null. */
  async #exchange(line, options) {
    let [pages, cursor, resets] = [[], this.copy.cursor, 0];
    let edits = replica.sendable(this.copy, options).slice(0, CHANGES_A_REQUEST);
    for (let more = true; more; more = more || edits.length > 0) {
      this.copy = replica.markSent(this.copy, edits);
      const { body, failure } = await this.#call('/sync', this.#request(cursor, edits));
      if (this.line !== line) return null;
      if (failure) return failure;
      for (const result of body.results) {
        this.#settle(result, body.conflicts.find(({ mutation_id }) => mutation_id === result.mutation_id));
      }
      if (body.reset) {
        resets += 1;
        if (resets > RESETS_AN_EXCHANGE) return { do: 'wait', ms: backoff(this.failures, Math.random()) };
        this.#reset();
      }
      pages = body.reset ? [] : [...pages, body];
      cursor = body.reset ? null : body.cursor;
      more = body.reset || body.has_more;
      edits = replica.sendable(this.copy).slice(0, CHANGES_A_REQUEST);
    }
    this.copy = replica.applyPages(this.copy, pages);
    this.#log(`Changes pulled: ${pages.reduce((sum, page) => sum + page.total_changes, 0)}.`);
    return null;
  }

  #request(cursor, edits) {
    const conflict_strategy = this.settings.strategy();
    return {
      device_id: this.id, device_type: 'mobile', device_name: `Demo ${this.name}`, tables: TABLES, cursor, conflict_strategy,
      pending_uploads: this.copy.queue.length - edits.length, changes: edits.map((edit) => replica.onTheWire(edit, conflict_strategy)),
    };
  }

  #call(path, send, method) {
    return call(path, { send, method, token: this.settings.token(), signal: this.line?.gone.signal, attempt: this.failures });
  }

  #send(message) {
    if (this.line?.socket?.readyState === WebSocket.OPEN) this.line.socket.send(JSON.stringify(message));
  }

  /** Shows the new state, and pulls when something was missed. */
  #changed() {
    this.listen({ type: 'state' });
    const { line } = this;
    if (this.state !== 'live' || !this.copy.behind || line.syncing || line.pulling) return;
    line.pulling = true;
    line.timers.push(setTimeout(() => {
      line.pulling = false;
      this.#sync();
    }, PULL_SETTLE_MS));
  }

  #become(state, note = '', revoked = false) {
    Object.assign(this, { state, note, revoked });
    this.listen({ type: 'state' });
  }

  #log(text, tone = '') {
    this.listen({ type: 'log', text, tone });
  }
}

/** A random UUID. Not `crypto.randomUUID`, which a page opened over plain HTTP from another machine does not have. */
export function uuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}
