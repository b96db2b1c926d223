// The queue's rules: every cell of its table in SPEC.md, and what the results do.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { enqueue, overlaid } from '../src/queue.js';
import { batch, markSent, onTheWire, settle } from '../src/verdicts.js';
import { table } from '../test-support/spec.js';

const edit = (operation, data, id = 'a') => ({ table: 'meals', operation, data: { id, ...data } });
let ids = 0;
const newId = () => `m${++ids}`;
const queued = (...edits) => edits.reduce((queue, [operation, data, base, id]) => enqueue(queue, edit(operation, data, id), base, newId), []);

const { head, rows } = table('The queue');
for (const [name, ...cells] of rows) {
  const [operation, age] = name.split(', ');
  for (const [at, cell] of cells.entries()) {
    test(`${name}, then ${head[at + 1]}: ${cell}`, () => {
      const first = queued([operation, { a: 1 }, 5]);
      const before = age === 'sent' ? markSent(first, first) : first;
      const after = enqueue(before, edit(head[at + 1], { b: 2 }), 5, newId);
      if (cell === '0') assert.deepEqual(after, []);
      else if (cell === 'x') assert.deepEqual(after, before);
      else if (cell === '+') {
        assert.deepEqual(after.map(({ operation: now }) => now), [operation, head[at + 1]]);
        assert.equal(after[0], before[0]);
      } else {
        assert.deepEqual(after.map(({ operation: now }) => now), [cell]);
        if (cell !== 'DELETE') assert.deepEqual(after[0].data, { id: 'a', a: 1, b: 2 });
      }
    });
  }
}

test('edits on different versions do not join, except in the fields that are queued', () => {
  const queue = queued(['UPDATE', { a: 1 }, 5], ['UPDATE', { a: 2, b: 2 }, 6], ['UPDATE', { b: 3 }, 7]);
  assert.deepEqual(queue.map(({ data, base_version }) => [data, base_version]), [[{ id: 'a', a: 2 }, 5], [{ id: 'a', b: 3 }, 6]]);
});

test('fields of an edit under way wait for its result, others keep their base next to somebody else’s edit', () => {
  const first = queued(['UPDATE', { a: 1 }, 5]);
  const queue = enqueue(markSent(first, first), edit('UPDATE', { a: 2, b: 2 }), 5, newId);
  assert.deepEqual(queue.slice(1).map(({ data }) => data), [{ id: 'a', a: 2 }, { id: 'a', b: 2 }]);
  assert.equal(new Set(queue.map(({ mutation_id }) => mutation_id)).size, 3);
  const after = (status) => settle(queue, { mutation_id: first[0].mutation_id, status, version: 9 }).slice(1).map(({ base_version }) => base_version);
  assert.deepEqual(after('merged'), [9, 5]);
  assert.deepEqual(after('applied'), [9, 9]);
  assert.deepEqual(after('conflict'), [5, 5]);
});

test('an edit made between the verdict and its download builds on the verdict', () => {
  const judged = (status, operation = 'UPDATE', base = 5) => {
    const first = queued([operation, { a: 1 }, base]);
    return settle(markSent(first, first), { mutation_id: first[0].mutation_id, status, version: 9 });
  };
  const bases = (queue, operation, data) => enqueue(queue, edit(operation, data), 5, newId).slice(1).map(({ data: fields, base_version }) => [Object.keys(fields).join(), base_version]);
  assert.deepEqual(bases(judged('applied'), 'UPDATE', { a: 2, b: 2 }), [['id,a', 9], ['id,b', 9]]);
  assert.deepEqual(bases(judged('merged'), 'UPDATE', { a: 2, b: 2 }), [['id,a', 9], ['id,b', 5]]);
  assert.deepEqual(bases(judged('conflict'), 'UPDATE', { a: 2 }), [['id,a', 5]]);
  assert.deepEqual(bases(judged('applied'), 'DELETE', {}), [['id', 9]]);
  assert.deepEqual(bases(judged('merged'), 'DELETE', {}), [['id', 5]], 'its author had not seen the other side');
  const fresh = enqueue(judged('applied', 'INSERT', undefined), edit('UPDATE', { a: 2 }), undefined, newId);
  assert.equal(fresh[1].base_version, 9);
});

test('what follows an edit that met a conflict takes it along, so that the server knows what was seen', () => {
  const first = queued(['UPDATE', { a: 1 }, 5]);
  const verdict = { mutation_id: first[0].mutation_id, status: 'conflict', version: 9 };
  const sent = markSent(first, first);
  const before = settle(enqueue(sent, edit('UPDATE', { a: 2, b: 2 }), 5, newId), verdict).slice(1);
  const later = enqueue(settle(sent, verdict), edit('UPDATE', { a: 2, b: 2 }), 5, newId).slice(1);
  for (const [follower, other] of [before, later]) {
    assert.deepEqual(onTheWire(follower).map(({ mutation_id, data, base_version }) => [mutation_id, data.a, base_version]),
      [[first[0].mutation_id, 1, 5], [follower.mutation_id, 2, 5]]);
    assert.equal(onTheWire(other).length, 1);
  }
});

test('one edit a row goes out, in order; what is done goes out no more', () => {
  let queue = queued(['UPDATE', { a: 1 }, 1], ['UPDATE', { a: 1 }, 1, 'b']);
  queue = enqueue(markSent(queue, queue), edit('DELETE', {}), 1, newId);
  assert.deepEqual(batch(queue, 9).map(({ data }) => data.id), ['a', 'b']);
  assert.deepEqual(batch(queue, 1).map(({ data }) => data.id), ['a']);
  queue = settle(queue, { mutation_id: queue[0].mutation_id, status: 'applied', version: 2 });
  assert.deepEqual(batch(queue, 9).map(({ data, operation }) => [data.id, operation]), [['b', 'UPDATE'], ['a', 'DELETE']]);
});

test('a rejected edit leaves alone, and those behind it stay', () => {
  const first = queued(['INSERT', { a: 1 }]);
  const queue = enqueue(markSent(first, first), edit('UPDATE', { a: 2 }), undefined, newId);
  assert.deepEqual(settle(queue, { mutation_id: first[0].mutation_id, status: 'rejected' }), [queue[1]]);
  assert.equal(settle(queue, { mutation_id: 'unknown', status: 'applied' }), queue);
});

test('queued edits show on top of the row', () => {
  assert.deepEqual(overlaid({ id: 'a', a: 1, b: 1 }, queued(['UPDATE', { b: 2 }])), { id: 'a', a: 1, b: 2, _pending: true });
  assert.equal(overlaid({ id: 'a' }, queued(['DELETE', {}])), undefined);
  assert.equal(overlaid(undefined, queued(['UPDATE', { b: 2 }])), undefined);
});
