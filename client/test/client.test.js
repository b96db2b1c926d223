// The whole client on a scripted server and a fake clock.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { memoryStorage, RyzeRealtimeClient } from '../src/index.js';
import { applied, page, scripted, settled } from '../test-support/scripted.js';

const problem = (status, body = {}, headers = {}) => Response.json(body, { status, headers });
const rowOf = ({ changes: [{ data }] }, version) => ({ meals: [{ ...data, _version: version }] });

test('connects: an exchange, then the socket with cursor and token', async () => {
  const script = scripted({ tables: ['meals'], deviceType: 'web' });
  const told = [];
  ['connected', 'disconnected', 'sync_completed'].forEach((event) => script.client.on(event, () => told.push(event)));
  await script.live();
  assert.equal(script.socket().url, 'ws://server/api/realtime/ws/phone?cursor=e%2Cuser%3A1%2Cglobal%3A1&tables=meals&device_type=web');
  assert.deepEqual(script.socket().protocols, ['ryzed.v1', 'bearer.token']);
  assert.equal(script.asked[0].body.digest, true);
  script.client.disconnect();
  await settled();
  assert.deepEqual(told, ['sync_completed', 'connected', 'disconnected']);
});

test('five quick attempts, then slow ones; a nudge tries at once', async () => {
  const script = scripted({}, () => {
    throw new Error('no network');
  });
  assert.equal(await script.client.connect(), false);
  const waits = [];
  for (let attempt = 0; attempt < 7; attempt++) {
    waits.push(script.client.status.value.retryInMs);
    await script.clock.forward(waits.at(-1));
  }
  assert.deepEqual(waits, [500, 1000, 2000, 4000, 8000, 45_000, 45_000]);
  const before = script.asked.length;
  script.nudge();
  await settled();
  assert.equal(script.asked.length, before + 1);
  assert.equal(script.client.status.value.retryInMs, 500);
});

test('sends a ping every 30 s, and gives up a line that is silent', async () => {
  const script = scripted();
  await script.live();
  await script.clock.forward(30_000);
  assert.deepEqual(script.socket().sent, [{ type: 'ping', pending_uploads: 0 }]);
  script.socket().hear({ type: 'pong' });
  await script.clock.forward(30_000);
  assert.equal(script.socket().sent.length, 2);
  assert.equal(script.client.status.value.state, 'live');
  await script.clock.forward(10_000);
  assert.equal(script.client.status.value.state, 'waiting');
  await script.clock.forward(500);
  assert.equal(script.sockets.length, 2);
});

test('honours close codes: 1012 waits as told, 4403 and 4409 stop', async () => {
  const script = scripted();
  await script.live();
  script.socket().end(1012, '{"reconnect_in_ms":1830}');
  await settled();
  assert.equal(script.client.status.value.retryInMs, 1830);
  await script.clock.forward(1830);
  script.socket().greet();
  await settled();
  script.socket().end(4409);
  await settled();
  assert.equal(script.client.status.value.state, 'stopped');
  await script.clock.forward(3_600_000);
  assert.equal(script.sockets.length, 2);
});

test('a token function is asked again before the token ends and when it was refused', async () => {
  let made = 0;
  const jwt = () => `h.${btoa(JSON.stringify({ sub: 'u', exp: 1_750_000_000 + 600, made: ++made }))}.s`;
  const script = scripted({ token: async () => jwt() });
  await script.live();
  assert.equal(made, 1);
  script.socket().hear({ type: 'token_expiring' });
  await settled();
  assert.equal(script.socket().sent.at(-1).type, 'auth');
  script.socket().end(4401);
  await settled();
  assert.equal(made, 3);
  assert.equal(script.sockets.length, 2);
  script.socket().end(4401);
  await settled();
  assert.equal(script.client.status.value.state, 'waiting', 'twice in a row is not asked at once');
});

test('another person’s token does not mix into the copy', async () => {
  const storage = memoryStorage();
  const jwt = (sub) => `h.${btoa(JSON.stringify({ sub }))}.s`;
  const first = scripted({ storage, token: jwt('one') });
  await first.live();
  first.client.disconnect();
  const second = scripted({ storage, token: jwt('two') });
  await assert.rejects(second.client.connect(), /another person/);
  assert.equal(second.asked.length, 0);
  await second.client.forget();
  await second.live();
});

test('edits show at once, fold, and go out once each; live edits go out at once', async () => {
  const script = scripted({}, (path, body) => page(body.changes.length ? { results: applied(body, 2), changes: rowOf(body, 2) } : {}));
  const meals = script.client.table('meals');
  const { id } = await meals.insert({ q: 1 });
  await meals.update(id, { q: 2 });
  assert.deepEqual([(await meals.get(id)).q, script.client.pending.value], [2, 1]);
  await script.live();
  assert.deepEqual([await meals.get(id), script.client.pending.value], [{ id, q: 2, _version: 2 }, 0]);
  await meals.update(id, { q: 3 });
  await settled();
  const sent = script.asked.flatMap(({ body }) => body.changes);
  assert.deepEqual(sent.map(({ operation, base_version, data }) => [operation, base_version, data.q]), [['INSERT', undefined, 2], ['UPDATE', 2, 3]]);
});

test('an answer that got lost: the same mutation goes out again, later edits build on its result', async () => {
  let broken = true;
  const script = scripted({}, (path, body) => {
    if (broken && body.changes.length) throw new Error('lost');
    return page({ results: applied(body, 7) });
  });
  const meals = script.client.table('meals');
  const { id } = await meals.insert({ q: 1 });
  await script.client.connect();
  await meals.update(id, { q: 2 });
  broken = false;
  await script.clock.forward(500);
  const sent = script.asked.flatMap(({ body }) => body.changes);
  assert.equal(sent[0].mutation_id, sent[1].mutation_id);
  assert.deepEqual(sent.slice(1).map(({ operation, data, base_version }) => [operation, data.q, base_version]), [['INSERT', 1, undefined], ['UPDATE', 2, 7]]);
});

test('one edit that spoils the request is found, taken back and reported; the others pass', async () => {
  const script = scripted({}, (path, body) =>
    body.changes.some(({ data }) => data.q === 13) ? problem(413, { detail: 'too large' }) : page({ results: applied(body) }));
  const faults = [];
  script.client.on('error', (fault) => faults.push(fault));
  for (let q = 0; q < 40; q++) await script.client.table('meals').insert({ q });
  await script.live();
  assert.equal(script.client.pending.value, 0);
  assert.deepEqual(faults.map(({ code, edit }) => [code, edit.data.q]), [['rejected', 13]]);
});

test('a refusal that no edit caused stops the line and loses no edit', async () => {
  const script = scripted({}, () => problem(422, { detail: 'there is no table "x"' }));
  await script.client.table('meals').insert({ q: 1 });
  await assert.rejects(script.client.connect(), /no table/);
  assert.equal(script.client.pending.value, 1);
});

test('what is live during an exchange waits for its end, and a jump is pulled', async () => {
  const script = scripted();
  await script.live();
  const hear = (version, q) => script.socket().hear({ type: 'data_updated', table: 'meals', operation: 'UPDATE', scope: 'user:u', version, data: { id: 'a', q } });
  let answer;
  script.answer = () => new Promise((resolve) => (answer = resolve));
  hear(4, 'four');
  await settled();
  assert.equal(await script.client.table('meals').get('a'), undefined);
  hear(5, 'five');
  answer(page({ changes: { meals: [{ id: 'a', q: 'four', _version: 4 }] }, cursor: { epoch: 'e', user: 4, global: 1 } }));
  await settled();
  assert.deepEqual(await script.client.table('meals').get('a'), { id: 'a', q: 'five', _version: 5 });
});

test('sync_required pulls from the own cursor', async () => {
  const script = scripted();
  await script.live();
  script.socket().hear({ type: 'sync_required', reason: 'cursor_too_old', cursor: {} });
  await settled();
  assert.deepEqual(script.asked.at(-1).body.cursor, { epoch: 'e', user: 1, global: 1 });
});

test('a digest that differs repairs just that table, once an hour', async () => {
  const script = scripted({}, (path, body) => body.digest
    ? page({ digest: { meals: { rows: 1, version_sum: 3 }, foods: { rows: 0, version_sum: 0 } } })
    : page(body.cursor ? {} : { changes: { meals: [{ id: 'a', _version: 3, q: 'whole' }] } }));
  await script.live();
  assert.deepEqual(script.asked.map(({ body }) => body.tables), [[], ['meals']]);
  assert.equal((await script.client.table('meals').get('a')).q, 'whole');
});

test('a reset judges what was edited on the old copy by the old cursor, then starts over', async () => {
  const script = scripted({}, () => page({ changes: { meals: [{ id: 'a', _version: 1 }, { id: 'b', _version: 2 }] } }));
  await script.client.performSync();
  await script.client.table('meals').update('a', { q: 1 });
  let edited = false;
  script.answer = async (path, body) => {
    if (!body.cursor) {
      if (!edited) await script.client.table('meals').update('b', { q: 2 });
      const isFirst = !edited;
      edited = true;
      return page({ has_more: isFirst, cursor: { epoch: 'new', user: isFirst ? 1 : 9 }, changes: { meals: [{ id: isFirst ? 'a' : 'b', _version: 9 }] } });
    }
    if (body.cursor.epoch === 'new') return page({ cursor: { epoch: 'new', user: 9 }, changes: { meals: [{ id: 'b', _version: 9 }] } });
    return page({ reset: true, has_more: true, cursor: {}, results: body.changes.map(({ mutation_id, data }) => ({
      mutation_id, table: 'meals', id: data.id, status: 'rejected', errors: [{ field: '', code: 'stale', message: 'too old' }] })) });
  };
  const { rejected } = await script.client.performSync();
  assert.deepEqual(rejected.map(({ id }) => id), ['a', 'b']);
  assert.deepEqual(script.asked.slice(1).map(({ body }) => [body.cursor?.epoch, body.changes.length]), [['e', 1], [undefined, 0], ['e', 1], ['new', 0]]);
  assert.deepEqual((await script.client.table('meals').all()).map(({ id, _version }) => [id, _version]), [['a', 9], ['b', 9]]);
});

test('a full exchange replaces the copy', async () => {
  const script = scripted({}, () => page({ changes: { meals: [{ id: 'a', _version: 1 }] } }));
  await script.client.performSync();
  script.answer = (path, { force_full_sync: full }) => page({ changes: { meals: [{ id: full ? 'b' : 'c', _version: 2 }] }, total_changes: 1 });
  const { totalChanges } = await script.client.performSync(true);
  assert.deepEqual([totalChanges, (await script.client.table('meals').all()).map(({ id }) => id)], [1, ['b']]);
});

test('an exchange that breaks goes on at the page where it broke', async () => {
  let calls = 0;
  const script = scripted({}, () => {
    calls += 1;
    if (calls === 2) throw new Error('lost');
    return calls === 1 ? page({ has_more: true, cursor: { user: 10 }, changes: { meals: [{ id: 'a', _version: 1 }] } })
      : page({ changes: { meals: [{ id: 'b', _version: 11 }] } });
  });
  await script.client.connect();
  assert.deepEqual(await script.client.table('meals').all(), []);
  await script.clock.forward(500);
  assert.deepEqual(script.asked.map(({ body }) => body.cursor), [undefined, { user: 10 }, { user: 10 }]);
  assert.equal((await script.client.table('meals').all()).length, 2);
});

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

test('storage that fails is reported and retried whole; the app goes on in memory', async () => {
  const inner = memoryStorage();
  let broken = false;
  const storage = { ...inner, commit: async (patches) => {
    if (broken) throw new Error('disk full');
    return inner.commit(patches);
  } };
  const script = scripted({ storage });
  const faults = [];
  script.client.on('error', ({ code }) => faults.push(code));
  await script.client.table('meals').all();
  broken = true;
  await assert.rejects(script.client.table('meals').insert({ q: 1 }), /disk full/);
  assert.equal((await script.client.table('meals').all()).length, 1);
  broken = false;
  await script.client.table('meals').insert({ q: 2 });
  assert.equal((await inner.load()).queue.length, 2);
  assert.deepEqual(faults, ['storage']);
});

test('with a storage that fails the line goes on, and nothing is left out once it works again', async () => {
  const inner = memoryStorage();
  let broken = false;
  const storage = { ...inner, commit: async (patches) => {
    if (broken) throw new Error('disk full');
    return inner.commit(patches);
  } };
  const script = scripted({ storage });
  await script.live();
  const hear = (version) => script.socket().hear({ type: 'data_updated', table: 'meals', operation: 'INSERT', scope: 'user:u', version, data: { id: `row ${version}` } });
  broken = true;
  hear(2);
  await settled();
  await assert.rejects(script.client.table('meals').insert({ q: 1 }), /disk full/);
  await settled();
  assert.deepEqual([script.client.status.value.state, script.client.pending.value], ['live', 0]);
  broken = false;
  hear(3);
  await settled();
  const { rows, cursor } = await inner.load();
  assert.deepEqual([rows.map(([, { id }]) => id), cursor.user], [['row 2', 'row 3'], 3]);
});

test('a line does not wait for what it downloaded to be stored; performSync does', async () => {
  const inner = memoryStorage();
  let store = Promise.resolve();
  const storage = { ...inner, commit: (patches) => store.then(() => inner.commit(patches)) };
  const script = scripted({ storage }, () => page({ changes: { meals: [{ id: 'a', _version: 1 }] } }));
  await script.client.table('meals').all();
  let open;
  script.answer = () => {
    store = new Promise((resolve) => (open = resolve));
    return page({ changes: { meals: [{ id: 'a', _version: 1 }] } });
  };
  await script.live();
  assert.deepEqual([script.client.status.value.state, (await inner.load()).rows.length], ['live', 0]);
  open();
  await settled();
  assert.equal((await inner.load()).rows.length, 1);

  script.answer = () => {
    store = new Promise((resolve) => (open = resolve));
    return page({ changes: { meals: [{ id: 'b', _version: 2 }] } });
  };
  let isDone = false;
  const syncing = script.client.performSync().then(() => (isDone = true));
  await settled();
  assert.equal(isDone, false);
  open();
  await syncing;
  assert.equal((await inner.load()).rows.length, 2);
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

test('disconnect stops a download between its pages', async () => {
  let give;
  const script = scripted({}, () => new Promise((resolve) => (give = () => resolve(page({ has_more: true, cursor: { user: 1 } })))));
  script.client.connect();
  await settled();
  script.client.disconnect();
  give();
  await settled();
  assert.equal(script.asked.length, 1);
});

test('forget during a download: nothing of it comes back', async () => {
  const inner = memoryStorage();
  let give;
  const script = scripted({ storage: inner }, () => new Promise((resolve) => (give = resolve)));
  const syncing = script.client.performSync().catch(() => {});
  await settled();
  const forgetting = script.client.forget();
  give(page({ changes: { meals: [{ id: 'a', _version: 1 }] } }));
  await Promise.all([forgetting, syncing]);
  assert.deepEqual(await script.client.table('meals').all(), []);
  const { rows, cursor } = await inner.load();
  assert.deepEqual([rows, cursor], [[], null]);
});

test('a table that joins later is pulled from zero, one that leaves is dropped', async () => {
  const storage = memoryStorage();
  const answer = (path, { tables }) => page({ changes: Object.fromEntries(tables.map((table) => [table, [{ id: `one of ${table}`, _version: 1 }]])) });
  await scripted({ storage, tables: ['meals', 'foods'] }, answer).client.performSync();
  const grown = scripted({ storage, tables: ['foods', 'runs'] }, (path, body) => (body.cursor ? page() : answer(path, body)));
  await grown.client.performSync();
  assert.deepEqual(grown.asked.map(({ body }) => [body.tables, body.cursor?.user]), [[['runs'], undefined], [['foods', 'runs'], 1]]);
  const held = async (script) => Promise.all(['meals', 'foods', 'runs'].map(async (table) => (await script.client.table(table).all()).length));
  assert.deepEqual(await held(grown), [0, 1, 1]);
  await grown.client.performSync();
  assert.equal(grown.asked.length, 3, 'once');

  const all = scripted({ storage }, (path, { force_full_sync: full }) => (full ? answer(path, { tables: ['meals', 'foods', 'runs'] }) : page()));
  await all.client.performSync();
  assert.equal(all.asked[0].body.force_full_sync, true);
  assert.deepEqual(await held(all), [1, 1, 1]);
});

test('a reset waits for the edits that were made on the old copy during its last page', async () => {
  const script = scripted({}, () => page({ changes: { meals: [{ id: 'a', _version: 40 }] } }));
  await script.client.performSync();
  let edited = false;
  script.answer = async (path, body) => {
    if (body.changes.length) return page({ reset: true, has_more: true, cursor: {}, results: applied(body, 3) });
    if (body.cursor?.epoch === 'e') return page({ reset: true, has_more: true, cursor: {} });
    if (!edited) await script.client.table('meals').update('a', { q: 1 });
    edited = true;
    return page({ cursor: { epoch: 'new', user: 3 }, changes: { meals: [{ id: 'a', _version: 3, q: 1 }] } });
  };
  await script.client.performSync();
  const uploads = script.asked.filter(({ body }) => body.changes.length);
  assert.deepEqual(uploads.map(({ body }) => [body.cursor.epoch, body.changes[0].base_version]), [['e', 40]]);
  assert.deepEqual(await script.client.table('meals').all(), [{ id: 'a', _version: 3, q: 1 }]);
});

test('without a line, too, a refused token is asked for anew', async () => {
  let made = 0;
  const script = scripted({ token: () => `token ${++made}` }, () => (made < 2 ? problem(401) : page()));
  await script.client.performSync();
  assert.deepEqual(script.asked.map(({ token }) => token), ['token 1', 'token 2']);
  script.answer = () => problem(401, { detail: 'expired' });
  await assert.rejects(script.client.performSync(), /expired/);
  assert.equal(made, 3);
});

test('several calls that need a token ask for it once; one that is empty is none', async () => {
  const waiting = [];
  const script = scripted({ token: () => new Promise((resolve) => waiting.push(resolve)) });
  const calls = [script.client.performSync(), script.client.getSyncStatus(), script.client.conflicts()];
  await settled();
  assert.equal(waiting.length, 1);
  waiting[0]('token');
  await Promise.all(calls);
  const none = scripted({ token: async () => '' });
  await none.client.connect();
  assert.deepEqual([none.client.status.value.state, none.asked.length], ['waiting', 0]);
  assert.match(none.client.status.value.why, /gave none/);
});

test('a token that is set while the line waits is tried at once', async () => {
  const script = scripted({ token: () => { throw new Error('signed out'); } });
  await script.client.connect();
  assert.equal(script.client.status.value.state, 'waiting');
  script.client.setToken('token');
  await settled();
  assert.equal(script.client.status.value.state, 'opening');
});

test('values become what JSON makes of them at once; what JSON can’t say is refused and blocks nothing', async () => {
  const script = scripted();
  const meals = script.client.table('meals');
  const tags = ['a'];
  const { id } = await meals.insert({ at: new Date(0), tags, nothing: undefined });
  tags.push('b');
  assert.deepEqual(await meals.get(id), { id, at: '1970-01-01T00:00:00.000Z', tags: ['a'], _pending: true });
  await assert.rejects(meals.insert({ q: 1n }), /BigInt/);
  await assert.rejects(script.client.sendDataChange('meals', 'REPLACE', { id }), /INSERT, UPDATE, UPSERT or DELETE/);
  assert.equal(script.client.pending.value, 1);
});

test('what came back from storage takes in no more edits: it may have left before', async () => {
  const storage = memoryStorage();
  const first = scripted({ storage });
  const { id } = await first.client.table('meals').insert({ q: 1 });
  const second = scripted({ storage });
  await second.client.table('meals').update(id, { q: 2 });
  const ids = (await storage.load()).queue.map(({ mutation_id, data }) => [mutation_id, data.q]);
  assert.equal(new Set(ids.map(([mutation]) => mutation)).size, 2);
  assert.deepEqual(ids.map(([, q]) => q), [1, 2]);
});

test('an edit that the server leaves unjudged does not make it ask without a pause', async () => {
  const script = scripted({}, () => page());
  await script.client.table('meals').insert({ q: 1 });
  await script.client.connect();
  assert.deepEqual([script.client.status.value.state, script.asked.length, script.client.pending.value], ['waiting', 1, 1]);
});

test('an old exchange that fails does not harm a new line', async () => {
  const script = scripted();
  await script.live();
  let fail;
  script.answer = () => new Promise((resolve, reject) => (fail = reject));
  const old = script.client.performSync();
  await settled();
  script.client.disconnect();
  script.answer = () => page();
  script.client.connect();
  fail(new Error('lost'));
  await assert.rejects(old);
  await settled();
  assert.equal(script.client.status.value.state, 'opening');
});

test('a server’s address and a device’s id that can’t be are refused at once', () => {
  for (const url of [undefined, 'sync.example.com', 'ftp://x']) assert.throws(() => new RyzeRealtimeClient(url, 'token'), /http/);
  for (const deviceId of ['', 'a phone', 'x'.repeat(65), 'ryzed']) assert.throws(() => new RyzeRealtimeClient('http://x', { deviceId }), /deviceId/);
});

test('a storage that fails for long is caught up with in one piece', async () => {
  const inner = memoryStorage();
  let broken = false;
  let patches = 0;
  const storage = { ...inner, commit: async (given) => {
    if (broken) throw new Error('disk full');
    patches = given.length;
    return inner.commit(given);
  } };
  const script = scripted({ storage });
  await script.live();
  broken = true;
  for (let version = 2; version < 1200; version++) {
    script.socket().hear({ type: 'data_updated', table: 'meals', operation: 'INSERT', scope: 'user:u', version, data: { id: `row ${version}` } });
    if (version % 100 === 0) await settled();
  }
  await script.client.table('meals').insert({ id: 'mine' }).catch(() => {});
  broken = false;
  await script.client.table('meals').insert({ id: 'other' });
  await settled();
  const { rows, cursor } = await inner.load();
  assert.ok(patches < 10, `${patches} patches`);
  assert.deepEqual([rows.length >= 1198, cursor.user >= 1], [true, true]);
});
