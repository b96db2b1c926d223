// What goes wrong on the way of an edit, and what is said of it, on a scripted server.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { memoryStorage } from '../src/index.js';
// Loaded late else, when the clock of a test has gone on.
import '../src/more.js';
import { applied, jwt, page, problem, scripted, settled } from '../test-support/scripted.js';

const rejecting = (body, errors = [{ field: 'q', code: 'out_of_range', message: 'must be greater than 0' }]) =>
  body.changes.map(({ mutation_id, table, data }) => ({ mutation_id, table, id: data.id, status: 'rejected', errors }));

test('what JSON would change in silence is refused at once, and nothing is queued', async () => {
  const script = scripted();
  const meals = script.client.table('meals');
  const { id } = await meals.insert({ q: 1 });
  const cyclic = {};
  cyclic.cyclic = cyclic;
  const unsayable = [NaN, Infinity, -Infinity, new Date(NaN), () => {}, Symbol('x'), [undefined], [NaN], { deep: [{ q: NaN }] }, new Map([[1, 2]]), new Set([1]),
    new Uint8Array(2), /x/, Promise.resolve(), new Error('x'), 1n, '\ud800', ['\udc00'], cyclic];
  for (const q of unsayable) {
    const update = meals.update(id, { q });
    await assert.rejects(update, undefined, String(typeof q));
    assert.equal((await update.settled).status, 'rejected');
  }
  assert.deepEqual([await meals.get(id), script.client.pending.value], [{ id, q: 1, _pending: true }, 1]);
  await meals.update(id, { q: null, at: new Date(0), list: [null], deep: { a: undefined }, text: '🥕', not: undefined });
  assert.deepEqual(await meals.get(id), { id, q: null, at: '1970-01-01T00:00:00.000Z', list: [null], deep: {}, text: '🥕', _pending: true });
});

test('of a row’s fields only the client’s own marks are left out', async () => {
  const script = scripted();
  const meals = script.client.table('meals');
  const row = await meals.insert({ id: 'a', _version: 3, _pending: true, _stored: false, _private: 'mine', __: 1 });
  assert.deepEqual(row, { id: 'a', _private: 'mine', __: 1, _pending: true });
  await script.client.performSync();
  assert.deepEqual(script.asked[0].body.changes[0].data, { id: 'a', _private: 'mine', __: 1 });
});

test('ids have one form, whatever the app writes', async () => {
  const [upper, lower] = ['0F0F0F0F-1111-4AAA-8BBB-CCCCCCCCCCCC', '0f0f0f0f-1111-4aaa-8bbb-cccccccccccc'];
  const script = scripted({}, (path, body) => page({
    results: body.changes.map(({ mutation_id, table, data }) => ({ mutation_id, table, id: data.id.toLowerCase(), status: 'applied', version: 2 })),
    changes: { meals: body.changes.map(({ data }) => ({ ...data, id: data.id.toLowerCase(), _version: 2 })) },
  }));
  const meals = script.client.table('meals');
  const shown = [];
  meals.subscribe({ id: upper }, (rows) => shown.push(rows.map(({ q }) => q)));
  assert.equal((await meals.insert({ id: upper, q: 1 })).id, lower);
  await script.client.performSync();
  await meals.update(upper, { q: 2 });
  assert.equal((await meals.get(upper)).q, 2);
  assert.equal((await meals.get(lower)).q, 2);
  assert.deepEqual((await meals.where({ id: upper })).map(({ q }) => q), [2]);
  assert.deepEqual(shown.at(-1), [2]);
  await meals.delete(upper);
  assert.deepEqual(await meals.all(), []);
  const storage = memoryStorage();
  await storage.commit([{ queue: [{ mutation_id: 'm', table: 'meals', operation: 'INSERT', data: { id: upper, q: 3 } }] }]);
  const taken = scripted({ storage });
  assert.equal((await taken.client.table('meals').get(lower)).q, 3, 'queued by an earlier release');
});

test('a refused edit is kept, counted, retried or discarded; its promise tells', async () => {
  const storage = memoryStorage();
  const script = scripted({ storage }, (path, body) => page({ results: rejecting(body) }));
  const counts = [];
  script.client.refused.subscribe((refused) => counts.push(refused.length));
  const inserting = script.client.table('meals').insert({ q: -5 });
  const { id } = await inserting;
  await script.client.performSync();
  const verdict = await inserting.settled;
  assert.deepEqual([verdict.status, verdict.errors[0].field], ['rejected', 'q']);
  assert.deepEqual([script.client.status.value.refused, script.client.pending.value, (await script.client.table('meals').all()).length], [1, 0, 0]);
  const [refused] = script.client.refused.list();
  assert.deepEqual([refused.table, refused.operation, refused.data, refused.errors[0].code], ['meals', 'INSERT', { id, q: -5 }, 'out_of_range']);

  const later = scripted({ storage }, (path, body) => page({ results: applied(body, 2) }));
  await later.client.table('meals').all();
  assert.deepEqual([later.client.refused.value.length, later.client.status.value.refused], [1, 1], 'after a restart as well');
  const again = later.client.refused.retry(refused.mutation_id, { q: 5 });
  assert.deepEqual(await again, { id, q: 5, _pending: true });
  await later.client.performSync();
  assert.equal((await again.settled).status, 'applied');
  assert.notEqual(later.asked[0].body.changes[0].mutation_id, refused.mutation_id);
  assert.equal(later.client.refused.value.length, 0);
  await assert.rejects(later.client.refused.retry('none'), /no such/);

  later.answer = (path, body) => page({ results: rejecting(body) });
  await later.client.table('meals').insert({ q: -6 });
  await later.client.table('meals').insert({ q: -7 });
  await later.client.performSync();
  assert.equal(later.client.status.value.refused, 2);
  await later.client.refused.discard(later.client.refused.list()[0].mutation_id);
  assert.deepEqual(later.client.refused.list().map(({ data }) => data.q), [-7]);
  await later.client.refused.discard();
  assert.deepEqual([later.client.refused.value, later.client.status.value.refused], [[], 0]);
  assert.deepEqual(counts.slice(-1), [1]);
});

test('an edit that the table’s schema refuses is refused at once, once the schema is known', async () => {
  const schema = { type: 'object', additionalProperties: false, required: ['id', 'q', 'at'], properties: {
    id: { type: 'string', format: 'uuid' }, _version: { type: 'integer', readOnly: true }, updated_at: { type: 'string', format: 'date-time' },
    q: { type: 'number', exclusiveMinimum: 0, maximum: 10 }, n: { type: ['integer', 'null'], minimum: 1 }, at: { type: 'string', format: 'date-time' },
    unit: { type: 'string', minLength: 1, maxLength: 2, default: 'g' }, kind: { type: ['string', 'null'], enum: ['a', 'b', null] }, tags: { type: 'array' },
  } };
  const script = scripted({}, (path, body) => (path === '/tables/meals/schema' ? schema
    : path === '/tables/nope/schema' ? problem(404, { type: '/problems/not-found' }) : page({ results: applied(body) })));
  const [meals, nope] = ['meals', 'nope'].map((name) => script.client.table(name));
  await script.live();
  await script.clock.forward(1000);
  await script.clock.forward(1000);
  const id = '0f0f0f0f-1111-4aaa-8bbb-cccccccccccc';
  const good = { id, q: 1, at: '2025-05-01T12:00:00Z', n: null, unit: 'g', kind: 'a', tags: [], updated_at: 'as it came', _version: 3 };
  await meals.insert(good);
  await meals.update(id, { q: 2.5, unit: null });
  await meals.delete(id);
  await settled();
  const asked = script.asked.length;
  for (const [bad, field, code] of [
    [{ q: -5 }, 'q', 'out_of_range'], [{ q: 0 }, 'q', 'out_of_range'], [{ q: 11 }, 'q', 'out_of_range'], [{ q: '5' }, 'q', 'wrong_type'], [{ q: null }, 'q', 'wrong_type'],
    [{ n: 1.5 }, 'n', 'wrong_type'], [{ n: 0 }, 'n', 'out_of_range'], [{ at: 'noon' }, 'at', 'invalid_format'], [{ unit: 'gram' }, 'unit', 'length'], [{ unit: '' }, 'unit', 'length'],
    [{ kind: 'c' }, 'kind', 'not_allowed'], [{ tags: {} }, 'tags', 'wrong_type'], [{ more: 1 }, 'more', 'unknown_field'], [{ _own: 1 }, '_own', 'unknown_field'],
  ]) {
    await assert.rejects(meals.insert({ ...good, ...bad }), ({ errors }) => errors[0].field === field && errors[0].code === code, JSON.stringify(bad));
  }
  const update = meals.update(id, { q: -5 });
  await assert.rejects(update, /must be greater than 0/);
  assert.equal((await update.settled).errors[0].code, 'out_of_range');
  await assert.rejects(meals.insert({ id, at: good.at }), ({ errors }) => errors[0].code === 'required');
  await assert.rejects(nope.insert({ id }), ({ errors }) => errors[0].code === 'unknown_table');
  assert.deepEqual([script.client.pending.value, script.asked.length], [0, asked]);
});

test('an edit’s verdict comes for each call, however the edits fold', async () => {
  const script = scripted({}, (path, body) => page({ results: applied(body, 4) }));
  const meals = script.client.table('meals');
  const [insert, update] = [meals.insert({ id: 'a', q: 1 }), meals.update('a', { q: 2 })];
  const [came, went] = [meals.insert({ id: 'b', q: 1 }), meals.delete('b')];
  assert.deepEqual((await Promise.all([came.settled, went.settled])).map(({ status }) => status), ['withdrawn', 'withdrawn']);
  await Promise.all([insert, update]);
  await script.client.performSync();
  assert.deepEqual((await Promise.all([insert.settled, update.settled])).map(({ status }) => status), ['applied', 'applied']);
  const forgotten = meals.update('a', { q: 3 });
  await forgotten;
  await script.client.forget();
  assert.equal((await forgotten.settled).status, 'withdrawn');
});

test('what the server can’t take now is kept, and sent again later', async () => {
  let error = { field: 'at', code: 'in_future', message: 'set the clock' };
  const script = scripted({}, (path, body) => page({ results: error ? rejecting(body, [error]) : applied(body, 2) }));
  await script.live();
  const inserting = script.client.table('meals').insert({ q: 1 });
  await inserting;
  await settled();
  assert.deepEqual([script.client.pending.value, script.client.status.value.state, script.client.refused.value.length], [1, 'live', 0]);
  const asked = script.asked.length;
  await settled();
  assert.equal(script.asked.length, asked, 'not at once');
  error = null;
  await script.clock.forward(30_000);
  script.socket().hear({ type: 'pong' });
  await script.clock.forward(30_000);
  await settled();
  assert.equal((await inserting.settled).status, 'applied');
  const ids = script.asked.flatMap(({ body }) => (body?.changes ?? []).map(({ mutation_id }) => mutation_id));
  assert.equal(new Set(ids).size, 2, 'under a new id, since a verdict is final');
});

test('a token function that hands out what it has is not asked again and again', async () => {
  let asked = 0;
  let seconds = 70;
  const script = scripted({ token: () => (asked++, jwt({ sub: 'u', exp: 1_750_000_000 + seconds })) });
  await script.live();
  await script.clock.forward(11_000);
  for (let calls = 0; calls < 50; calls++) await script.client.getSyncStatus();
  script.socket().hear({ type: 'token_expiring' });
  await settled();
  for (let second = 0; second < 50; second++) {
    await script.clock.forward(1000);
    script.socket().hear({ type: 'pong' });
  }
  assert.ok(asked <= 8, `asked ${asked} times`);
  assert.deepEqual(script.socket().sent.filter(({ type }) => type === 'auth'), [], 'the token at hand renews nothing');
  seconds = 3600;
  await script.clock.forward(6000);
  assert.equal(script.socket().sent.at(-1).type, 'auth');
});

test('a token that was refused is not tried again at once', async () => {
  let asked = 0;
  const script = scripted({ token: () => (asked++, 'the same') }, () => problem(401, { detail: 'expired' }));
  await script.client.connect();
  assert.deepEqual([script.client.status.value.state, script.asked.length], ['waiting', 1]);
  assert.ok(asked <= 3);
});

test('Retry-After holds for every request', async () => {
  const script = scripted({}, () => problem(429, { detail: 'slow down' }, { 'retry-after': '20' }));
  await assert.rejects(script.client.performSync(), /slow down/);
  await assert.rejects(script.client.performSync(), /left alone/);
  await assert.rejects(script.client.resolve('c', 'server'), /left alone/);
  assert.equal(script.asked.length, 1);
  script.answer = (path, body) => page({ results: applied(body) });
  await script.clock.forward(20_000);
  await script.client.performSync();
  script.answer = () => problem(503, {}, { 'retry-after': new Date(script.clock.now + 5000).toUTCString() });
  await assert.rejects(script.client.performSync());
  await script.clock.forward(3000);
  await assert.rejects(script.client.performSync(), /left alone/);
});

test('an answer that is not the server’s is not believed, whatever it looks like', async () => {
  const html = '<!doctype html><h1>Sign in to this network</h1>';
  for (const body of [html, '{}', '[]', '"ok"', 'null', '']) {
    const script = scripted({}, () => new Response(body, { status: 200, headers: { 'content-type': 'text/html' } }));
    await script.client.table('meals').insert({ q: 1 });
    assert.equal(await script.client.connect(), false);
    assert.deepEqual([script.client.status.value.state, script.client.pending.value], ['waiting', 1]);
    assert.match(script.client.status.value.why, /on the way/);
  }
  for (const status of [401, 403, 404, 500]) {
    const script = scripted({}, () => new Response(html, { status }));
    await script.client.connect();
    assert.equal(script.client.status.value.state, 'waiting', `${status} of a proxy`);
  }
});

test('what something on the way refuses is found among the edits, and the others pass', async () => {
  const script = scripted({}, (path, body) =>
    body.changes.some(({ data }) => /drop table/i.test(data.note)) ? new Response('<h1>403</h1>', { status: 403 }) : page({ results: applied(body) }));
  const meals = script.client.table('meals');
  for (let at = 0; at < 20; at++) await meals.insert({ note: at === 7 ? 'Drop table 5 at the café' : `note ${at}` });
  await script.live();
  assert.deepEqual([script.client.pending.value, script.client.status.value.state], [0, 'live']);
  assert.deepEqual(script.client.refused.list().map(({ data }) => data.note), ['Drop table 5 at the café']);
});

test('a way that refuses everything refuses no edit', async () => {
  const script = scripted({}, () => new Response('<h1>403</h1>', { status: 403 }));
  for (let at = 0; at < 20; at++) await script.client.table('meals').insert({ at });
  await script.client.connect();
  assert.deepEqual([script.client.status.value.state, script.client.pending.value, script.client.refused.value.length, script.asked.length], ['waiting', 20, 0, 2]);
});

test('fetch that never answers, not even when it is called off, is given up', async () => {
  const script = scripted({}, () => new Promise(() => {}));
  const syncing = script.client.performSync();
  await settled();
  await script.clock.forward(60_000);
  await assert.rejects(syncing, /in time/);
  const hanging = script.client.performSync();
  await settled();
  await script.client.forget();
  await assert.rejects(hanging);
});

test('a storage of the app’s own that never answers keeps nothing waiting', async () => {
  const inner = memoryStorage();
  const hangs = { load: false, commit: false };
  const storage = { ...inner, load: () => (hangs.load ? new Promise(() => {}) : inner.load()), commit: (patches) => (hangs.commit ? new Promise(() => {}) : inner.commit(patches)) };
  const script = scripted({ storage });
  await script.client.table('meals').all();
  hangs.commit = true;
  const inserting = script.client.table('meals').insert({ q: 1 });
  await settled();
  await script.clock.forward(10_000);
  assert.equal((await inserting)._stored, false);
  assert.equal((await script.client.table('meals').insert({ q: 2 }))._stored, false, 'the next at once');
  hangs.load = true;
  const other = scripted({ storage });
  const reading = other.client.table('meals').all();
  await settled();
  await other.clock.forward(60_000);
  assert.deepEqual(await reading, []);
});

test('a storage that could not be read at first is joined with what was made meanwhile', async () => {
  const inner = memoryStorage();
  await scripted({ storage: inner, deviceId: undefined }).client.table('meals').insert({ id: 'before', q: 1 });
  const { meta: { deviceId } } = await inner.load();
  let broken = true;
  const script = scripted({ storage: { ...inner, load: () => (broken ? Promise.reject(new Error('busy')) : inner.load()) }, deviceId: undefined });
  assert.equal((await script.client.table('meals').insert({ id: 'meanwhile', q: 2 }))._stored, false);
  broken = false;
  await script.clock.forward(5000);
  assert.deepEqual((await script.client.table('meals').all()).map(({ id }) => id).sort(), ['before', 'meanwhile']);
  assert.deepEqual((await inner.load()).queue.map(({ data }) => data.id).sort(), ['before', 'meanwhile']);
  assert.deepEqual([script.client.deviceId, script.client.status.value.stored], [deviceId, true]);
});

test('nothing that runs after forget claims the copy', async () => {
  const storage = memoryStorage();
  let give;
  const script = scripted({ storage, token: () => new Promise((resolve) => (give = () => resolve(jwt({ sub: 'one' })))) });
  const connecting = script.client.connect().catch(() => {});
  await settled();
  const forgetting = script.client.forget();
  give();
  await Promise.all([connecting, forgetting]);
  const one = jwt({ sub: 'one' });
  script.client.disconnect();
  script.client.setToken(one);
  script.nudge();
  script.client.table('meals').subscribe(null, () => {});
  await script.client.table('meals').all();
  script.client.disconnect();
  await settled();
  assert.equal((await storage.load()).meta.user, undefined);
  const next = scripted({ storage, token: jwt({ sub: 'two' }) });
  await next.live();
  assert.equal((await storage.load()).meta.user, 'two');
});

test('an answer that comes after forget leaves nothing behind', async () => {
  const storage = memoryStorage();
  let give;
  const script = scripted({ storage, token: jwt({ sub: 'one' }) }, (path) => (path === '/conflicts' ? new Promise((resolve) => (give = resolve)) : page()));
  const asking = script.client.conflicts();
  await settled();
  await script.client.forget();
  give({ conflicts: [{ conflict_id: 'c', table: 'meals' }] });
  await asking.catch(() => {});
  await settled();
  assert.deepEqual((await storage.load()).meta.conflicts ?? [], []);
});

test('a failure that nobody listens to does not end a process', () => {
  const code = `import { RyzeRealtimeClient } from ${JSON.stringify(fileURLToPath(new URL('../src/index.js', import.meta.url)))};
    const client = new RyzeRealtimeClient('http://127.0.0.1:9', { platform: { WebSocket: class {} } });
    client.connect(); client.performSync(); client.resolve('x', 'server'); client.table('meals').update('a', { q: NaN }); client.devices();
    setTimeout(() => { client.disconnect(); console.log('alive'); process.exit(0); }, 300);`;
  assert.equal(execFileSync(process.execPath, ['--input-type=module', '-e', code], { encoding: 'utf8' }).trim(), 'alive');
});

test('a query says whether the copy was ever synced', async () => {
  const script = scripted();
  const told = [];
  script.client.table('meals').subscribe(null, (rows, { isReady, isStale }) => told.push([rows.length, isReady, isStale]));
  await settled();
  await script.live();
  await script.client.table('meals').insert({ q: 1 });
  assert.deepEqual(told, [[0, false, true], [0, true, true], [1, true, false]]);
});

test('a device too many is offered the others', async () => {
  const devices = [{ device_id: 'old', last_seen: 't' }];
  let isFull = true;
  const script = scripted({}, (path, body) => {
    if (path === '/devices') return devices;
    if (path === '/devices/old') return (isFull = false) || new Response(null, { status: 204 });
    if (path === '/devices/phone') return new Response(null, { status: 204 });
    return isFull ? problem(409, { type: '/problems/limit-reached', detail: 'too many devices' }) : page({ results: applied(body) });
  });
  const told = [];
  script.client.on('too_many_devices', (what) => told.push(what));
  await assert.rejects(script.client.connect(), /too many/);
  assert.deepEqual(told, [{ devices }]);
  await script.client.revoke('old');
  await settled();
  assert.equal(script.client.status.value.state, 'opening');
  assert.deepEqual(script.asked.slice(-2).map(({ path, method }) => [path, method]), [['/devices/old', 'DELETE'], ['/sync', 'POST']]);
  await script.client.rename('phone', 'Mine');
  assert.deepEqual([script.asked.at(-1).method, script.asked.at(-1).body], ['PATCH', { name: 'Mine' }]);
});

test('a deletion with 3,000 children is shown once, not in pieces', async () => {
  const rows = Array.from({ length: 3000 }, (_, at) => ({ id: `child ${at}`, _version: at + 1 }));
  const script = scripted({}, () => page({ changes: { sets: rows }, cursor: { epoch: 'e', user: 3000, global: 1 } }));
  await script.live();
  const told = [];
  script.client.table('sets').subscribe(null, (shown) => told.push(shown.length));
  await settled();
  for (let at = 0; at < 3000; at++) {
    script.socket().hear({ type: 'data_updated', table: 'sets', operation: 'DELETE', scope: 'user:u', version: 3001 + at, data: { id: `child ${at}` } });
    if (at % 20 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(told.at(-1), 0);
  assert.ok(told.length <= 5, `${told.length} callbacks: ${told}`);
});
