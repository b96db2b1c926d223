// The interval timer: its phases, its commands, and how devices agree on it.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as timer from '../demo/timer.js';

const PLAN = { work: 20, rest: 10, rounds: 2 };
const begun = timer.started(timer.NONE, PLAN, 'session', 'phone', 1000);
const at = (ms, state = begun) => timer.shownAt(state, 1000 + ms);
const place = ({ phase, round, left }) => [phase, round, left];

test('phases follow each other to the millisecond, without a rest at the end', () => {
  assert.deepEqual(place(timer.shownAt(timer.NONE, 5)), ['idle', 0, 0]);
  assert.deepEqual(place(at(0)), ['warmup', 1, 5000]);
  assert.deepEqual(place(at(4999)), ['warmup', 1, 1]);
  assert.deepEqual(place(at(5000)), ['work', 1, 20_000]);
  assert.deepEqual(place(at(25_000)), ['rest', 1, 10_000]);
  assert.deepEqual(place(at(35_000)), ['work', 2, 20_000]);
  assert.deepEqual(place(at(54_999)), ['work', 2, 1]);
  assert.deepEqual(place(at(55_000)), ['finished', 2, 0]);
  assert.equal(timer.lengthOf(PLAN), 55_000);
});

test('what is left and what is over make the whole, whenever one looks', () => {
  for (let ms = 0; ms < 55_000; ms += 137) {
    const { phase, left, part, total, round } = at(ms);
    const length = { warmup: 5000, work: 20_000, rest: 10_000 }[phase];
    assert.ok(Math.abs(left + part * length - length) < 1e-6 && part >= 0 && part < 1 && round >= 1 && round <= 2);
    assert.equal(total, 55_000 - ms);
  }
});

test('a plan without rest goes from work to work', () => {
  const state = timer.started(timer.NONE, { work: 10, rest: 0, rounds: 3 }, 's', 'phone', 0);
  assert.deepEqual(place(timer.shownAt(state, 15_000)), ['work', 2, 10_000]);
});

test('a held timer stands still and goes on where it was', () => {
  const held = timer.paused(begun, 'watch', 8000);
  assert.deepEqual([timer.shownAt(held, 9000), timer.shownAt(held, 99_000)].map(place), [['work', 1, 18_000], ['work', 1, 18_000]]);
  const goesOn = timer.resumed(held, 'phone', 100_000);
  assert.deepEqual(place(timer.shownAt(goesOn, 101_000)), ['work', 1, 17_000]);
  assert.deepEqual(place(timer.shownAt(timer.stopped(goesOn, 'phone', 0), 5)), ['idle', 0, 0]);
});

test('a device whose clock is hours away shows the same', () => {
  const away = 7_654_321;
  const there = timer.heard(timer.NONE, timer.told(begun, 13_000), 13_000 + away);
  for (const ms of [13_000, 20_000, 40_000]) assert.deepEqual(timer.shownAt(there, ms + away), timer.shownAt(begun, ms));
});

test('the newer command wins on every device, in whatever order they arrive', () => {
  const held = timer.paused(begun, 'watch', 6000);
  const stopped = timer.stopped(begun, 'tablet', 6000);
  const messages = [begun, held, stopped].map((state) => timer.told(state, 7000));
  const outcomes = [[0, 1, 2], [2, 1, 0], [1, 2, 0], [2, 0, 1], [1, 0, 2], [0, 2, 1]].map((order) => order.reduce((state, which) => timer.heard(state, messages[which], 7000), timer.NONE));
  for (const { by, revision } of outcomes) assert.deepEqual([by, revision], ['watch', 2]);
});

test('a late joiner that knows nothing takes what it is told, and what it knows better it keeps', () => {
  const held = timer.paused(begun, 'watch', 6000);
  assert.equal(timer.heard(held, timer.told(begun, 7000), 7000), held);
  assert.equal(timer.heard(held, timer.told(held, 7000), 7000), held);
});

test('nonsense is ignored', () => {
  const good = timer.told(begun, 2000);
  const bad = [null, {}, { ...good, revision: 'x' }, { ...good, elapsed_ms: -1 }, { ...good, elapsed_ms: null }, { ...good, by: 7 }, { ...good, plan: { work: 0, rest: 1, rounds: 1 } },
    { ...good, plan: { work: 1e9, rest: 1, rounds: 1 } }, { ...good, plan: 'run' }];
  for (const message of bad) assert.equal(timer.heard(timer.NONE, message, 0), timer.NONE);
  assert.notEqual(timer.heard(timer.NONE, good, 0), timer.NONE);
});
