// The client in Chromium against the real daemon: a large first sync, two tabs on one socket, a tab killed, a reload while
// offline. `CHROMIUM` names the browser, else /usr/bin/chromium.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';
import { chromium } from 'playwright-core';
import { Daemon } from '../test-support/daemon.js';

const ROWS = 10_000;
const BATCH = 1000;
const MEAL = { quantity: 1, consumed_at: '2025-05-01T12:00:00Z' };
const user = randomUUID();
let daemon;
let pages;
let browser;
let token;

before(async () => {
  process.env.RYZED_SERVER__ALLOWED_ORIGINS = '*';
  daemon = await Daemon.start();
  token = daemon.token(user);
  for (let from = 0; from < ROWS; from += BATCH) await upload();
  const client = readFileSync(new URL('../dist/client.js', import.meta.url));
  pages = createServer(({ url }, answer) => {
    answer.setHeader('content-type', url === '/client.js' ? 'text/javascript' : 'text/html');
    answer.end(url === '/client.js' ? client : '<!doctype html><title>test</title>');
  }).listen(0, '127.0.0.1');
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox'] });
});
after(async () => {
  await browser?.close();
  pages?.close();
  await daemon?.end();
});

async function upload() {
  const changes = Array.from({ length: BATCH }, () => ({
    mutation_id: randomUUID(), table: 'food_entries', operation: 'INSERT', data: { ...MEAL, id: randomUUID() },
  }));
  const answer = await fetch(`${daemon.url}/api/realtime/sync`, {
    method: 'POST', headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ device_id: 'filler', changes, tables: ['users'] }),
  });
  assert.equal(answer.status, 200);
}

/** Loads the client into a page as `client`, and notes long tasks in `long`. */
const load = (page) => page.evaluate(async ({ url, token: jwt }) => {
  const { RyzeRealtimeClient } = await import('/client.js');
  window.long = [];
  new PerformanceObserver((list) => long.push(...list.getEntries().map(({ duration }) => duration))).observe({ entryTypes: ['longtask'] });
  window.client = new RyzeRealtimeClient(url, jwt);
}, { url: daemon.url, token });

async function tab(context) {
  const page = await context.newPage();
  page.sockets = 0;
  page.on('websocket', () => page.sockets++);
  await page.goto(`http://127.0.0.1:${pages.address().port}/`);
  await load(page);
  return page;
}

const count = (page) => page.evaluate(async () => (await client.table('food_entries').all()).length);
const isLive = (page) => page.waitForFunction(() => client.status.value.state === 'live' && client.pending.value === 0);

test('one browser: first sync, two tabs, a tab killed, a reload offline, and back', async () => {
  const context = await browser.newContext();
  const first = await tab(context);
  const took = await first.evaluate(async () => {
    const began = performance.now();
    await client.connect();
    return performance.now() - began;
  });
  assert.equal(await count(first), ROWS);
  await first.waitForTimeout(2000);
  const long = await first.evaluate(() => Math.max(0, ...window.long));
  console.log(`${ROWS} rows took ${Math.round(took)} ms, the longest task ${Math.round(long)} ms`);
  assert.ok(took < 3000, `the first sync took ${took} ms`);
  assert.ok(long < 200, `a task of ${long} ms`);

  const second = await tab(context);
  assert.equal(await second.evaluate(() => client.connect()), true);
  assert.deepEqual([await count(second), first.sockets, second.sockets], [ROWS, 1, 0]);
  const id = await second.evaluate(async (meal) => (await client.table('food_entries').insert(meal)).id, MEAL);
  assert.equal(await count(first), ROWS + 1);

  await first.close();
  await second.waitForEvent('websocket');
  await isLive(second);
  await daemon.kill();
  await second.waitForFunction(() => client.status.value.state === 'waiting');
  await second.evaluate((row) => client.table('food_entries').update(row, { quantity: 5 }), id);
  await second.reload();
  await load(second);
  assert.equal(await second.evaluate(() => client.connect()), false);
  assert.deepEqual([await count(second), await second.evaluate(() => client.pending.value)], [ROWS + 1, 1]);

  await daemon.up();
  await second.evaluate(() => window.dispatchEvent(new Event('online')));
  await isLive(second);
  const { digest } = await daemon.get('/digest?tables=food_entries', token);
  const held = await second.evaluate(async () => {
    const rows = await client.table('food_entries').all();
    return { rows: rows.length, version_sum: rows.reduce((sum, row) => sum + row._version, 0) };
  });
  assert.deepEqual(held, digest.food_entries);
});
