// The promise that every storage keeps.

import assert from 'node:assert/strict';
import { test } from 'node:test';

export const edit = (mutation_id) => ({ mutation_id, table: 'meals', operation: 'INSERT', data: { id: mutation_id } });

/** @param {string} kind @param {() => {storage: any, again: () => any}} make `again` is the same storage at the next start */
export function keepsItsPromise(kind, make) {
  test(`${kind}: rows, queue, cursor and the rest come back`, async () => {
    const { storage, again } = make();
    await storage.load();
    const [one, two, three] = [edit('1'), edit('2'), edit('3')];
    await storage.commit([
      { rows: [['meals', 'a', { id: 'a', q: 1 }], ['meals', 'b', { id: 'b' }], ['meals2', 'c', { id: 'c' }]], cursor: { epoch: 'e', user: 1 } },
      { queue: [one, two, three], meta: { deviceId: 'phone' } },
    ]);
    await storage.commit([{ rows: [['meals', 'b', null]], queue: [{ ...one, sent: true }, three] }]);
    const kept = await again().load();
    assert.deepEqual(kept.rows.map(([table, { id }]) => [table, id]).sort(), [['meals', 'a'], ['meals2', 'c']]);
    assert.deepEqual(kept.queue, [{ ...one, sent: true }, three]);
    assert.deepEqual([kept.cursor, kept.meta], [{ epoch: 'e', user: 1 }, { deviceId: 'phone' }]);
    await storage.commit([{ clear: ['meals'], rows: [['meals', 'd', { id: 'd' }]] }]);
    assert.deepEqual((await again().load()).rows.map(([, { id }]) => id).sort(), ['c', 'd']);
    await storage.commit([{ clear: true, cursor: null }]);
    assert.deepEqual((await again().load()).rows, []);
    await storage.clear();
    assert.deepEqual((await again().load()).queue, []);
  });
}
