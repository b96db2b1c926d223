// Copies in SQLite: a file of Node.js, and a phone's database. Needs a Node.js that has SQLite (22.13).

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { RyzeRealtimeClient } from '../src/index.js';
import { expoStorage, opStorage } from '../src/storage/expo.js';
import { sqliteStorage } from '../src/storage/node.js';
import { expoSqlite, opSqlite } from '../test-support/phone-sqlite.js';
import { blocks } from '../test-support/example.js';
import { edit, keepsItsPromise } from '../test-support/storages.js';

const PATIENCE_MS = 20_000;
const folder = mkdtempSync(join(tmpdir(), 'ryzed-sqlite-'));
let count = 0;
const file = () => join(folder, `${++count}.db`);
after(() => rmSync(folder, { recursive: true, force: true }));

async function until(holds, what) {
  const since = Date.now();
  while (!(await holds())) {
    if (Date.now() - since > PATIENCE_MS) assert.fail(`not within ${PATIENCE_MS} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** A look by another process, as it were. */
const looked = async (storage, name) => {
  storage.close();
  const other = sqliteStorage(name);
  const kept = await other.load();
  other.close();
  return kept;
};
const kinds = {
  node: (name) => {
    const storage = sqliteStorage(name);
    return { storage, again: () => ({ load: () => looked(storage, name) }) };
  },
  expo: (name) => ({ storage: expoStorage(expoSqlite(() => name)), again: () => expoStorage(expoSqlite(() => name)) }),
  op: (name) => ({ storage: opStorage(opSqlite(() => name)), again: () => opStorage(opSqlite(() => name)) }),
};

for (const [kind, make] of Object.entries(kinds)) {
  keepsItsPromise(kind, () => make(file()));

  test(`${kind}: whatever a text holds, and many rows in one go`, async () => {
    const { storage, again } = make(file());
    await storage.load(true);
    const odd = { id: 'odd', text: '🥕 \u0000 "quoted" \\ \u2028', list: [1.5, -0, null, 1e300], deep: { a: [{ b: true }] } };
    const rows = Array.from({ length: 1700 }, (_, at) => ['meals', `${at}`, { id: `${at}` }]);
    const queue = Array.from({ length: 1200 }, (_, at) => edit(`e${at}`));
    await storage.commit([{ rows: [...rows, ['meals', 'odd', odd], ['meals', '3', null], ['meals', '4', null], ['meals', '4', { id: '4', is: 'back' }]], queue }]);
    await storage.commit([{ queue: [...queue.slice(600), edit('last')] }]);
    const kept = await again().load();
    assert.equal(kept.rows.length, 1700);
    assert.deepEqual(kept.rows.find(([, { id }]) => id === 'odd')[1], JSON.parse(JSON.stringify(odd)));
    assert.deepEqual(kept.rows.find(([, { id }]) => id === '4')[1], { id: '4', is: 'back' });
    assert.deepEqual(kept.queue.map(({ mutation_id }) => mutation_id), [...queue.slice(600).map(({ mutation_id }) => mutation_id), 'last']);
  });
}

test('expo: whichever write fails, what is loaded once was whole, and it goes on', async () => {
  for (let left = 0; left < 8; left++) {
    const name = file();
    const phone = expoSqlite(() => name);
    const storage = expoStorage(phone);
    await storage.load(true);
    await storage.commit([{ rows: [['meals', '1', { id: '1' }]], cursor: { user: 1 }, queue: [edit('a'), edit('b')] }]);
    phone.writesLeft = left;
    const more = [{ rows: [['meals', '2', { id: '2' }], ['meals', '3', { id: '3' }]], cursor: { user: 3 }, queue: [edit('b'), edit('c')] }];
    const isStored = await storage.commit(more).then(() => true, () => false);
    const killed = await expoStorage(expoSqlite(() => name)).load();
    assert.deepEqual([killed.rows.length, killed.cursor.user, killed.queue.map(({ mutation_id }) => mutation_id).join()], isStored ? [3, 3, 'b,c'] : [1, 1, 'a,b']);
    phone.writesLeft = Infinity;
    await storage.commit(more);
    const after = await expoStorage(expoSqlite(() => name)).load();
    assert.deepEqual([after.rows.length, after.queue.map(({ mutation_id }) => mutation_id)], [3, ['b', 'c']]);
  }
});

for (const kind of ['expo', 'op']) {
  test(`${kind}: the newest start of the app writes, an older one is told`, async () => {
    const { storage: older, again } = kinds[kind](file());
    await older.load(true);
    await older.commit([{ cursor: { user: 1 } }]);
    const newer = again();
    await newer.load(true);
    await assert.rejects(older.commit([{ cursor: { user: 2 } }]), /Another part of the app/);
    await newer.commit([{ cursor: { user: 3 } }]);
    assert.deepEqual((await again().load()).cursor, { user: 3 });
  });
}

test('node: a process killed at any moment leaves what it said to be stored, whole', async () => {
  const name = file();
  let said = 0;
  for (let turn = 0; turn < 4; turn++) {
    const process_ = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', fileURLToPath(new URL('../test-support/writes.js', import.meta.url)), name], { stdio: ['ignore', 'pipe', 'inherit'] });
    const least = said + 5 + turn * 7;
    process_.stdout.on('data', (data) => {
      said = Number(String(data).trim().split('\n').at(-1)) || said;
      if (said >= least) process_.kill('SIGKILL');
    });
    await new Promise((resolve) => process_.on('close', resolve));
    const storage = sqliteStorage(name);
    const { rows, cursor, queue } = await storage.load();
    storage.close();
    assert.ok(rows.length >= said, `${rows.length} of ${said}`);
    assert.deepEqual([cursor, queue.map(({ mutation_id }) => mutation_id)], [{ user: rows.length }, [`${rows.length}`]]);
  }
});

test('node: a second process works in memory, is told, and takes over once the first has ended', async () => {
  const name = file();
  const first = sqliteStorage(name);
  await first.load(true);
  await first.commit([{ rows: [['meals', 'a', { id: 'a' }]], meta: { deviceId: 'first' } }]);
  assert.equal(statSync(name).mode & 0o777, 0o600);
  await assert.rejects(sqliteStorage(name).load(true), /Another process uses .*db\. Give this one a file of its own/);
  const told = [];
  const second = new RyzeRealtimeClient('http://nowhere', { storage: sqliteStorage(name) });
  second.on('error', ({ code, message }) => told.push(`${code} ${message}`));
  const row = await second.table('meals').insert({ size: 1 });
  assert.deepEqual([row._stored, second.status.value.stored], [false, false]);
  assert.match(told[0], /^storage Only in memory now: Another process uses/);
  first.close();
  await until(() => second.status.value.stored, 'it takes over');
  assert.deepEqual((await second.table('meals').all()).map(({ id }) => id).sort(), ['a', row.id].sort());
  assert.equal(second.deviceId, 'first');
});

for (const [kind, make] of Object.entries(kinds)) {
  test(`${kind}: an app goes on where it was`, async () => {
    const name = file();
    const { storage } = make(name);
    const before = new RyzeRealtimeClient('http://nowhere', { storage });
    const { id } = await before.table('meals').insert({ size: 1 });
    await before.table('meals').update(id, { size: 2 });
    storage.close?.();
    const after = new RyzeRealtimeClient('http://nowhere', { storage: make(name).storage });
    assert.deepEqual([(await after.table('meals').get(id)).size, after.pending.value, after.deviceId], [2, 1, before.deviceId]);
    await after.forget();
    assert.equal((await after.table('meals').all()).length, 0);
  });
}

test('the examples of the README do what they say', async () => {
  const AsyncFunction = (async () => {}).constructor;
  const [ofNode] = blocks('Node.js');
  const logged = [];
  const given = {
    RyzeRealtimeClient, url: 'http://nowhere', token: 'token', sqliteStorage: (name) => sqliteStorage(join(folder, name)), expoStorage, SQLite: expoSqlite(() => file()),
    console: { log: (...told) => logged.push(told.join(' ')) },
  };
  const run = (text) => new AsyncFunction(...Object.keys(given), text.replace(/^import .*$|^export (const start)/gm, '$1'))(...Object.values(given));
  await run(ofNode);
  assert.deepEqual(logged, [...ofNode.matchAll(/^\/\/> (.*)$/gm)].map(([, line]) => line));
  const onPhone = await run(`${blocks('Expo and React Native')[0]}; return start();`);
  assert.equal((await onPhone.table('food_entries').insert({ quantity: 1 }))._stored, undefined);
});
