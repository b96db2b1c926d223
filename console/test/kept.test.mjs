// What a reload leaves of a device, with a storage of the test's own.

import assert from 'node:assert/strict';
import test, { beforeEach } from 'node:test';

import { Kept } from '../demo/kept.js';
import * as r from '../demo/replica.js';

const storage = (setItem) => {
  const texts = new Map();
  return { getItem: (key) => texts.get(key) ?? null, setItem: setItem ?? ((key, text) => texts.set(key, text)) };
};
beforeEach(() => { globalThis.localStorage = storage(); });

const edit = (mutation_id, id = mutation_id) => ({ mutation_id, table: 'food_entries', operation: 'INSERT', data: { id, quantity: 1 } });
const ids = (copy) => copy.queue.map(({ mutation_id }) => mutation_id);
const cursor = { epoch: 'k3f9', user: 4, global: 7 };
const page = { changes: { food_entries: [{ id: 'a', quantity: 5, _version: 4 }] }, deletions: { food_entries: [{ id: 'b', _version: 3 }] }, cursor };

test('a copy comes back as it was, owing a pull', () => {
  const copy = r.queueEdit(r.applyPages(r.emptyReplica(), [page]), edit('m1'));
  const kept = new Kept('phone/u');
  assert.equal(kept.save(copy), true);
  kept.flush();
  assert.deepEqual(new Kept('phone/u').load(), { ...copy, behind: true });
  assert.deepEqual(new Kept('phone/someone-else').load(), r.emptyReplica());
});

test('the queue is kept at once, and an answered edit leaves it', () => {
  const kept = new Kept('phone/u');
  const copy = r.markSent(r.queueEdit(kept.load(), edit('m1')), [edit('m1')]);
  kept.save(copy);
  assert.deepEqual(new Kept('phone/u').load().queue, copy.queue);
  kept.save(r.settle(copy, { mutation_id: 'm1', status: 'applied', version: 5 }));
  assert.deepEqual(new Kept('phone/u').load().queue, []);
  kept.flush();
});

test('two tabs keep both their edits', () => {
  const [one, two] = [new Kept('phone/u'), new Kept('phone/u')];
  const first = r.queueEdit(one.load(), edit('m1'));
  two.load();
  one.save(first);
  two.save(r.queueEdit(r.emptyReplica(), edit('m2')));
  assert.deepEqual(ids(new Kept('phone/u').load()), ['m1', 'm2']);
  one.save(r.settle(first, { mutation_id: 'm1', status: 'rejected' }));
  assert.deepEqual(ids(new Kept('phone/u').load()), ['m2']);
  [one, two].forEach((kept) => kept.flush());
});

test('a browser that keeps nothing, or nonsense, is no reason to fail', () => {
  globalThis.localStorage = storage(() => { throw new Error('full'); });
  const kept = new Kept('phone/u');
  assert.equal(kept.save(r.queueEdit(kept.load(), edit('m1'))), false);
  kept.flush();
  globalThis.localStorage = { getItem: () => 'no json' };
  assert.deepEqual(new Kept('phone/u').load(), r.emptyReplica());
  assert.deepEqual([kept.isOff, kept.open], [false, []]);
});
