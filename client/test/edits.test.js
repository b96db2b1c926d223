// What becomes of edits on a scripted server.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { memoryStorage } from '../src/index.js';
import { applied, page, problem, scripted, settled } from '../test-support/scripted.js';

const rowOf = ({ changes: [{ data }] }, version) => ({ meals: [{ ...data, _version: version }] });

test('edits show at once, fold, and go out once each; live edits go out at once', async () => {
  const script = scripted({}, (path, body) => page(body.changes.length ? { results: applied(body, 2), changes: rowOf(body, 2) } : {}));
  const meals = script.client.table('meals');
  const { id } = await meals.insert({ q: 1 });
  await meals.update(id, { q: 2 });
  assert.deepEqual([(await meals.get(id)).q, script.client.pending.value], [2, 1]);
  await script.live();
  assert.deepEqual([await meals.get(id), script.client.pending.value], [{ id, q: 2, _version: 2 }, 0]);
  await meals.update(id, { q: 3 });
  await settled();
  const sent = script.asked.flatMap(({ body }) => body.changes);
  assert.deepEqual(sent.map(({ operation, base_version, data }) => [operation, base_version, data.q]), [['INSERT', undefined, 2], ['UPDATE', 2, 3]]);
});

test('an answer that got lost: the same mutation goes out again, later edits build on its result', async () => {
  let broken = true;
  const script = scripted({}, (path, body) => {
    if (broken && body.changes.length) throw new Error('lost');
    return page({ results: applied(body, 7) });
  });
  const meals = script.client.table('meals');
  const { id } = await meals.insert({ q: 1 });
  await script.client.connect();
  await meals.update(id, { q: 2 });
  broken = false;
  await script.clock.forward(500);
  const sent = script.asked.flatMap(({ body }) => body.changes);
  assert.equal(sent[0].mutation_id, sent[1].mutation_id);
  assert.deepEqual(sent.slice(1).map(({ operation, data, base_version }) => [operation, data.q, base_version]), [['INSERT', 1, undefined], ['UPDATE', 2, 7]]);
});

test('one edit that spoils the request is found, taken back and reported; the others pass', async () => {
  const script = scripted({}, (path, body) =>
    body.changes.some(({ data }) => data.q === 13) ? problem(413, { detail: 'too large' }) : page({ results: applied(body) }));
  const faults = [];
  script.client.on('error', (fault) => faults.push(fault));
  for (let q = 0; q < 40; q++) await script.client.table('meals').insert({ q });
  await script.live();
  assert.equal(script.client.pending.value, 0);
  assert.deepEqual(faults.map(({ code, edit }) => [code, edit.data.q]), [['rejected', 13]]);
});

test('a refusal that no edit caused stops the line and loses no edit', async () => {
  const script = scripted({}, () => problem(422, { detail: 'there is no table "x"' }));
  await script.client.table('meals').insert({ q: 1 });
  await assert.rejects(script.client.connect(), /no table/);
  assert.equal(script.client.pending.value, 1);
});

test('values become what JSON makes of them at once; what JSON can’t say is refused and blocks nothing', async () => {
  const script = scripted();
  const meals = script.client.table('meals');
  const tags = ['a'];
  const { id } = await meals.insert({ at: new Date(0), tags, nothing: undefined });
  tags.push('b');
  assert.deepEqual(await meals.get(id), { id, at: '1970-01-01T00:00:00.000Z', tags: ['a'], _pending: true });
  await assert.rejects(meals.insert({ q: 1n }), /BigInt/);
  await assert.rejects(script.client.sendDataChange('meals', 'REPLACE', { id }), /INSERT, UPDATE, UPSERT or DELETE/);
  assert.equal(script.client.pending.value, 1);
});

test('what came back from storage takes in no more edits: it may have left before', async () => {
  const storage = memoryStorage();
  const first = scripted({ storage });
  const { id } = await first.client.table('meals').insert({ q: 1 });
  const second = scripted({ storage });
  await second.client.table('meals').update(id, { q: 2 });
  const ids = (await storage.load()).queue.map(({ mutation_id, data }) => [mutation_id, data.q]);
  assert.equal(new Set(ids.map(([mutation]) => mutation)).size, 2);
  assert.deepEqual(ids.map(([, q]) => q), [1, 2]);
});

test('an edit that the server leaves unjudged does not make it ask without a pause', async () => {
  const script = scripted({}, () => page());
  await script.client.table('meals').insert({ q: 1 });
  await script.client.connect();
  assert.deepEqual([script.client.status.value.state, script.asked.length, script.client.pending.value], ['waiting', 1, 1]);
});
