// What the app has of the client: subscriptions, events, and what it is told when it asks for nonsense.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RyzeRealtimeClient } from '../src/index.js';
import { applied, page, problem, scripted, settled } from '../test-support/scripted.js';

test('a subscription is called only when its result changed', async () => {
  const script = scripted({}, () => page());
  const meals = script.client.table('meals');
  const told = [];
  const stop = meals.subscribe({ kind: 'lunch' }, (rows) => told.push(rows.map(({ q }) => q)));
  const { id } = await meals.insert({ kind: 'lunch', q: 1 });
  await meals.insert({ kind: 'dinner', q: 2 });
  await script.client.table('foods').insert({ kind: 'lunch' });
  await meals.update(id, { q: 1 });
  await Promise.all([meals.update(id, { q: 3 }), meals.update(id, { q: 4 })]);
  stop();
  await meals.update(id, { q: 5 });
  assert.deepEqual(told, [[], [1], [4]]);
});

test('the events carry what they promise', async () => {
  const conflict = { mutation_id: 'm', table: 'meals', id: 'a', strategy: 'server_wins', fields: [{ field: 'q', base: 1, server: 2, client: 3, resolved: 2 }], row: null };
  const script = scripted({}, (path, body) => page({
    total_changes: 4, results: applied(body).map((result) => ({ ...result, status: 'conflict' })),
    conflicts: body.changes.map(({ mutation_id }) => ({ ...conflict, mutation_id })),
  }));
  const told = {};
  for (const event of ['connected', 'disconnected', 'data_updated', 'database_change', 'sync_completed', 'sync_triggered', 'other_device_synced', 'conflict', 'error']) {
    script.client.on(event, (what) => (told[event] ??= what));
  }
  const row = await script.client.sendDataChange('meals', 'insert', { id: 'a', q: 3 });
  assert.deepEqual(row, { id: 'a', q: 3, _pending: true });
  await script.live();
  const change = { table: 'meals', operation: 'UPDATE', scope: 'user:u', timestamp: 't' };
  script.socket().hear({ type: 'other_device_synced', device_id: 'tablet', changes_count: 2, timestamp: 't' });
  script.socket().hear({ type: 'sync_completed', device_id: 'phone', changes_count: 1, timestamp: 't' });
  script.socket().hear({ ...change, type: 'data_updated', data: { id: 'b' }, source_device: 'tablet', version: 2 });
  script.socket().hear({ ...change, type: 'database_change', old_record: null, new_record: { id: 'c' }, version: 3 });
  script.socket().hear({ type: 'sync_triggered', device_id: null, timestamp: 't' });
  script.socket().hear({ type: 'error', code: 'bad_message', detail: 'what?', timestamp: 't' });
  await settled();
  script.client.disconnect();
  await settled();
  assert.deepEqual(told.other_device_synced, { deviceId: 'tablet' });
  assert.deepEqual([told.sync_completed.totalChanges, told.sync_completed.conflicts.length, told.sync_completed.conflicts[0].fields], [4, 1, conflict.fields]);
  assert.deepEqual(told.conflict.fields, conflict.fields);
  assert.deepEqual([told.data_updated.data.id, told.database_change.new_record.id, told.sync_triggered.type], ['b', 'c', 'sync_triggered']);
  assert.deepEqual([told.error.code, told.error.message], ['bad_message', 'what?']);
  assert.deepEqual([told.connected, told.disconnected.state], [{ deviceId: 'phone' }, 'off']);
  const status = await script.client.getSyncStatus();
  assert.deepEqual([status.device_id, status.pending_uploads, status.cursor.epoch], ['phone', 0, 'e']);
});

test('what waits with a row that was deleted elsewhere is one conflict, with what waited before', async () => {
  const [first, second] = ['a', 'b'].map((id) => ({ mutation_id: id, table: 'sets', id, data: { id } }));
  const known = { conflict_id: 'c', mutation_id: 'm', table: 'meals', id: 'a', strategy: 'server_wins', fields: [], row: null };
  let part = first;
  const script = scripted({}, (path, body) => {
    if (path === '/conflicts') throw new TypeError('no line');
    const [change] = body.changes;
    const parts = [{ ...part, mutation_id: change?.mutation_id }];
    return page({ results: applied(body).map((result) => ({ ...result, status: 'conflict' })), conflicts: change ? [{ ...known, mutation_id: 'other', parts }] : [] });
  });
  const told = [];
  script.client.on('conflict', (conflict) => told.push(conflict.parts.length));
  await script.client.table('sets').insert({ id: 'a' });
  await script.client.performSync();
  part = second;
  await script.client.table('sets').insert({ id: 'b' });
  await script.client.performSync();
  const [kept] = await script.client.conflicts();
  assert.deepEqual([told, kept.parts.map(({ id }) => id)], [[1, 1], ['a', 'b']]);
});

test('one listener that throws harms nobody', async () => {
  const thrown = new Promise((resolve) => process.setUncaughtExceptionCaptureCallback(resolve));
  const script = scripted();
  script.client.on('connected', () => {
    throw new Error('mine');
  });
  await script.live();
  assert.equal((await thrown).message, 'mine');
  process.setUncaughtExceptionCaptureCallback(null);
  assert.equal(script.client.status.value.state, 'live');
});

test('a server’s address and a device’s id that can’t be are refused at once', () => {
  for (const url of [undefined, 'sync.example.com', 'ftp://x']) assert.throws(() => new RyzeRealtimeClient(url, 'token'), /http/);
  for (const deviceId of ['', 'a phone', 'x'.repeat(65), 'ryzed']) assert.throws(() => new RyzeRealtimeClient('http://x', { deviceId }), /deviceId/);
});

test('a query that throws harms no other', async () => {
  const thrown = [];
  process.setUncaughtExceptionCaptureCallback(({ message }) => thrown.push(message));
  const script = scripted();
  const meals = script.client.table('meals');
  const told = [];
  meals.subscribe((row) => row.tags.length > 0, (rows) => told.push(['throws', rows.length]));
  meals.subscribe(null, (rows) => told.push(['all', rows.length]));
  await meals.insert({ id: 'a' });
  await meals.insert({ id: 'b' });
  await settled();
  process.setUncaughtExceptionCaptureCallback(null);
  assert.deepEqual(told, [['throws', 0], ['all', 0], ['all', 1], ['all', 2]]);
  assert.ok(thrown.length > 0 && thrown.every((message) => /length/.test(message)), 'and its author hears of it');
  await assert.rejects(meals.where((row) => row.tags.length > 0), /length/);
});

test('whenSynced ends once what was edited by then is judged and the copy is as new, also when the line comes later', async () => {
  const script = scripted({}, () => {
    throw new Error('offline');
  });
  const inserting = script.client.table('meals').insert({ q: 1 });
  await inserting;
  let isSynced = false;
  const syncing = script.client.whenSynced().then(() => (isSynced = true));
  await script.client.connect();
  await settled();
  assert.equal(isSynced, false);
  script.answer = (path, body) => page({ results: applied(body, 2), changes: { meals: [{ id: 'theirs', _version: 2 }] } });
  await script.clock.forward(1000);
  script.socket().greet();
  await syncing;
  assert.equal((await inserting.settled).status, 'applied');
  assert.ok(await script.client.table('meals').get('theirs'));
  script.answer = () => problem(403, { detail: 'no' });
  await assert.rejects(script.client.whenSynced(), /no/);
});

test('an option that the app changes counts from then on', async () => {
  let conflictStrategy = 'manual';
  const options = { token: 'token', get conflictStrategy() { return conflictStrategy; } };
  const script = scripted(options);
  await script.client.performSync();
  conflictStrategy = 'server_wins';
  await script.client.performSync();
  assert.deepEqual(script.asked.map(({ body }) => body.conflict_strategy), ['manual', 'server_wins']);
});
