// Several writes as one: all of them or none.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { enqueue, enqueueSet } from '../src/queue.js';
import { batch, settle } from '../src/verdicts.js';
import { applied, page, problem, scripted, settled } from '../test-support/scripted.js';

const rejected = (changes, at, code = 'out_of_range') => changes.map(({ mutation_id, table, data }, place) => ({
  mutation_id, table, id: data.id, status: 'rejected', errors: [{ field: place === at ? 'q' : '', code: place === at ? code : 'atomic', message: 'no' }],
}));
/** Takes all, and shows it. */
const taken = ({ changes }) => page({ results: applied({ changes }, 2), changes: { meals: changes.map(({ data }) => ({ ...data, _version: 2 })) } });
const uploads = ({ asked }) => asked.filter(({ body }) => body?.changes.length).map(({ body: { atomic = false, changes } }) => [atomic, changes.map(({ data }) => data.q)]);

test('the writes of a batch are shown and stored at once, and go out in one atomic request of their own', async () => {
  const script = scripted({}, (path, body) => taken(body));
  const { client } = script;
  const meals = client.table('meals');
  const told = [];
  meals.subscribe({}, (rows) => told.push(rows.map(({ q }) => q)));
  const own = await meals.insert({ q: 0 });
  let inner;
  const done = client.batch(() => {
    inner = meals.insert({ q: 1 });
    meals.insert({ q: 2 });
    meals.update(own.id, { q: 3 });
  });
  assert.deepEqual((await done).map(({ q }) => q), [1, 2, 3]);
  assert.equal((await inner).q, 1);
  await settled();
  assert.deepEqual(told, [[], [0], [3, 1, 2]]);
  await meals.insert({ q: 4 });
  await script.live();
  assert.deepEqual(uploads(script), [[false, [0]], [true, [1, 2, 3]], [false, [4]]]);
  assert.deepEqual([await done.settled, await inner.settled], [{ status: 'applied' }, { status: 'applied' }]);
});

test('a batch that the server rejects is taken back whole, and its verdict names the write at fault', async () => {
  const script = scripted({}, (path, { changes, atomic }) => (atomic ? page({ results: rejected(changes, 1) }) : taken({ changes })));
  const meals = script.client.table('meals');
  const done = script.client.batch(() => [1, 2, 3].forEach((q) => void meals.insert({ q })));
  await meals.insert({ q: 4 });
  await script.live();
  const { status, errors } = await done.settled;
  assert.deepEqual([status, errors.map(({ code }) => code)], ['rejected', ['out_of_range']]);
  assert.deepEqual((await meals.all()).map(({ q }) => q), [4]);
  assert.equal(script.client.refused.value.length, 3);
});

test('one write that can’t be made makes none of a batch; so does a callback that throws or waits', async () => {
  const { client } = scripted();
  const meals = client.table('meals');
  const broken = client.batch(() => {
    meals.insert({ q: 1 });
    meals.insert({ q: NaN });
  });
  await assert.rejects(broken, /q can’t be sent/);
  assert.equal((await broken.settled).status, 'rejected');
  let inner;
  await assert.rejects(client.batch(() => {
    inner = meals.insert({ q: 1 });
    throw new Error('mine');
  }), /mine/);
  await assert.rejects(inner, /mine/);
  await assert.rejects(client.batch(async () => void meals.insert({ q: 1 })), /can’t wait/);
  await assert.rejects(client.batch(() => Array.from({ length: 501 }, () => meals.insert({ q: 1 }))), /500 writes at most/);
  client.batch(() => assert.throws(() => client.batch(() => {}), /another one/));
  assert.deepEqual([await client.batch(() => {}), await meals.all()], [[], []]);
});

test('a batch waits for what is ahead of its rows, and what comes later waits for the batch', () => {
  let ids = 0;
  const newId = () => `m${ids++}`;
  const edit = (id, data, operation = 'UPDATE') => ({ table: 'meals', operation, data: { id, ...data } });
  const first = enqueue([], edit('a', { q: 1 }), 1, newId);
  const queue = enqueue(enqueueSet(first, [edit('a', { q: 2, r: 2 }), edit('b', { q: 3 }, 'INSERT'), edit('b', { q: 4 })], 's', newId), edit('b', { q: 5 }), undefined, newId);
  const names = (edits) => edits.map(({ mutation_id, data: { id, ...fields } }) => [mutation_id, id, fields]);
  assert.deepEqual(queue.map(({ set }) => set), [undefined, 's', 's', undefined]);
  assert.deepEqual(batch(queue, 500).map(({ mutation_id }) => mutation_id), ['m0'], 'nothing joined it');
  const after = settle(queue, { mutation_id: 'm0', status: 'applied', version: 2 });
  const set = batch(after, 1);
  assert.deepEqual(names(set).map(([, id, fields]) => [id, fields]), [['a', { q: 2, r: 2 }], ['b', { q: 4 }]]);
  assert.deepEqual(set.map(({ base_version }) => base_version), [2, undefined]);
  const held = after.map((one) => (one.set && one.data.id === 'b' ? { ...one, later: 50 } : one));
  assert.deepEqual(batch(held, 500, 10), [], 'part of it has to wait, so all of it does, and what is behind it');
});

test('a batch that can’t be taken now goes out again whole; one that is refused as a whole is refused, and no other edit', async () => {
  let turn = 0;
  const script = scripted({}, (path, { changes, atomic }) => (atomic && turn++ === 0 ? page({ results: rejected(changes, 0, 'unavailable') }) : taken({ changes })));
  const meals = script.client.table('meals');
  const done = script.client.batch(() => [1, 2].forEach((q) => void meals.insert({ q })));
  await script.live();
  assert.equal(script.client.pending.value, 2);
  await script.clock.forward(60_000);
  assert.deepEqual([(await done.settled).status, uploads(script)], ['applied', [[true, [1, 2]], [true, [1, 2]]]]);

  const other = scripted({}, (path, body) => (body.atomic ? problem(413, { detail: 'too large' }) : taken(body)));
  const all = other.client.table('meals');
  const large = other.client.batch(() => [1, 2].forEach((q) => void all.insert({ q })));
  await all.insert({ q: 3 });
  await other.live();
  assert.deepEqual([(await large.settled).status, (await all.all()).map(({ q }) => q), other.client.pending.value], ['rejected', [3], 0]);
});
