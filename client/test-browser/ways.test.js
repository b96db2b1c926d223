// What stands between the browser and the daemon: redirects, sign-in pages, firewalls. Nothing of the person's is handed
// to another host, no edit is lost, and the status says what is the matter.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import { Daemon } from '../test-support/daemon.js';
import { ends, fresh, launch, load, rowsOf, tab } from '../test-support/pages.js';
import { Proxy } from '../test-support/proxy.js';

const MEAL = { quantity: 1, consumed_at: '2025-05-01T12:00:00Z' };
let daemon;
let browser;
const proxies = [];

before(async () => {
  process.env.RYZED_SERVER__ALLOWED_ORIGINS = '*';
  daemon = await Daemon.start();
  browser = await launch();
});
after(async () => {
  await browser?.close();
  proxies.forEach((proxy) => proxy.close());
  await daemon?.end();
});

async function proxied(mood) {
  const proxy = await Proxy.to(daemon.port);
  proxies.push(proxy);
  if (mood) proxy.mood = mood;
  return proxy;
}
const insert = (page, more = {}) => ends(page, (meal) => client.table('food_entries').insert(meal), { ...MEAL, ...more });
const theirs = async (token) => Object.values((await daemon.rows(token)).food_entries ?? {});
const status = (page) => page.evaluate(() => client.status.value);

async function until(holds, what) {
  for (const since = Date.now(); !(await holds()); await new Promise((resolve) => setTimeout(resolve, 50))) {
    if (Date.now() - since > 20_000) assert.fail(`not in time: ${what}`);
  }
}

for (const code of [301, 302, 307, 308]) {
  test(`a redirect (${code}) to another port of the host is followed once, with method and token`, async () => {
    const token = daemon.token(randomUUID());
    const proxy = await proxied(({ url }) => (url.startsWith('/api') ? { status: code, headers: { location: `${daemon.url}${url}` } } : undefined));
    const context = await fresh(browser);
    const page = await tab(context, proxy.url, proxy.url, token);
    assert.equal((await insert(page)).quantity, 1);
    assert.equal(await ends(page, () => client.connect()), true);
    await until(async () => (await theirs(token)).length === 1, 'the edit is there');
    assert.equal((await status(page)).state, 'live');
    await context.close();
  });

  test(`a redirect (${code}) to another host gets nothing of the person’s, and the status names it`, async () => {
    const token = daemon.token(randomUUID());
    const stranger = await proxied();
    const elsewhere = stranger.url.replace('127.0.0.1', 'localhost');
    const proxy = await proxied(({ url }) => (url.startsWith('/api') ? { status: code, headers: { location: `${elsewhere}${url}` } } : undefined));
    const context = await fresh(browser);
    const page = await tab(context, proxy.url, proxy.url, token);
    await insert(page, { quantity: 77 });
    assert.equal(await ends(page, () => client.connect()), false);
    const { state, why } = await status(page);
    assert.equal(state, 'waiting');
    assert.match(why, /leads (to http:\/\/localhost|elsewhere)/);
    assert.deepEqual(stranger.seen.filter(({ authorization, body }) => authorization || body.includes('77')), []);
    assert.equal(await page.evaluate(() => client.pending.value), 1);
    proxy.mood = () => undefined;
    await page.evaluate(() => window.dispatchEvent(new Event('online')));
    await until(async () => (await theirs(token)).length === 1, 'later it is sent');
    await context.close();
  });
}

test('a sign-in page of the network is not taken for the daemon', async () => {
  const token = daemon.token(randomUUID());
  const html = { status: 200, headers: { 'content-type': 'text/html' }, body: '<!doctype html><h1>Welcome to the hotel</h1>' };
  const proxy = await proxied(({ url }) => (url.startsWith('/api') ? html : undefined));
  const context = await fresh(browser);
  const page = await tab(context, proxy.url, proxy.url, token);
  await insert(page);
  assert.equal(await ends(page, () => client.connect()), false);
  assert.match((await status(page)).why, /on the way/);
  assert.deepEqual([await page.evaluate(() => client.pending.value), (await rowsOf(page)).length], [1, 1]);
  proxy.mood = () => undefined;
  await page.evaluate(() => window.dispatchEvent(new Event('online')));
  await until(async () => (await theirs(token)).length === 1, 'once signed in, it goes on');
  await context.close();
});

test('a firewall that refuses one note holds up no other edit, and the note waits for the person', async () => {
  const token = daemon.token(randomUUID());
  const proxy = await proxied(({ body }) => (/select \* from/i.test(body) ? { status: 403, headers: { 'content-type': 'text/html' }, body: '<h1>Forbidden</h1>' } : undefined));
  const context = await fresh(browser);
  const page = await tab(context, proxy.url, proxy.url, token);
  const run = (notes) => ({ activity_type: 'running', activity_title: 'Run', format_title: 'Free', start_time: '2025-05-01T12:00:00Z', notes });
  for (let at = 0; at < 20; at++) {
    await ends(page, (row) => client.table('cardio_sessions').insert(row), run(at === 11 ? 'I SELECT * FROM the menu' : `run ${at}`));
  }
  assert.equal(await ends(page, () => client.connect()), true);
  await until(async () => Object.keys((await daemon.rows(token)).cardio_sessions ?? {}).length === 19, 'the others are there');
  await page.waitForFunction(() => client.status.value.refused === 1);
  proxy.mood = () => undefined;
  await ends(page, () => client.refused.retry(client.refused.list()[0].mutation_id));
  await until(async () => Object.keys((await daemon.rows(token)).cardio_sessions).length === 20, 'and the note, when it is retried');
  assert.equal((await status(page)).refused, 0);
  await context.close();
});

test('another address of the same server keeps the copy, its unsent edits and the device', async () => {
  const token = daemon.token(randomUUID());
  const proxy = await proxied();
  const context = await fresh(browser);
  const page = await tab(context, proxy.url, `${proxy.url}`, token);
  await ends(page, () => client.connect());
  const device = await page.evaluate(() => client.deviceId);
  await page.evaluate(() => client.disconnect());
  await insert(page, { quantity: 5 });
  await page.reload();
  await load(page, daemon.url, token);
  assert.equal((await rowsOf(page)).length, 1);
  assert.equal(await page.evaluate(() => client.pending.value), 1);
  assert.equal(await ends(page, () => client.connect()), true);
  await until(async () => (await theirs(token)).length === 1, 'the edit goes to the new address');
  assert.equal(await page.evaluate(() => client.deviceId), device);
  assert.equal((await daemon.get('/devices', token)).length, 1);
  await context.close();
});

test('another server gets no edit that was made for the first', async () => {
  const other = await Daemon.start();
  try {
    const user = randomUUID();
    const context = await fresh(browser);
    const proxy = await proxied();
    const page = await tab(context, proxy.url, daemon.url, daemon.token(user));
    await ends(page, () => client.connect());
    await page.evaluate(() => client.disconnect());
    await insert(page, { quantity: 5 });
    await page.reload();
    await load(page, other.url, other.token(user));
    assert.equal(await ends(page, () => client.connect()), true);
    assert.deepEqual(Object.values((await other.rows(other.token(user))).food_entries ?? {}), []);
    assert.deepEqual(await page.evaluate(() => client.refused.list().map(({ data, errors: [{ code }] }) => [data.quantity, code])), [[5, 'other_server']]);
    await context.close();
  } finally {
    await other.end();
  }
});
