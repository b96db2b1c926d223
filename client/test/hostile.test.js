// Two clients of one person behind each kind of hostile network, with a real daemon: both copies become the server's, edits made
// online come across both ways, and nobody asks without end.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import WebSocket from 'ws';
import { RyzeRealtimeClient } from '../src/index.js';
import { Daemon } from '../test-support/daemon.js';
import { HOSTILE, WORD } from '../test-support/hostile.js';

const MEAL = { quantity: 100, consumed_at: '2025-05-01T12:00:00Z' };
/** The client's times are so much shorter here, but for what the server is asked for. */
const FASTER = 10;
const PATIENCE_MS = 45_000;
const IDLE_MS = 3000;
/** Requests of both in that time: polls of a second, and pings. */
const IDLE_MOST = 30;
let daemon;

before(async () => {
  process.env.RYZED_LIMITS__POLL_SECONDS = '2';
  daemon = await Daemon.start();
});
after(() => daemon?.end());

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const platform = { WebSocket, setTimeout: (run, ms) => setTimeout(run, ms / FASTER) };

async function until(holds, what) {
  const since = Date.now();
  while (!(await holds())) {
    if (Date.now() - since > PATIENCE_MS) assert.fail(`not within ${PATIENCE_MS} ms: ${what()}`);
    await pause(20);
  }
}

const quantities = async (client) => Object.fromEntries((await client.table('food_entries').all()).map(({ id, quantity, _pending }) => [id, _pending ? 'pending' : quantity]));

test('ten hostile networks', { concurrency: 5 }, async (all) => {
  await Promise.all(Object.entries(HOSTILE).map(([name, { make, way }]) => all.test(name, async (told) => {
    const proxy = await make(daemon.port);
    const token = daemon.token(randomUUID());
    const [phone, tablet] = ['phone', 'tablet'].map((deviceId) => new RyzeRealtimeClient(proxy.url, { token, deviceId, platform }));
    const both = [phone, tablet];
    told.after(() => (both.forEach((client) => client.disconnect()), proxy.close()));
    both.forEach((client) => client.connect().catch(() => {}));
    const status = () => JSON.stringify(both.map((client) => client.status.value));
    const rows = async () => Object.fromEntries(Object.values((await daemon.rows(token)).food_entries ?? {}).map(({ id, quantity }) => [id, quantity]));
    const same = async (least) => {
      const [theirs, ...ours] = await Promise.all([rows(), ...both.map(quantities)]);
      return Object.keys(theirs).length >= least && ours.every((held) => JSON.stringify(Object.entries(held).sort()) === JSON.stringify(Object.entries(theirs).sort()));
    };
    const made = await Promise.all(both.flatMap((client) => [1, 2, 3].map((quantity) => client.table('food_entries').insert({ ...MEAL, quantity }))));
    await until(() => same(6), status);
    await until(() => both.every(({ status: { value } }) => value.transport === way), status);
    // Online, both ways, each seen by the other; nobody asks for it.
    for (let round = 0; round < 3; round++) {
      for (const [from, to] of [both, [tablet, phone]]) {
        const quantity = 1000 * (round + 1) + both.indexOf(from);
        await from.table('food_entries').update(made[round].id, { quantity });
        await until(async () => (await to.table('food_entries').get(made[round].id)).quantity === quantity, status);
      }
    }
    if (name === '403 for a word') {
      await phone.table('cardio_sessions').insert({ activity_type: 'run', activity_title: WORD, format_title: 'x', start_time: MEAL.consumed_at });
      const fine = await phone.table('food_entries').insert({ ...MEAL, quantity: 7 });
      await until(async () => (await quantities(tablet))[fine.id] === 7, status);
      await until(() => phone.refused.list().length === 1, status);
    }
    await until(() => same(6), status);
    const before = proxy.seen.length;
    await pause(IDLE_MS);
    told.diagnostic(`${proxy.seen.length - before} requests in ${IDLE_MS} ms`);
    assert.ok(proxy.seen.length - before <= IDLE_MOST, `${proxy.seen.length - before} requests while nothing happened`);
  })));
});
