// The client against the real daemon. Fails when there is none.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import WebSocket from 'ws';
import { digestOf } from '../src/damage.js';
import { memoryStorage, RyzeRealtimeClient } from '../src/index.js';
import { Daemon } from '../test-support/daemon.js';

const MEAL = { quantity: 100, meal_type: 'lunch', consumed_at: '2025-05-01T12:00:00Z' };
let daemon;
const clients = [];

before(async () => {
  daemon = await Daemon.start();
});
after(async () => {
  clients.forEach((client) => client.disconnect());
  await daemon?.end();
});

function client(token, options) {
  const made = new RyzeRealtimeClient(daemon.url, { token, platform: { WebSocket }, ...options });
  clients.push(made);
  return made;
}

async function until(holds, what) {
  const since = Date.now();
  while (!(await holds())) {
    if (Date.now() - since > 15_000) assert.fail(`not within 15 s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const seen = async (device, table = 'food_entries') =>
  (await device.table(table).all()).sort((one, other) => (one.id < other.id ? -1 : 1));

async function isWhole(device, token) {
  const { digest } = await daemon.get('/digest', token);
  for (const [table, wanted] of Object.entries(digest)) {
    const held = await device.table(table).all();
    const rows = new Map([[table, new Map(held.map((row) => [row.id, row]))]]);
    assert.deepEqual(digestOf({ rows }, [table])[table], wanted, table);
  }
}

test('edits made offline on two devices meet, and both copies are whole', async () => {
  const token = daemon.token(randomUUID());
  const [phone, tablet] = [client(token, { deviceId: 'phone' }), client(token, { deviceId: 'tablet' })];
  const meals = phone.table('food_entries');
  const shared = await meals.insert(MEAL);
  assert.equal(await phone.connect(), true);
  assert.equal(await tablet.connect(), true);
  await until(async () => (await tablet.table('food_entries').get(shared.id))?.quantity === 100, 'the tablet has the meal');

  phone.disconnect();
  tablet.disconnect();
  await meals.update(shared.id, { quantity: 150 });
  await tablet.table('food_entries').update(shared.id, { meal_type: 'dinner' });
  for (let at = 0; at < 20; at++) await meals.insert({ ...MEAL, quantity: at + 1 });
  const gone = await tablet.table('food_entries').insert(MEAL);
  await tablet.table('food_entries').delete(gone.id);
  await tablet.table('food_entries').insert({ ...MEAL, quantity: 77 });
  assert.equal(phone.pending.value, 21);
  assert.equal(tablet.pending.value, 2);

  await Promise.all([phone.connect(), tablet.connect()]);
  await until(async () => (await seen(phone)).length === 22 && (await seen(tablet)).length === 22, 'both have all meals');
  await until(() => phone.pending.value + tablet.pending.value === 0, 'nothing waits');
  await until(async () => JSON.stringify(await seen(phone)) === JSON.stringify(await seen(tablet)), 'both are equal');
  const row = await meals.get(shared.id);
  assert.deepEqual([row.quantity, row.meal_type], [150, 'dinner']);
  await isWhole(phone, token);
  await isWhole(tablet, token);
});

test('a copy in which rows have changed places is pulled anew, which equal sums do not tell', async () => {
  const token = daemon.token(randomUUID());
  const storage = memoryStorage();
  const before = client(token, { deviceId: 'phone', storage });
  await before.connect();
  for (const quantity of [1, 2, 3]) await before.table('food_entries').insert({ ...MEAL, quantity });
  await until(() => before.pending.value === 0, 'all is uploaded');
  await isWhole(before, token);
  const whole = await seen(before);
  before.disconnect();

  const [one, other] = whole;
  await storage.commit([{ rows: [[one, other], [other, one]].map(([{ _version, ...row }, { quantity, ...from }]) =>
    ['food_entries', row.id, { ...row, quantity, _version: from._version }]) }]);
  const again = client(token, { deviceId: 'phone', storage });
  assert.notDeepEqual(await seen(again), whole);
  await again.connect();
  await until(async () => JSON.stringify(await seen(again)) === JSON.stringify(whole), 'the copy is whole again');
  await isWhole(again, token);
});

test('live edits reach the other device through the socket', async () => {
  const token = daemon.token(randomUUID());
  const [phone, tablet] = [client(token, { deviceId: 'phone' }), client(token, { deviceId: 'tablet' })];
  await Promise.all([phone.connect(), tablet.connect()]);
  const heard = [];
  tablet.on('data_updated', (message) => heard.push(message.table));
  const { id } = await phone.table('food_entries').insert(MEAL);
  for (let quantity = 1; quantity <= 30; quantity++) await phone.table('food_entries').update(id, { quantity });
  await until(async () => (await tablet.table('food_entries').get(id))?.quantity === 30, 'the tablet follows');
  assert.ok(heard.length > 0);
  await tablet.table('food_entries').delete(id);
  await until(async () => !(await phone.table('food_entries').get(id)), 'the phone follows');
  await isWhole(phone, token);
});

test('kill -9 of the daemon in mid-sync loses and doubles nothing', async () => {
  const token = daemon.token(randomUUID());
  const phone = client(token, { deviceId: 'phone', platform: { WebSocket, random: () => 0.1 } });
  const rows = Array.from({ length: 1200 }, (_, at) => ({ ...MEAL, id: randomUUID(), quantity: at + 1 }));
  await Promise.all(rows.map((row) => phone.table('food_entries').insert(row)));
  const connecting = phone.connect();
  await until(() => phone.pending.value < 1200, 'the first batch is judged');
  await daemon.kill();
  await connecting;
  assert.equal((await seen(phone)).length, 1200, 'offline everything stays visible');
  await phone.table('food_entries').update(rows[0].id, { quantity: 5000 });
  await daemon.up();
  await until(() => phone.status.value.state === 'live' && phone.pending.value === 0, 'all is uploaded');
  const tablet = client(token, { deviceId: 'tablet' });
  await tablet.connect();
  assert.deepEqual(await seen(tablet), await seen(phone));
  assert.equal((await seen(tablet)).length, 1200);
  assert.equal((await tablet.table('food_entries').get(rows[0].id)).quantity, 5000);
  await isWhole(phone, token);
});

test('a client that died goes on from its storage, with the same mutations', async () => {
  const token = daemon.token(randomUUID());
  const storage = memoryStorage();
  const first = client(token, { storage, deviceId: 'phone' });
  await first.connect();
  const { id } = await first.table('food_entries').insert(MEAL);
  await until(() => first.pending.value === 0, 'uploaded');
  first.disconnect();
  await first.table('food_entries').update(id, { quantity: 9 });

  const second = client(token, { storage });
  assert.equal((await second.table('food_entries').get(id)).quantity, 9);
  await second.connect();
  assert.equal(second.deviceId, 'phone');
  await until(() => second.pending.value === 0, 'uploaded');
  await isWhole(second, token);
});

test('a batch is done whole or not at all, also when its client died, or when its answer got lost', async () => {
  const token = daemon.token(randomUUID());
  const storage = memoryStorage();
  const first = client(token, { storage, deviceId: 'phone' });
  const batch = (one, quantities) => one.batch(() => quantities.forEach((quantity) => void one.table('food_entries').insert({ ...MEAL, quantity })));
  await batch(first, [1, 2]);
  await batch(first, [3, -4]);
  await first.table('food_entries').insert({ ...MEAL, quantity: 5 });

  let lost = 1;
  const second = client(token, { storage, platform: { WebSocket, fetch: async (...call) => {
    const answer = await fetch(...call);
    if (JSON.parse(call[1].body ?? '{}').atomic && lost-- > 0) throw new Error('lost');
    return answer;
  } } });
  second.connect();
  await until(() => second.pending.value === 0 && second.refused.value.length === 2, 'judged');
  await isWhole(second, token);
  const rows = await second.table('food_entries').all();
  assert.deepEqual(rows.map(({ quantity }) => quantity).sort(), [1, 2, 5]);
  assert.deepEqual(second.refused.value.map(({ data, errors }) => [data.quantity, errors[0].code]), [[3, 'atomic'], [-4, 'out_of_range']]);
});

test('what is taken back offline never reaches the server; what was sent is taken back there, for all devices', async () => {
  const token = daemon.token(randomUUID());
  const [phone, tablet] = ['phone', 'tablet'].map((deviceId) => client(token, { deviceId }));
  await Promise.all([phone.connect(), tablet.connect()]);
  const [sessions, exercises] = ['workout_sessions', 'workout_exercises'].map((name) => phone.table(name));
  const session = await sessions.insert({ name: 'Legs', start_time: MEAL.consumed_at });
  await exercises.insert({ session_id: session.id }).settled;
  await sessions.update(session.id, { name: 'Arms', start_time: '2025-05-02T12:00:00+02:00' }).settled;
  await phone.whenSynced();
  await phone.undo().settled;
  await until(async () => (await tablet.table('workout_sessions').get(session.id))?.name === 'Legs', 'the other device sees it');
  phone.disconnect();
  await sessions.delete(session.id);
  await phone.undo();
  await phone.connect();
  await until(() => phone.pending.value === 0, 'judged');
  await isWhole(phone, token);
  const [kept] = await sessions.all();
  assert.deepEqual([kept.name, Date.parse(kept.start_time), (await exercises.all()).length], ['Legs', Date.parse(MEAL.consumed_at), 1]);
});

test('a rejected edit is taken back with its reason, and those behind it go on', async () => {
  const token = daemon.token(randomUUID());
  const phone = client(token, { deviceId: 'phone' });
  const faults = [];
  phone.on('error', (fault) => faults.push(fault));
  const bad = await phone.table('food_entries').insert({ ...MEAL, quantity: -1 });
  const odd = await phone.table('food_entries').insert({ ...MEAL, id: 'no-uuid' });
  const good = await phone.table('food_entries').insert(MEAL);
  await phone.connect();
  await until(() => phone.pending.value === 0, 'all is judged');
  assert.equal(await phone.table('food_entries').get(bad.id), undefined);
  assert.equal(await phone.table('food_entries').get(odd.id), undefined);
  assert.equal((await phone.table('food_entries').get(good.id)).quantity, 100);
  assert.deepEqual(faults.map(({ code }) => code), ['rejected', 'rejected']);
  assert.match(faults[0].message, /quantity/);
});

test('what was deleted can be inserted again, under its id', async () => {
  const token = daemon.token(randomUUID());
  const phone = client(token, { deviceId: 'phone' });
  const conflicts = [];
  phone.on('conflict', (conflict) => conflicts.push(conflict));
  const meals = phone.table('food_entries');
  await phone.connect();
  const meal = await meals.insert(MEAL);
  await until(() => phone.pending.value === 0, 'uploaded');
  await meals.delete(meal.id);
  await until(() => phone.pending.value === 0, 'deleted');
  await meals.insert({ ...MEAL, id: meal.id, quantity: 5 });
  await until(() => phone.pending.value === 0, 'made anew');
  assert.equal((await meals.get(meal.id))?.quantity, 5);
  assert.deepEqual(conflicts, []);
});

test('what is counted while an earlier count is under way, next to another device’s, is counted once', async () => {
  const token = daemon.token(randomUUID());
  let gate = Promise.resolve();
  const slow = async (...call) => {
    const answer = await fetch(...call);
    await gate;
    return answer;
  };
  const phone = client(token, { deviceId: 'phone', conflictStrategy: 'merge', platform: { WebSocket, fetch: slow } });
  const tablet = client(token, { deviceId: 'tablet', conflictStrategy: 'merge' });
  const plans = phone.table('workout_templates');
  const { id } = await plans.insert({ name_en: 'legs', name_fr: 'jambes', usage_count: 5 });
  await phone.performSync();
  await tablet.performSync();
  await tablet.table('workout_templates').update(id, { usage_count: 6 });
  await tablet.performSync();

  let open;
  gate = new Promise((resolve) => (open = resolve));
  await plans.update(id, { usage_count: 6 });
  const syncing = phone.performSync();
  await until(async () => (await daemon.get('/sync-status?device_id=phone', token)).last_sync, 'the phone has asked');
  await plans.update(id, { usage_count: 7 });
  open();
  await syncing;
  await phone.performSync();
  assert.equal((await plans.get(id)).usage_count, 8);
});

test('a food that is moved into the catalogue with SQL, and back, stays on every device', async () => {
  const token = daemon.token(randomUUID());
  const [phone, tablet] = [client(token, { deviceId: 'phone' }), client(token, { deviceId: 'tablet' })];
  await Promise.all([phone.connect(), tablet.connect()]);
  const { id } = await phone.table('foods').insert({ name_en: 'medlar', name_fr: 'nèfle', calories: 53 });
  await until(async () => (await tablet.table('foods').get(id))?._version, 'the tablet has it');
  const owner = (await tablet.table('foods').get(id)).user_id;
  tablet.disconnect();
  for (const to of [null, owner, null, owner]) {
    daemon.sql(`UPDATE foods SET user_id = ${to ? `'${to}'` : 'NULL'} WHERE id = '${id}'`);
    await until(async () => (await phone.table('foods').get(id))?.user_id === to, `the phone sees it move to ${to}`);
  }
  await tablet.connect();
  for (const device of [phone, tablet]) {
    assert.equal((await device.table('foods').get(id))?.user_id, owner);
    await isWhole(device, token);
  }
});

test('an open conflict is reported with both sides, listed, and settled', async () => {
  const token = daemon.token(randomUUID());
  const [phone, tablet] = ['phone', 'tablet'].map((deviceId) => client(token, { deviceId, conflictStrategy: 'manual' }));
  const { id } = await phone.table('food_entries').insert(MEAL);
  await phone.connect();
  await tablet.connect();
  tablet.disconnect();
  await phone.table('food_entries').update(id, { quantity: 200 });
  await until(() => phone.pending.value === 0, 'the phone was first');
  await tablet.table('food_entries').update(id, { quantity: 300 });
  const told = new Promise((resolve) => tablet.on('conflict', resolve));
  await tablet.connect();
  const conflict = await told;
  assert.deepEqual(conflict.fields.map(({ field, base, server, client: mine }) => [field, base, server, mine]), [['quantity', 100, 200, 300]]);
  const [listed] = await tablet.conflicts();
  assert.equal(listed.conflict_id, conflict.conflict_id);
  await tablet.resolve(listed.conflict_id, { quantity: 250 });
  for (const device of [phone, tablet]) await until(async () => (await device.table('food_entries').get(id)).quantity === 250, 'both have what was chosen');
  assert.deepEqual(await tablet.conflicts(), []);
});

test('a workout recorded offline for a session that was deleted elsewhere is one conflict with all of it, and comes back whole', async () => {
  const token = daemon.token(randomUUID());
  const [phone, watch] = ['phone', 'watch'].map((deviceId) => client(token, { deviceId }));
  const { id } = await phone.table('workout_sessions').insert({ name: 'Legs', start_time: '2025-05-01T08:00:00Z' });
  await phone.performSync();
  await watch.performSync();
  await phone.table('workout_sessions').delete(id);
  await phone.performSync();
  const { id: exercise } = await watch.table('workout_exercises').insert({ session_id: id, order_index: 0 });
  const sets = watch.table('exercise_sets');
  for (let set = 0; set < 22; set++) await sets.insert({ workout_exercise_id: exercise, reps: set + 1, weight: 20, set_order: set });
  const told = [];
  watch.on('conflict', (conflict) => told.push(conflict));
  await watch.performSync();
  await sets.insert({ workout_exercise_id: exercise, reps: 23, weight: 20, set_order: 22 });
  await watch.performSync();
  assert.deepEqual(told.map(({ table, id: row, parts }) => [table, row, parts.length]), [['workout_sessions', id, 23], ['workout_sessions', id, 1]]);
  assert.equal(told[0].parts[22].data.reps, 22);
  assert.deepEqual([(await sets.all()).length, watch.refused.list().length], [0, 0]);
  const [kept] = await watch.conflicts();
  assert.deepEqual([kept.conflict_id, kept.parts.length], [told[1].conflict_id, 24]);
  await watch.resolve(kept.conflict_id, 'client');
  await watch.performSync();
  assert.equal((await sets.all()).length, 23);
  assert.deepEqual(await watch.conflicts(), []);
});

test('a bad token stops the line until another one is set; a revoked device stays stopped', async () => {
  const user = randomUUID();
  const phone = client('x.y.z', { deviceId: 'phone' });
  await assert.rejects(phone.connect(), /token/i);
  phone.setToken(daemon.token(user));
  await until(() => phone.status.value.state === 'live', 'it goes on with the new token');
  await fetch(`${daemon.url}/api/realtime/devices/phone`, { method: 'DELETE', headers: { authorization: `Bearer ${daemon.token(user)}` } });
  await until(() => phone.status.value.state === 'stopped', 'it stops');
  assert.match(phone.status.value.why, /revoked/);
});
