// The short version of `npm run chaos`: random faults in two tabs, by seed.

import { test } from 'node:test';
import { World } from '../test-support/chaos.js';

const RUNS = 60;

test(`${RUNS} runs of random faults in two tabs lose no edit that was said to be stored, and end with equal copies`, async (t) => {
  for (let seed = 1; seed <= RUNS; seed++) await t.test(`seed ${seed}`, () => new World(seed).run());
});

test('a transaction that fails after its copy was dropped brings nothing of it back', async (t) => {
  for (const seed of [2904, 3245]) await t.test(`seed ${seed}`, () => new World(seed).run());
});

test(`${RUNS} runs on a table that stays in storage`, async (t) => {
  for (let seed = 1; seed <= RUNS; seed++) await t.test(`seed ${seed}`, () => new World(seed, { notes: 'lazy' }).run());
});
