// The files beside `client.js`: what the client does without them, and with those of another release.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import { Daemon } from '../test-support/daemon.js';
import { BESIDE, CURRENT, ends, fresh, isLive, launch, rowsOf, served, tab } from '../test-support/pages.js';

const MEAL = { quantity: 1, consumed_at: '2025-05-01T12:00:00Z' };
let daemon;
let pages;
let browser;

before(async () => {
  process.env.RYZED_SERVER__ALLOWED_ORIGINS = '*';
  daemon = await Daemon.start();
  pages = await served({ '/client.js': CURRENT });
  browser = await launch();
});
after(async () => {
  await browser?.close();
  pages?.close();
  await daemon?.end();
});

const insert = (page, quantity) => ends(page, (meal) => client.table('food_entries').insert(meal), { ...MEAL, quantity });
const person = () => daemon.token(randomUUID());

test('while none of them can be had the copy is shown and takes edits; once they can, the line comes by itself', async () => {
  const token = person();
  const context = await fresh(browser);
  await context.route(/client-\w+\.js/, (route) => route.abort());
  const page = await tab(context, pages.url, daemon.url, token);
  assert.equal(await ends(page, () => client.connect()), false);
  assert.match((await page.evaluate(() => client.status.value)).why, /goes online can’t be loaded/);
  assert.equal((await insert(page, 2)).quantity, 2);
  assert.deepEqual((await rowsOf(page)).map(({ quantity }) => quantity), [2]);
  assert.match(await ends(page, () => client.table('food_entries').query({}).get()), /^fails: /);
  await context.unroute(/client-\w+\.js/);
  await isLive(page);
  assert.deepEqual(Object.values((await daemon.rows(token)).food_entries).map(({ quantity }) => quantity), [2]);
  assert.equal((await ends(page, () => client.table('food_entries').query({}).get())).length, 1);
  await context.close();
});

test('once a page has run, the network may go: all of them are there', async () => {
  const context = await fresh(browser);
  const page = await tab(context, pages.url, daemon.url, person());
  // The others are fetched when they are asked for.
  const files = Object.keys(BESIDE).filter((file) => !/inspector|lazy/.test(file));
  await page.waitForFunction((count) => performance.getEntriesByType('resource').filter(({ name }) => /client-\w+\.js/.test(name)).length === count, files.length);
  await context.setOffline(true);
  await insert(page, 3);
  assert.equal((await ends(page, () => client.table('food_entries').query({ where: { quantity: 3 } }).get())).length, 1);
  assert.equal(await ends(page, () => client.connect()), false);
  await context.setOffline(false);
  await isLive(page);
  await context.close();
});

test('a file of another release is not used', async () => {
  const context = await fresh(browser);
  await context.route(/client-online\.js/, (route) => route.fulfill({
    contentType: 'text/javascript', body: String(BESIDE['/client-online.js']).replace(/build="\w+"/, 'build="another"'),
  }));
  const page = await tab(context, pages.url, daemon.url, person());
  assert.equal(await ends(page, () => client.connect()), false);
  assert.equal((await insert(page, 4)).quantity, 4);
  const { state, why } = await page.evaluate(() => client.status.value);
  assert.deepEqual([state, /another release/.test(why)], ['waiting', true]);
  await context.close();
});
