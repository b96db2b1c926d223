// Tables that stay in storage: what is asked of them is answered as of a table that is loaded whole.

import 'fake-indexeddb/auto';
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { prepare } from '../src/lazy.js';
import { indexedDbStorage } from '../src/index.js';
import '../src/lazy.js';
import { answersAsWhole, dice, food, foods, point, Server, waitFor } from '../test-support/lazy.js';
import { applied, page, scripted, settled } from '../test-support/scripted.js';

let names = 0;
answersAsWhole('IndexedDB', () => indexedDbStorage(`lazy ${++names}`));

/** What is kept beside the rows, in the database. */
const keptIn = (name) => new Promise((resolve) => {
  indexedDB.open(name).onsuccess = ({ target: { result: database } }) => {
    database.transaction('state').objectStore('state').get('lazy').onsuccess = ({ target: { result } }) => (database.close(), resolve(result));
  };
});
const held = async (name) => Object.fromEntries((await indexedDbStorage(name).load()).rows.filter(([table]) => table === 'points').map(([, row]) => [row.id, row]));

test('a table becomes lazy, and whole again, and what is beside its rows stays right, also when a release wrote that knows nothing of it', async () => {
  const roll = dice(99);
  const server = new Server();
  const name = `lazy ${++names}`;
  const start = (tables) => scripted({ storage: indexedDbStorage(name), tables }, server.answer);
  for (let at = 0; at < 600; at++) server.put('points', point(at, roll));
  const spec = { where: { kind: 'b' }, orderBy: { at: 'desc' }, limit: 7 };
  const answer = async (client) => (await client.table('points').query(spec).get()).map(({ id }) => id);
  const first = start();
  await first.client.performSync();
  const asked = first.asked.length;
  const wanted = await answer(first.client);
  for (const tables of [{ points: 'lazy' }, undefined, { points: 'lazy' }, { points: 'whole' }, ['foods', { points: 'lazy' }]]) {
    const { client } = start(tables);
    assert.deepEqual(await answer(client), wanted);
    await client.diagnose();
    assert.deepEqual(await answer(client), wanted);
  }
  assert.equal(first.asked.length, asked);
  // The sums are the rows', and the index is made.
  const { digestOf } = await import('../src/damage.js');
  const { open } = await import('../src/replica.js');
  const sumsOf = async () => {
    const { sums: { points: { rows, version_sum, p, q } } } = await keptIn(name);
    return { rows, version_sum, hash: [p, q].map((sum) => sum.toString(16).padStart(7, '0')).join('') };
  };
  const whole = async () => digestOf(open({ rows: Object.values(await held(name)).map((row) => ['points', row]), queue: [], cursor: null, meta: {} }), ['points']).points;
  const lazy = start({ points: 'lazy' });
  await answer(lazy.client);
  await lazy.client.diagnose();
  assert.deepEqual(await sumsOf(), await whole());
  for (let step = 0; step < 40; step++) {
    const id = `p${String(roll(640)).padStart(4, '0')}`;
    if (roll(3)) server.put('points', point(Number(id.slice(1)), roll));
    else server.drop(id);
    if (roll(2)) await lazy.client.performSync(!roll(6));
  }
  await lazy.client.performSync();
  assert.deepEqual(await sumsOf(), await whole());
  assert.deepEqual(await answer(lazy.client), (await answer(start().client)));
  // Another release, or a client that loads the table, writes on.
  const old = start();
  for (let at = 0; at < 30; at++) server.put('points', point(at, roll));
  await old.client.performSync();
  const after = start({ points: 'lazy' });
  assert.deepEqual(await answer(after.client), await answer(old.client));
  await after.client.performSync();
  await after.client.diagnose();
  assert.deepEqual(await sumsOf(), await whole());
  assert.deepEqual(await answer(after.client), await answer(old.client));
});

test('a table that stays in storage is repaired when the server’s digest differs, and only then', async () => {
  const server = new Server();
  const name = `lazy ${++names}`;
  for (let at = 0; at < 50; at++) server.put('points', point(at, dice(at + 1)));
  const script = scripted({ storage: indexedDbStorage(name), tables: { points: 'lazy' } }, server.answer);
  await script.client.performSync();
  await script.client.diagnose();
  const whole = () => script.asked.filter(({ path, body }) => path === '/sync' && String(body.tables) === 'points').length;
  const greeted = async (count) => {
    const connecting = script.client.connect();
    await waitFor(() => script.sockets.length === count);
    script.socket().greet();
    await connecting;
  };
  await greeted(1);
  assert.equal(whole(), 0);
  script.client.disconnect();
  // A row gets lost on the server's side of the log.
  server.rows.delete('p0007');
  await greeted(2);
  assert.equal(whole(), 1);
  await waitFor(async () => !(await held(name)).p0007);
  assert.equal(await script.client.table('points').get('p0007'), undefined);
  assert.equal(await script.client.table('points').query({}).count(), 49);
});

test('a client that is used again after forget() knows its lazy tables', async () => {
  let told = 0;
  const storage = { lazy: () => void told++ };
  const options = { tables: { meals: 'lazy' } };
  for (const _ of ['first', 'again']) await prepare(options, storage);
  assert.deepEqual([told, options.tables], [1, []]);
  const wrong = { tables: { meals: 'lasy' } };
  for (const _ of ['first', 'again']) await assert.rejects(prepare(wrong, storage), /lazy or whole/);
});
