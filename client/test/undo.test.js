// Taking back what was written, sent or not.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { applied, page, scripted, settled } from '../test-support/scripted.js';

/** A server that keeps what it gets. */
function kept() {
  const rows = new Map();
  let version = 1;
  const script = scripted({}, (path, { changes }) => {
    version += 1;
    const deleted = [];
    for (const { operation, data } of changes) {
      if (operation === 'DELETE') deleted.push({ id: data.id, _version: version });
      if (operation === 'DELETE') rows.delete(data.id);
      else rows.set(data.id, { ...rows.get(data.id), ...data, _version: version });
    }
    return page({
      results: applied({ changes }, version), cursor: { epoch: 'e', user: version }, deletions: { meals: deleted },
      changes: { meals: changes.filter(({ operation }) => operation !== 'DELETE').map(({ data }) => rows.get(data.id)) },
    });
  });
  const theirs = () => [...rows.values()].map(({ id, _version, ...fields }) => fields);
  return { script, theirs, meals: script.client.table('meals'), client: script.client };
}
const fieldsOf = async (meals) => (await meals.all()).map(({ id, _version, _pending, ...fields }) => fields);

test('what has not left is taken back, and the server hears of no row that came and went', async () => {
  const { script, theirs, meals, client } = kept();
  const made = meals.insert({ q: 1 });
  client.undo();
  assert.deepEqual([await meals.all(), (await made.settled).status], [[], 'withdrawn']);
  const { id } = await meals.insert({ q: 1, r: 1 });
  await meals.update(id, { q: 2 });
  await client.undo();
  assert.deepEqual(await fieldsOf(meals), [{ q: 1, r: 1 }]);
  await script.live();
  const deleted = meals.delete(id);
  client.disconnect();
  await deleted;
  await settled();
  assert.deepEqual(await client.undo().then(() => fieldsOf(meals)), [{ q: 1, r: 1 }]);
  assert.deepEqual(theirs(), [{ q: 1, r: 1 }]);
});

test('what was sent is taken back by another edit, one after the other', async () => {
  const { script, theirs, meals, client } = kept();
  await script.live();
  const { id } = await meals.insert({ q: 1, at: '2025-05-01T12:00:00Z' });
  await settled();
  await meals.update(id, { q: 2, at: '2025-05-01T13:00:00Z', note: 'x' });
  await settled();
  await meals.delete(id);
  await settled();
  assert.deepEqual(theirs(), []);
  const states = [];
  for (let turn = 0; turn < 3; turn++) {
    await client.undo().settled;
    await settled();
    states.push(theirs());
  }
  assert.deepEqual(states, [[{ q: 2, at: '2025-05-01T13:00:00Z', note: 'x' }], [{ q: 1, at: '2025-05-01T12:00:00Z', note: null }], []]);
  assert.deepEqual([await client.undo(), await meals.all()], [[], []], 'there is nothing more');
});

test('a deletion that waits offline is taken back by not sending it', async () => {
  const { script, meals, client } = kept();
  await script.live();
  const { id } = await meals.insert({ q: 1 });
  await settled();
  client.disconnect();
  await settled();
  await meals.update(id, { q: 2 });
  const deleted = meals.delete(id);
  await client.undo();
  assert.deepEqual([await fieldsOf(meals), (await deleted.settled).status], [[{ q: 2 }], 'withdrawn']);
  await script.live();
  assert.deepEqual(script.asked.flatMap(({ body }) => body.changes).map(({ operation, data }) => [operation, data.q]), [['INSERT', 1], ['UPDATE', 2]]);
});

test('another device’s later change of a field stays; times are told in any form', async () => {
  const { script, meals, client } = kept();
  await script.live();
  const { id } = await meals.insert({ q: 1, at: '2025-05-01T12:00:00Z' });
  await settled();
  await meals.update(id, { q: 2, at: '2025-05-01T13:00:00Z' });
  await settled();
  const version = client.cursor.user + 1;
  script.socket().hear({ type: 'data_updated', table: 'meals', operation: 'UPDATE', scope: 'user:u', version, data: { id, q: 9, at: '2025-05-01T13:00:00.000000Z' } });
  await settled();
  await client.undo();
  assert.deepEqual(await fieldsOf(meals), [{ q: 9, at: '2025-05-01T12:00:00Z' }]);
});

test('a batch is taken back as one, and what was refused at once is not counted', async () => {
  const { script, theirs, meals, client } = kept();
  await script.live();
  const { id } = await meals.insert({ q: 1 });
  await settled();
  await client.batch(() => {
    meals.update(id, { q: 2 });
    const one = meals.insert({ q: 3 });
    one.catch(() => {});
  });
  await settled();
  await assert.rejects(meals.insert({ q: NaN }));
  await client.undo().settled;
  await settled();
  assert.deepEqual(theirs(), [{ q: 1 }]);
  assert.deepEqual(script.asked.filter(({ body }) => body?.atomic).length, 2);
});

test('after forget there is nothing to take back', async () => {
  const { meals, client } = kept();
  await meals.insert({ q: 1 });
  await client.forget();
  assert.deepEqual([await client.undo(), await meals.all()], [[], []]);
});
