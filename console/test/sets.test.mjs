// A workout's order and sums.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as sets from '../demo/sets.js';

const rows = (...places) => places.map((order_index, at) => ({ id: `r${at}`, order_index }));
const apply = (before, changes) => before.map((row) => ({ ...row, ...changes.find(({ id }) => id === row.id) }));
const ids = (some) => sets.ordered(some, 'order_index').map(({ id }) => id).join(' ');

test('rows without a place come last, equal ones by id', () => {
  assert.equal(ids([{ id: 'c' }, { id: 'b', order_index: 1 }, { id: 'a', order_index: 1 }, { id: 'd', order_index: 0 }]), 'd a b c');
  assert.equal(sets.nextPlace([], 'order_index'), 0);
  assert.equal(sets.nextPlace([{ order_index: 4 }, {}], 'order_index'), 5);
});

test('a move changes only the rows between, and what it changes is the order that was asked for', () => {
  assert.deepEqual(sets.moved(rows(0, 1, 2, 3), 'order_index', 'r2', -1), [{ id: 'r2', order_index: 1 }, { id: 'r1', order_index: 2 }]);
  assert.deepEqual(sets.moved(rows(0, 1), 'order_index', 'r0', -1), []);
  assert.deepEqual(sets.moved(rows(0, 1), 'order_index', 'nobody', 1), []);
  const tangled = rows(5, 5, undefined, 9);
  const moved = apply(tangled, sets.moved(tangled, 'order_index', 'r3', -2));
  assert.equal(ids(moved), 'r3 r0 r1 r2');
});

test('any series of moves keeps all rows, each at a place of its own', () => {
  let some = rows(0, 1, 2, 3, 4);
  for (let step = 0; step < 200; step++) some = apply(some, sets.moved(some, 'order_index', `r${(step * 7) % 5}`, (step % 5) - 2));
  assert.deepEqual(some.map(({ order_index }) => order_index).sort(), [0, 1, 2, 3, 4]);
});

test('what was lifted is what is ticked off', () => {
  const some = [{ reps: 10, weight: 20, is_completed: true }, { reps: 8, weight: 22.5, is_completed: true }, { reps: 8, weight: 99, is_completed: false }];
  assert.deepEqual(sets.progress(some), { done: 2, all: 3, volume: 380 });
});

test('a further set is as the last one', () => {
  assert.deepEqual(sets.furtherSet([{ id: 'a', reps: 5, weight: 60, set_order: 1 }, { id: 'b', reps: 12, weight: 40, set_order: 0 }], 20),
    { reps: 5, weight: 60, is_completed: false, set_order: 2 });
  assert.deepEqual(sets.furtherSet([], 20), { reps: 10, weight: 20, is_completed: false, set_order: 0 });
});

test('a template becomes exercises with their sets', () => {
  let made = 0;
  const planned = [{ id: 'x', exercise_id: 'press', order_index: 1, suggested_sets: 2, suggested_reps_min: 6 }, { id: 'y', exercise_id: 'squat', order_index: 0 }];
  const { exercises, sets: some } = sets.fromTemplate(planned, 'session', () => `id${made++}`, (id) => (id === 'press' ? 20 : 0));
  assert.deepEqual(exercises.map(({ exercise_id, order_index, session_id }) => [exercise_id, order_index, session_id]), [['squat', 0, 'session'], ['press', 1, 'session']]);
  assert.deepEqual(some.map(({ workout_exercise_id, reps, weight, set_order }) => [workout_exercise_id, reps, weight, set_order]),
    [['id0', 10, 0, 0], ['id0', 10, 0, 1], ['id0', 10, 0, 2], ['id1', 6, 20, 0], ['id1', 6, 20, 1]]);
  assert.equal(sets.firstWeight({ equipment: 'none' }), 0);
});
