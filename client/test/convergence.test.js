// The same story as the server's, with this client: random edits on four devices, offline spells, lost answers, broken
// lines, killed apps, a killed daemon, SQL on the side, a restored backup. After quiet every copy equals the server's, row
// by row and by the digest, and what was acknowledged is there once. `RYZED_SEED` repeats one run; timing still differs.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import { digestOf } from '../src/damage.js';
import { Daemon } from '../test-support/daemon.js';
import { Phone } from '../test-support/phone.js';

const DEVICES = 4;
const TURNS = 220;
const SHARED = 6;
/** A sum is exact over the last 32 changes that a device has not seen. */
const MOST_COUNTS = 24;
const PATIENCE_MS = 30_000;
const MEAL = { quantity: 100, meal_type: 'lunch', consumed_at: '2025-05-01T12:00:00Z' };
const RUN = { activity_type: 'running', activity_title: 'Run', format_title: 'Free', start_time: '2025-05-01T12:00:00Z' };
const RUNS = [
  { conflictStrategy: 'merge' }, { conflictStrategy: 'server_wins' }, { conflictStrategy: 'client_wins' },
  { conflictStrategy: 'manual' }, { conflictStrategy: 'merge', isRestored: true },
];
let daemon;
const phones = [];

before(async () => {
  daemon = await Daemon.start();
});
after(async () => {
  phones.forEach(({ client }) => client.disconnect());
  await daemon?.end();
});

async function until(holds, what) {
  const since = Date.now();
  while (!(await holds())) {
    if (Date.now() - since > PATIENCE_MS) assert.fail(`not within ${PATIENCE_MS} ms: ${what()}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const dice = (seed) => (sides) => Math.floor(((seed = (seed * 48271) % 2147483647) / 2147483647) * sides);

class World {
  constructor(seed, { conflictStrategy, isRestored }) {
    this.roll = dice(seed);
    this.user = randomUUID();
    this.token = daemon.token(this.user);
    this.isRestored = isRestored;
    this.ids = Array.from({ length: SHARED }, () => randomUUID());
    this.runs = new Map();
    this.counts = 0;
    this.phones = Array.from({ length: DEVICES }, (_, at) => new Phone(daemon.url, { token: this.token, deviceId: `device-${at}`, conflictStrategy }));
    this.phones.forEach((phone) => (phone.isUnlucky = () => this.roll(25) === 0));
    phones.push(...this.phones);
  }

  async begin() {
    const [first] = this.phones;
    this.counter = (await first.client.table('workout_templates').insert({ name_en: 'legs', name_fr: 'jambes', usage_count: 0 })).id;
    await Promise.all(this.phones.map(({ client }) => client.connect()));
    await until(async () => (await this.has(this.counter)).every(Boolean), () => 'all know the counter');
  }

  has(id) {
    return Promise.all(this.phones.map(async ({ client }) => (await client.table('workout_templates').get(id))?._version));
  }

  async happen() {
    const phone = this.phones[this.roll(DEVICES)];
    switch (this.roll(16)) {
      case 0: return phone.client.disconnect();
      case 1: case 2: return void phone.client.connect();
      case 3: return phone.breakLine();
      case 4: return phone.killAndStart();
      case 5: return this.besides();
      case 6: case 7: return this.run(phone);
      case 8: case 9: return this.count(phone);
      default: return this.edit(phone);
    }
  }

  async edit({ client }) {
    const [meals, id] = [client.table('food_entries'), this.ids[this.roll(SHARED)]];
    const act = this.roll(10);
    if (!(await meals.get(id))) await meals.insert({ ...MEAL, id });
    else if (act < 6) await meals.update(id, { [['quantity', 'calories', 'carbs'][this.roll(3)]]: 1 + this.roll(500) });
    else if (act < 8) await meals.upsert({ ...MEAL, id, quantity: 1 + this.roll(500) });
    else await meals.delete(id);
  }

  /** A row that nobody else touches. */
  async run({ client }) {
    const distance = this.roll(1000);
    const { id } = await client.table('cardio_sessions').insert({ ...RUN, distance_km: distance });
    this.runs.set(id, distance);
  }

  async count({ client }) {
    const plan = await client.table('workout_templates').get(this.counter);
    if (!plan || this.counts >= MOST_COUNTS) return;
    await client.table('workout_templates').update(this.counter, { usage_count: plan.usage_count + 1 });
    this.counts += 1;
  }

  /** Somebody with SQL. */
  besides() {
    const [id, now] = [this.ids[this.roll(SHARED)], '2025-05-02T12:00:00.000000Z'];
    daemon.sql([
      `UPDATE food_entries SET carbs = ${this.roll(500)} WHERE id = '${id}'`,
      `DELETE FROM food_entries WHERE id = '${id}'`,
      `INSERT OR IGNORE INTO food_entries (id, user_id, quantity, unit, consumed_at, created_at, updated_at)
         SELECT '${id}', id, 1, 'g', '${now}', '${now}', '${now}' FROM users WHERE id = '${this.user}'`,
    ][this.roll(3)]);
  }

  async comeToRest() {
    this.phones.forEach((phone) => (phone.isUnlucky = () => false));
    await Promise.all(this.phones.map(({ client }) => client.connect()));
    const states = () => this.phones.map(({ client }) => `${client.status.value.state} ${client.status.value.why} ${client.pending.value}`);
    await until(() => states().every((state) => state === 'live  0'), () => `all is uploaded: ${states()}`);
    const theirs = await daemon.rows(this.token);
    const differing = async () => {
      const copies = await Promise.all(this.phones.map((phone) => this.copyOf(phone, Object.keys(theirs))));
      return copies.findIndex((copy) => JSON.stringify(sorted(copy)) !== JSON.stringify(sorted(theirs)));
    };
    await until(async () => (await differing()) < 0, () => 'every copy equals the server’s');
    return theirs;
  }

  async copyOf({ client }, tables) {
    const all = await Promise.all(tables.map(async (table) => [table, await client.table(table).all()]));
    return Object.fromEntries(all.map(([table, rows]) => [table, Object.fromEntries(rows.map((row) => [row.id, row]))]));
  }

  async check(theirs) {
    const { digest } = await daemon.get('/digest', this.token);
    for (const { client } of this.phones) {
      for (const [table, wanted] of Object.entries(digest)) {
        const held = await client.table(table).all();
        const rows = new Map([[table, new Map(held.map((row) => [row.id, row]))]]);
        assert.deepEqual(digestOf({ rows }, [table])[table], wanted, table);
      }
    }
    const refused = new Set(this.phones.flatMap(({ rejected }) => [...rejected]));
    for (const [id, distance] of this.runs) if (!refused.has(id)) assert.equal(theirs.cardio_sessions[id]?.distance_km, distance);
    assert.ok([...refused].every((id) => !theirs.cardio_sessions?.[id]), 'what was rejected is not there');
    if (!this.isRestored) assert.ok([...this.runs.keys()].every((id) => !refused.has(id)), 'no new row is rejected');
  }
}

/** With all keys in one order. */
const sorted = (value) => (value && typeof value === 'object' && !Array.isArray(value)
  ? Object.fromEntries(Object.entries(value).filter(([, inner]) => !(inner && typeof inner === 'object' && !Object.keys(inner).length)).sort().map(([key, inner]) => [key, sorted(inner)]))
  : value);

for (const [at, how] of RUNS.entries()) {
  test(`${how.conflictStrategy}${how.isRestored ? ', with a restored backup' : ''}: after quiet, every copy equals the server’s`, async () => {
    const seed = Number(process.env.RYZED_SEED) || 1 + ((Date.now() + at * 7919) % 1_000_000);
    const world = new World(seed, how);
    try {
      await world.begin();
      for (let turn = 0; turn < TURNS; turn++) {
        await world.happen();
        if (turn === TURNS / 2) await daemon.kill();
        if (turn === TURNS / 2 && how.isRestored) daemon.restored();
        if (turn === TURNS / 2 + 30) await daemon.up();
        if (world.roll(4) === 0) await new Promise((resolve) => setTimeout(resolve, world.roll(20)));
      }
      const theirs = await world.comeToRest();
      await world.check(theirs);
      if (how.conflictStrategy === 'merge' && !how.isRestored) assert.equal(theirs.workout_templates[world.counter].usage_count, world.counts, 'each count counts once');
    } catch (fault) {
      fault.message = `RYZED_SEED=${seed}: ${fault.message}`;
      throw fault;
    } finally {
      world.phones.forEach(({ client }) => client.disconnect());
    }
  });
}
