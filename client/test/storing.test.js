// The client on a storage that is slow or fails.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { memoryStorage } from '../src/index.js';
import { page, scripted, settled } from '../test-support/scripted.js';

/** A storage that fails while `broken`, and what it holds. */
function fragile() {
  const inner = memoryStorage();
  const disk = { broken: false, inner, storage: { ...inner, commit: async (patches) => {
    if (disk.broken) throw new Error('disk full');
    return inner.commit(patches);
  } } };
  return disk;
}

test('storage that fails is reported and retried whole; the app goes on in memory', async () => {
  const disk = fragile();
  const script = scripted({ storage: disk.storage });
  const faults = [];
  script.client.on('error', ({ code }) => faults.push(code));
  await script.client.table('meals').all();
  disk.broken = true;
  assert.equal((await script.client.table('meals').insert({ q: 1 }))._stored, false);
  assert.equal((await script.client.table('meals').all()).length, 1);
  assert.equal(script.client.status.value.stored, false);
  disk.broken = false;
  await script.client.table('meals').insert({ q: 2 });
  assert.equal((await disk.inner.load()).queue.length, 2);
  assert.deepEqual(faults, ['storage']);
});

test('with a storage that fails the line goes on, and nothing is left out once it works again', async () => {
  const disk = fragile();
  const script = scripted({ storage: disk.storage });
  await script.live();
  const hear = (version) => script.socket().hear({ type: 'data_updated', table: 'meals', operation: 'INSERT', scope: 'user:u', version, data: { id: `row ${version}` } });
  disk.broken = true;
  hear(2);
  await settled();
  assert.equal((await script.client.table('meals').insert({ q: 1 }))._stored, false);
  await settled();
  assert.deepEqual([script.client.status.value.state, script.client.pending.value], ['live', 0]);
  disk.broken = false;
  hear(3);
  await settled();
  const { rows, cursor } = await disk.inner.load();
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

test('a storage that fails for long is caught up with in one piece', async () => {
  const inner = memoryStorage();
  let broken = false;
  let patches = 0;
  const storage = { ...inner, commit: async (given) => {
    if (broken) throw new Error('disk full');
    patches = Math.max(patches, given.length);
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
  // The whole copy, which failed too, and what came since.
  assert.ok(patches < 250, `${patches} patches`);
  assert.deepEqual([rows.length >= 1198, cursor.user >= 1], [true, true]);
});
