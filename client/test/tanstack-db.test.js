// A table as a collection of TanStack DB. Its own suites for collections: scripts/tanstack-suites.js.

import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';
import { test } from 'node:test';
import { createCollection, createLiveQueryCollection, createTransaction, eq } from '@tanstack/db';
import { persist, ryzedCollectionOptions } from '../src/bindings/tanstack-db.js';
import { memoryStorage, RyzeRealtimeClient } from '../src/index.js';
import { page, problem, scripted, settled } from '../test-support/scripted.js';

const start = () => new RyzeRealtimeClient('http://nowhere', { storage: memoryStorage() });
const collection = (client, table = 'meals', more = {}) => createCollection(ryzedCollectionOptions({ client, table, ...more }));
const sizes = (of) => of.toArray.map(({ size }) => size).sort();
const rejecting = ({ changes }) => page({ results: changes.map(({ mutation_id, data, table }) => ({ mutation_id, table, id: data.id, status: 'rejected', errors: [{ field: 'size', code: 'out_of_range', message: 'is too large' }] })) });

test('what the collection writes is the client’s, and what the client has is in the collection', async () => {
  const client = start();
  const rows = client.table('meals');
  await rows.insert({ id: 'a', size: 1 });
  const meals = collection(client);
  await meals.preload();
  assert.deepEqual(sizes(meals), [1]);
  await meals.insert({ id: 'b', size: 2 }).isPersisted.promise;
  await meals.update('a', (draft) => void (draft.size = 5)).isPersisted.promise;
  assert.deepEqual((await rows.all()).map(({ size }) => size).sort(), [2, 5]);
  assert.deepEqual(sizes(meals), [2, 5]);
  await rows.insert({ id: 'c', size: 3 });
  await rows.update('b', { size: 4 });
  await rows.delete('a');
  await pause(1);
  assert.deepEqual(sizes(meals), [3, 4]);
  await meals.delete(['b', 'c']).isPersisted.promise;
  assert.deepEqual([await rows.all(), meals.size], [[], 0]);
});

test('nothing flickers: the row is there from the edit on, and changes once', async () => {
  const client = start();
  const meals = collection(client);
  await meals.preload();
  const seen = [];
  meals.subscribeChanges((changes) => seen.push(...changes.map(({ type, value }) => `${type} ${value.size}`)));
  await meals.insert({ id: 'a', size: 1 }).isPersisted.promise;
  await pause(5);
  assert.ok(seen.every((one) => !one.startsWith('delete')), seen.join());
  assert.equal(seen[0], 'insert 1');
});

test('live queries and joins follow', async () => {
  const client = start();
  await client.table('foods').insert({ id: 'f', name: 'oats' });
  await client.table('meals').insert({ id: 'm', food_id: 'f', size: 1 });
  const [meals, foods] = [collection(client), collection(client, 'foods')];
  const query = createLiveQueryCollection((q) => q.from({ meal: meals }).join({ food: foods }, ({ meal, food }) => eq(meal.food_id, food.id)).select(({ meal, food }) => ({ id: meal.id, size: meal.size, name: food?.name })));
  await query.preload();
  const shown = () => query.toArray.map(({ size, name }) => `${size} ${name}`);
  assert.deepEqual(shown(), ['1 oats']);
  await client.table('foods').update('f', { name: 'porridge' });
  await client.table('meals').update('m', { size: 2 });
  await pause(5);
  assert.deepEqual(shown(), ['2 porridge']);
});

test('what the server refuses goes back, and a transaction may wait for its verdict', async () => {
  const script = scripted({ storage: memoryStorage() }, (path, body) => (path === '/sync' ? rejecting(body) : problem(404)));
  const [stored, judged] = [collection(script.client), collection(script.client, 'meals', { id: 'judged', persistedWhen: 'settled' })];
  await Promise.all([stored.preload(), judged.preload()]);
  await script.live();
  await stored.insert({ id: 'a', size: 9 }).isPersisted.promise;
  await settled();
  assert.deepEqual([stored.size, script.client.refused.value.length], [0, 1]);
  await assert.rejects(judged.insert({ id: 'b', size: 9 }).isPersisted.promise, /size is too large/);
  await settled();
  assert.deepEqual([judged.size, stored.size], [0, 0]);
  script.client.disconnect();
});

test('what can’t be sent is rolled back at once', async () => {
  const meals = collection(start());
  await meals.preload();
  await assert.rejects(meals.insert({ id: 'a', size: NaN }).isPersisted.promise, /can’t be sent/);
  assert.equal(meals.size, 0);
});

test('a transaction over several collections is one set', async () => {
  const client = start();
  const [meals, foods] = [collection(client), collection(client, 'foods')];
  await Promise.all([meals.preload(), foods.preload()]);
  const write = createTransaction({ mutationFn: persist() });
  write.mutate(() => {
    foods.insert({ id: 'f', name: 'oats' });
    meals.insert({ id: 'm', food_id: 'f' });
  });
  await write.isPersisted.promise;
  assert.deepEqual([meals.size, foods.size, client.pending.value], [1, 1, 2]);
  const bad = createTransaction({ mutationFn: persist() });
  bad.mutate(() => {
    foods.insert({ id: 'g', name: 'rye' });
    meals.insert({ id: 'n', size: Infinity });
  });
  await assert.rejects(bad.isPersisted.promise);
  assert.deepEqual([foods.size, (await client.table('foods').all()).length], [1, 1]);
});

test('a collection may be ready only once it was synced; signing out empties it; cleaning up ends it', async () => {
  const script = scripted({ storage: memoryStorage() }, (path) => (path === '/sync' ? page({ changes: { meals: [{ id: 'a', size: 1, _version: 1 }] }, total_changes: 1 }) : problem(404)));
  const meals = collection(script.client, 'meals', { readyWhen: 'synced', startSync: true });
  await settled();
  assert.equal(meals.status, 'loading');
  await script.live();
  assert.deepEqual([meals.status, sizes(meals)], ['ready', [1]]);
  await script.client.forget();
  await settled();
  assert.equal(meals.size, 0);
  await meals.cleanup();
  await script.client.table('meals').insert({ size: 1 });
  await settled();
  assert.equal(meals.status, 'cleaned-up');
});
