// Two tabs of one browser, and what befalls them at random: freezing, killing, a full disk, a slow disk, clocks that jump,
// lines that break, signing out. A run follows from its seed. It ends with quiet, and then holds what was promised against
// what is there: no edit that was said to be stored is lost, each is there once, nothing waits for ever, all copies are equal.

import 'fake-indexeddb/auto';
import assert from 'node:assert/strict';
import { RyzeRealtimeClient } from '../src/index.js';
import { Browser } from './browser.js';
import { Clock, jwt, settled } from './scripted.js';

const STEPS = 40;
const SHARED = 3;
const TOKEN = jwt({ sub: 'person' });
const dice = (seed) => (sides) => Math.floor(((seed = (seed * 48271) % 2147483647) / 2147483647) * sides);

/** A server that keeps rows, versions and receipts. */
class Server {
  rows = new Map();
  gone = new Map();
  #version = 0;
  #receipts = new Map();
  sockets = new Set();
  applied = new Map();

  sync({ changes, cursor, force_full_sync: full, digest, atomic }) {
    const isPair = changes.some(({ data }) => data.id.startsWith('pair'));
    assert.equal(isPair, Boolean(atomic), 'a batch is atomic');
    if (isPair) assert.equal(changes.length, 3, 'a batch goes out by itself, and whole');
    const results = changes.map((change) => this.#apply(change));
    const from = full || !cursor ? 0 : cursor.user;
    const rows = [...this.rows.values()].filter(({ _version }) => _version > from);
    const deletions = from ? [...this.gone.values()].filter(({ _version }) => _version > from) : [];
    return {
      changes: { notes: rows }, deletions: { notes: deletions }, conflicts: [], results, total_changes: rows.length + deletions.length,
      cursor: { epoch: 'e', user: this.#version, global: 1 }, sync_timestamp: '2025-05-01T00:00:00.000000Z', has_more: false, reset: false,
      ...(digest && { digest: { notes: { rows: this.rows.size, version_sum: [...this.rows.values()].reduce((sum, { _version }) => sum + _version, 0) } } }),
    };
  }

  #apply({ mutation_id, table, operation, data }) {
    const known = this.#receipts.get(mutation_id);
    if (known) return known;
    const had = this.rows.get(data.id);
    const result = { mutation_id, table, id: data.id, status: 'applied', version: this.#version + 1 };
    this.applied.set(`${data.id} ${data.text}`, (this.applied.get(`${data.id} ${data.text}`) ?? 0) + 1);
    if (operation === 'UPDATE' && !had) Object.assign(result, { status: 'rejected', version: undefined, errors: [{ field: '', code: 'not_found', message: 'no such row' }] });
    else this.write(operation === 'DELETE' ? 'DELETE' : 'UPDATE', operation === 'DELETE' ? { id: data.id } : { ...had, ...data });
    this.#receipts.set(mutation_id, result);
    return result;
  }

  /** Also what another device does; those that are connected hear of it then. */
  write(operation, data, isOthers = false) {
    this.#version += 1;
    if (operation === 'DELETE') {
      this.rows.delete(data.id);
      this.gone.set(data.id, { id: data.id, _version: this.#version });
    } else {
      this.rows.set(data.id, { ...data, _version: this.#version });
      this.gone.delete(data.id);
    }
    if (isOthers) for (const socket of this.sockets) socket.hear({ type: 'data_updated', table: 'notes', operation, scope: 'user:person', version: this.#version, data: this.rows.get(data.id) ?? { id: data.id } });
  }
}

/** A tab: all that reaches its script passes a gate, which is shut while it is frozen, for ever when it is killed. */
class Tab {
  clock = new Clock();
  isFrozen = false;
  isDead = false;
  disk = { full: false, slow: 0 };
  /** How wrong its clock is, in ms; timers don't mind. */
  skew = 0;
  sockets = [];
  #thaw = () => {};
  #thawed = Promise.resolve();

  constructor(world) {
    this.world = world;
    this.browser = world.browser.tab();
    const { server } = world;
    const tab = this;
    const gate = async () => {
      while (tab.isFrozen) await tab.#thawed;
      if (tab.isDead) await new Promise(() => {});
    };
    class Socket {
      readyState = 0;
      constructor() {
        gate().then(() => {
          if (this.readyState || world.isOffline) return this.end(1006);
          this.readyState = 1;
          server.sockets.forEach((other) => other.end(4409));
          server.sockets.add(this);
          tab.sockets.push(this);
          this.hear({ type: 'connection_established', heartbeat_seconds: 30 });
        });
      }
      send(text) {
        if (JSON.parse(text).type === 'ping' && !world.isOffline) this.hear({ type: 'pong' });
      }
      hear(message) {
        gate().then(() => this.readyState === 1 && this.onmessage({ data: JSON.stringify(message) }));
      }
      close() {
        server.sockets.delete(this);
        this.readyState = 3;
      }
      end(code) {
        this.close();
        gate().then(() => this.onclose?.({ code, reason: '' }));
      }
    }
    const platform = {
      ...this.clock.platform, ...this.browser.platform, WebSocket: Socket,
      now: () => this.clock.now + this.skew,
      random: () => 0.1,
      lives: (run) => this.clock.platform.setTimeout(run, 0),
      wakes: (nudge) => (this.nudge = nudge, () => {}),
      disk: (storage) => ({
        lazy: (make) => storage.lazy((run, write) => make(async (...given) => (await gate(), run(...given)), async (work) => {
          await gate();
          if (this.disk.full) throw Object.assign(new Error('full'), { name: 'QuotaExceededError' });
          return write(work);
        })),
        load: async (leads) => (await gate(), storage.load(leads)),
        clear: async () => (await gate(), storage.clear()),
        commit: async (patches) => {
          await gate();
          if (this.disk.slow) await new Promise((resolve) => this.clock.platform.setTimeout(resolve, this.disk.slow));
          await gate();
          if (this.disk.full) throw Object.assign(new Error('full'), { name: 'QuotaExceededError' });
          await storage.commit(patches);
          await gate();
        },
      }),
      fetch: async (address, { body }) => {
        await gate();
        if (world.isOffline) throw new Error('offline');
        const answer = address.endsWith('/sync') ? server.sync(JSON.parse(body)) : {};
        await gate();
        if (world.isUnlucky()) throw new Error('the answer got lost');
        return Response.json(answer);
      },
    };
    this.client = new RyzeRealtimeClient('http://server', { token: TOKEN, app: world.name, platform, tables: world.tables });
  }

  freeze() {
    if (this.isFrozen) return;
    this.isFrozen = true;
    this.#thawed = new Promise((resolve) => (this.#thaw = resolve));
    this.browser.freeze();
  }

  thaw() {
    if (!this.isFrozen) return;
    this.isFrozen = false;
    this.browser.thaw();
    this.#thaw();
  }

  kill() {
    this.isDead = true;
    this.browser.kill();
    for (const socket of this.sockets) socket.close();
  }
}

export class World {
  browser = new Browser();
  server = new Server();
  isOffline = false;
  #roll;
  #edits = [];
  #pairs = [];
  #made = 0;
  #lost = 0;
  log = [];

  /** @param {number} seed @param {any} [tables] What is copied, and how */
  constructor(seed, tables) {
    this.tables = tables;
    this.name = `chaos-${seed}${tables ? '-lazy' : ''}`;
    this.#roll = dice(seed * 7919 + 1);
    this.tabs = [new Tab(this), new Tab(this)];
  }

  isUnlucky() {
    return this.#lost > 0 && this.#lost-- > 0;
  }

  async #forward(ms) {
    for (let past = 0; past < ms; past += 1000) {
      for (const tab of this.tabs) if (!tab.isFrozen && !tab.isDead) await tab.clock.forward(1000);
    }
  }

  /** Two rows of their own, and one that others write to: all of them or none. */
  #batch(tab) {
    const text = `text ${++this.#made}`;
    const ids = ['one', 'two'].map((part) => `pair ${this.#made} ${part}`);
    const edits = ids.map((id) => ({ tab, id, text, kind: 'own', state: 'waits' }));
    this.#edits.push(...edits);
    this.#pairs.push(ids);
    const notes = tab.client.table('notes');
    const making = tab.client.batch(() => {
      notes.insert({ id: ids[0], text });
      notes.upsert({ id: `shared ${this.#roll(SHARED)}`, text });
      notes.insert({ id: ids[1], text });
    });
    const became = (what) => edits.forEach((edit) => Object.assign(edit, what));
    making.then((rows) => became({ state: rows[0]?._stored === false || tab.disk.full ? 'in memory' : 'stored' }), (fault) => became({ state: `failed: ${fault.message}` }));
    making.settled.then(({ status }) => became({ verdict: status }));
  }

  #edit(tab) {
    if (!this.#roll(5)) return this.#batch(tab);
    const [act, text] = [this.#roll(6), `text ${++this.#made}`];
    const id = act < 3 ? `row ${this.#made}` : `shared ${this.#roll(SHARED)}`;
    const notes = tab.client.table('notes');
    const edit = { tab, id, text, kind: act < 3 ? 'own' : 'shared', state: 'waits' };
    this.#edits.push(edit);
    const making = act === 5 ? notes.delete(id) : act < 3 ? notes.insert({ id, text }) : notes.upsert({ id, text });
    making.then((row) => (edit.state = row?._stored === false || tab.disk.full ? 'in memory' : 'stored'), (fault) => (edit.state = `failed: ${fault.message}`));
    making.settled.then(({ status }) => (edit.verdict = status));
  }

  async #happen() {
    const at = this.#roll(2);
    const tab = this.tabs[at];
    const act = this.#roll(24);
    this.log.push([act, at]);
    if (act < 9) return this.#edit(tab);
    switch (act) {
      case 9: return tab.freeze();
      case 10: return tab.thaw();
      case 11:
        tab.kill();
        this.tabs[at] = new Tab(this);
        return undefined;
      case 12: return void (tab.disk.full = !tab.disk.full);
      case 13: return void (tab.disk.slow = tab.disk.slow ? 0 : 1000 * this.#roll(20));
      case 14: return void (tab.skew += (this.#roll(2) * 2 - 1) * 3_600_000);
      case 15: return void (this.isOffline = !this.isOffline);
      case 16: return void (this.#lost = this.#roll(3));
      case 17: return this.server.sockets.forEach((socket) => socket.end(1006));
      case 18: return void this.server.write('UPDATE', { id: `others ${this.#roll(3)}`, text: `other ${++this.#made}` }, true);
      case 19: return void tab.client.connect();
      case 20: return this.#roll(3) ? undefined : this.#signOut(tab);
      default: return this.#forward(1000 * (1 + this.#roll(8)));
    }
  }

  /** What was not sent is given up with that; the person has decided. */
  async #signOut(tab) {
    const before = [...this.#edits];
    let isOver = false;
    tab.client.forget().catch(() => {}).finally(() => (isOver = true));
    for (let waits = 0; !isOver && waits < 60; waits++) {
      for (const one of this.tabs) one.thaw();
      await this.#forward(1000);
    }
    assert.ok(isOver, 'forget ends');
    before.forEach((edit) => (edit.isForgotten = true));
  }

  async run() {
    for (const tab of this.tabs) tab.client.connect();
    await settled();
    for (let step = 0; step < STEPS; step++) {
      await this.#happen();
      if (this.#roll(3)) await settled();
    }
    await this.#rest();
    await this.#judge();
  }

  async #rest() {
    this.isOffline = false;
    this.#lost = 0;
    for (const tab of this.tabs) {
      tab.thaw();
      Object.assign(tab.disk, { full: false, slow: 0 });
    }
    const isQuiet = () => this.tabs.every(({ client }) => client.status.value.state === 'live' && client.pending.value === 0 && client.status.value.stored);
    for (let waits = 0; waits < 100; waits++) {
      for (const { client } of this.tabs) client.connect();
      await this.#forward(3000);
      if (isQuiet() && this.#edits.every(({ state, tab }) => state !== 'waits' || tab.isDead)) return;
    }
    assert.fail(`no quiet: ${JSON.stringify(this.tabs.map(({ client }) => [client.status.value, client.pending.value]))}, ${JSON.stringify(this.#edits.filter(({ state, tab }) => state === 'waits' && !tab.isDead).map(({ id, text }) => [id, text]))}`);
  }

  async #judge() {
    const theirs = [...this.server.rows.values()].sort((one, other) => (one.id < other.id ? -1 : 1));
    const held = async (tab) => (await tab.client.table('notes').all()).sort((one, other) => (one.id < other.id ? -1 : 1));
    for (const [one, two] of this.#pairs) assert.equal(this.server.rows.has(one), this.server.rows.has(two), `${one}: both or none`);
    for (const edit of this.#edits) {
      if (edit.isForgotten) continue;
      assert.doesNotMatch(edit.state, /^failed/, `${edit.id}: ${edit.state}`);
      if (edit.kind !== 'own') continue;
      if (edit.state === 'stored') assert.equal(this.server.rows.get(edit.id)?.text, edit.text, `${edit.id} was said to be stored`);
      if (!edit.tab.isDead) assert.equal(this.server.rows.get(edit.id)?.text, edit.text, `${edit.id} was in memory of a tab that lives`);
      // Of what no tab could store, a tab that sleeps while another leads can't know that it was done.
      if (edit.state === 'stored') assert.ok(this.server.applied.get(`${edit.id} ${edit.text}`) <= 1, `${edit.id} is applied once`);
      if (!edit.tab.isDead) assert.ok(['applied', 'unknown'].includes(edit.verdict), `${edit.id} has a verdict: ${edit.verdict}`);
    }
    for (const tab of this.tabs) assert.deepEqual(await held(tab), theirs, 'the copies are equal');
    // What is stored, too; this waits for it.
    let isSynced = false;
    this.tabs[0].client.performSync().finally(() => (isSynced = true));
    for (let waits = 0; !isSynced; waits++) {
      assert.ok(waits < 60, 'performSync ends');
      await this.#forward(1000);
    }
    this.tabs.forEach((tab) => tab.kill());
    await settled();
    this.isOffline = true;
    const last = new Tab(this);
    this.tabs = [last];
    const showing = held(last);
    await this.#forward(5000);
    assert.deepEqual(await showing, theirs, 'and so is what is stored');
    assert.equal(last.client.pending.value, 0);
    last.kill();
  }
}
