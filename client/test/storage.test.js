// All storages keep the same promise: what was committed comes back, whole.

import 'fake-indexeddb/auto';
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { indexedDbStorage, memoryStorage } from '../src/index.js';
import { keyValueStorage } from '../src/storage/key-value.js';
import { KeyValueStore } from '../test-support/key-value.js';
import { edit, keepsItsPromise } from '../test-support/storages.js';

let count = 0;
const memory = memoryStorage();
const kinds = {
  memory: () => ({ storage: memory, again: () => memory }),
  indexedDb: () => {
    const name = `test ${++count}`;
    return { storage: indexedDbStorage(name), again: () => indexedDbStorage(name) };
  },
  keyValue: () => {
    const store = new KeyValueStore();
    return { storage: keyValueStorage(store, 'copy'), again: () => keyValueStorage(store, 'copy') };
  },
};

Object.entries(kinds).forEach(([kind, make]) => keepsItsPromise(kind, make));

test('indexedDb: a large download is one transaction', async () => {
  const storage = indexedDbStorage('large');
  await storage.load();
  const rows = Array.from({ length: 1700 }, (_, at) => ['meals', `${at}`, { id: `${at}` }]);
  await storage.commit([{ rows, cursor: { user: 1700 } }]);
  const kept = await indexedDbStorage('large').load();
  assert.deepEqual([kept.rows.length, kept.cursor], [1700, { user: 1700 }]);
  const bad = ['meals', 'bad', { id: 'bad', bad: () => {} }];
  await assert.rejects(storage.commit([{ clear: true, rows: [...rows.slice(0, 1200), bad], cursor: { user: 1 } }]));
  const after = await indexedDbStorage('large').load();
  assert.deepEqual([after.rows.length, after.cursor], [1700, { user: 1700 }]);
});

test('indexedDb: a transaction that fails leaves nothing of itself', async () => {
  const storage = indexedDbStorage('fails');
  await storage.load();
  await storage.commit([{ cursor: { user: 1 }, queue: [edit('1')] }]);
  await assert.rejects(storage.commit([{ cursor: { user: 2 }, queue: [], rows: [['meals', 'b', { id: 'b' }], ['meals', 'a', { id: 'a', bad: () => {} }]] }]));
  const kept = await indexedDbStorage('fails').load();
  assert.deepEqual([kept.cursor, kept.queue.length, kept.rows], [{ user: 1 }, 1, []]);
  await storage.commit([{ queue: [] }]);
  assert.deepEqual((await indexedDbStorage('fails').load()).queue, []);
});

test('keyValue: whichever write fails or comes last, what is loaded once was whole', async () => {
  const row = (at) => ['meals', `${at}`, { id: `${at}`, text: '🥕'.repeat(100_000) }];
  for (let left = 0; left < 12; left++) {
    const store = new KeyValueStore();
    const storage = keyValueStorage(store, 'copy');
    await storage.load();
    await storage.commit([{ rows: [row(1)], cursor: { user: 1 } }]);
    store.writesLeft = left;
    await storage.commit([{ rows: [row(2), row(3), row(4)], cursor: { user: 4 } }]).catch(() => {});
    const killed = await keyValueStorage(store, 'copy').load();
    assert.ok(killed.cursor.user === killed.rows.length, `${left} writes: ${killed.rows.length} rows at ${killed.cursor.user}`);
    assert.ok(killed.rows.every(([, { text }]) => text === row(0)[2].text));
    store.writesLeft = Infinity;
    await storage.commit([{ rows: [row(2), row(3), row(4)], cursor: { user: 4 } }]);
    const after = await keyValueStorage(store, 'copy').load();
    assert.deepEqual([after.rows.length, after.cursor.user], [4, 4]);
  }
});

test('keyValue: what is stored grows with the copy, not with what happened', async () => {
  const store = new KeyValueStore();
  store.entries.set('the app’s own', 'x');
  const storage = keyValueStorage(store, 'copy');
  await storage.load();
  for (let at = 0; at < 1000; at++) await storage.commit([{ rows: [['meals', 'a', { id: 'a', at }]], cursor: { user: at } }]);
  assert.ok(store.entries.size < 120, `${store.entries.size} entries`);
  const kept = await keyValueStorage(store, 'copy').load();
  assert.deepEqual([kept.rows, kept.cursor], [[['meals', { id: 'a', at: 999 }]], { user: 999 }]);
  await storage.clear();
  assert.deepEqual([...store.entries.keys()], ['the app’s own']);
});

test('IndexedDB keeps the edits of two tabs apart that know nothing of each other', async () => {
  const [one, other] = [indexedDbStorage('two tabs'), indexedDbStorage('two tabs')];
  await one.commit([{ queue: [edit('first')] }]);
  await Promise.all([one.load(), other.load()]);
  await one.commit([{ queue: [edit('first'), edit('of one')] }]);
  await other.commit([{ queue: [edit('first'), edit('of the other'), edit('also')] }]);
  const ids = (await indexedDbStorage('two tabs').load()).queue.map(({ mutation_id }) => mutation_id);
  assert.deepEqual([ids[0], ids.at(-1), [...ids].sort()], ['first', 'also', ['also', 'first', 'of one', 'of the other']]);
  await other.commit([{ queue: [] }]);
  assert.deepEqual((await indexedDbStorage('two tabs').load()).queue.map(({ mutation_id }) => mutation_id), ['of one']);
});
