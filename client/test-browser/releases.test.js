// Several releases of the client in one browser: the last one (0.1.0), this one, and a next one whose database has another
// schema. Copies and queues are taken over, no tab keeps another waiting, and going back works.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import { build } from 'esbuild';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Daemon } from '../test-support/daemon.js';
import { CURRENT, ends, fresh, launch, load, RELEASED, rowsOf, served, tab } from '../test-support/pages.js';

const MEAL = { quantity: 1, consumed_at: '2025-05-01T12:00:00Z' };
const path = (name) => fileURLToPath(new URL(`../${name}`, import.meta.url));
let daemon;
let pages;
let browser;

/** This release with one schema step more; `least` says that it takes that step to live with the database. */
function next(least) {
  const step = `(database, transaction) => { database.createObjectStore('more'); ${least ? "transaction.objectStore('state').put(2, 'least');" : ''} },\n];`;
  const withStep = { name: 'step', setup: ({ onLoad }) => onLoad({ filter: /indexeddb\.js$/ }, ({ path: file }) => ({
    contents: readFileSync(file, 'utf8').replace(/\];\nconst STORES/, `  ${step}\nconst STORES`),
  })) };
  return withStep;
}

async function built(least) {
  const { outputFiles } = await build({ entryPoints: [path('src/index.js')], bundle: true, format: 'esm', target: 'es2022', write: false, plugins: [next(least)] });
  assert.match(outputFiles[0].text, /createObjectStore\("more"\)/);
  return outputFiles[0].text;
}

before(async () => {
  process.env.RYZED_SERVER__ALLOWED_ORIGINS = '*';
  daemon = await Daemon.start();
  pages = await served({ '/client.js': CURRENT, '/old.js': RELEASED, '/next.js': await built(false), '/breaking.js': await built(true) });
  browser = await launch();
});
after(async () => {
  await browser?.close();
  pages?.close();
  await daemon?.end();
});

const insert = (page, quantity) => ends(page, (meal) => client.table('food_entries').insert(meal), { ...MEAL, quantity });
const theirs = async (token) => Object.values((await daemon.rows(token)).food_entries ?? {}).map(({ quantity }) => quantity).sort();
const held = async (page) => (await rowsOf(page)).map(({ quantity }) => quantity).sort();
const open = (context, token, script) => tab(context, pages.url, daemon.url, token, script);
const again = async (page, token, script) => {
  await page.reload();
  await load(page, daemon.url, token, script);
};

async function until(holds, what) {
  for (const since = Date.now(); !(await holds()); await new Promise((resolve) => setTimeout(resolve, 50))) {
    if (Date.now() - since > 20_000) assert.fail(`not in time: ${what}`);
  }
}

test('the copy, the queue and the device of the last release are taken over, and it may come back', async () => {
  const token = daemon.token(randomUUID());
  const context = await fresh(browser);
  const page = await open(context, token, '/old.js');
  await ends(page, () => client.connect());
  await insert(page, 1);
  await until(async () => (await theirs(token)).length === 1, 'the first edit');
  // The answer is there, too.
  await until(() => page.evaluate(() => client.pending.value === 0), 'its verdict');
  await page.evaluate(() => client.disconnect());
  await insert(page, 2);
  const device = await page.evaluate(() => client.deviceId);
  await again(page, token);
  assert.deepEqual([await held(page), await page.evaluate(() => client.pending.value)], [[1, 2], 1]);
  await insert(page, 3);
  await again(page, token, '/old.js');
  assert.deepEqual(await held(page), [1, 2, 3], 'an app that was rolled back has all');
  await insert(page, 4);
  await again(page, token);
  assert.equal(await ends(page, () => client.connect()), true);
  await until(async () => String(await theirs(token)) === '1,2,3,4', 'all are sent');
  assert.equal(await page.evaluate(() => client.deviceId), device);
  assert.equal((await daemon.get('/devices', token)).length, 1);
  await context.close();
});

test('tabs of the last release and of this one share one line, whoever leads', async () => {
  for (const scripts of [['/old.js', '/client.js'], ['/client.js', '/old.js']]) {
    const token = daemon.token(randomUUID());
    const context = await fresh(browser);
    // So that both begin with the database of the last release.
    const first = await open(context, token, '/old.js');
    await insert(first, 1);
    await again(first, token, scripts[0]);
    await rowsOf(first);
    const second = await open(context, token, scripts[1]);
    await ends(first, () => client.connect());
    await ends(second, () => client.connect());
    await insert(second, 2);
    await insert(first, 3);
    for (const page of [first, second]) await until(async () => String(await held(page)) === '1,2,3', `both have all, ${scripts}`);
    await until(async () => String(await theirs(token)) === '1,2,3', 'and the daemon');
    await new Promise((resolve) => setTimeout(resolve, 14_000));
    assert.equal((await daemon.get('/devices', token)).length, 1);
    for (const page of [first, second]) assert.equal(await page.evaluate(() => client.status.value.state), 'live', `${scripts}`);
    await insert(second, 4);
    await until(async () => String(await held(first)) === '1,2,3,4', 'they still hear of each other');
    await context.close();
  }
});

test('a next release changes the schema beside an open tab of this one, which goes on', async () => {
  for (const next of ['/next.js', '/breaking.js']) {
    const token = daemon.token(randomUUID());
    const context = await fresh(browser);
    const first = await open(context, token);
    await insert(first, 1);
    const second = await open(context, token, next);
    assert.equal((await insert(second, 2)).quantity, 2);
    await insert(first, 3);
    await first.close();
    await until(async () => String(await held(second)) === '1,2,3', 'the next one has all');
    assert.equal((await insert(second, 4))._stored, undefined);
    await again(second, token, next);
    assert.deepEqual(await held(second), [1, 2, 3, 4]);
    const stores = () => second.evaluate(async () => {
      const { name } = (await indexedDB.databases()).find((one) => one.name.startsWith('ryzed'));
      const opening = indexedDB.open(name);
      await new Promise((resolve) => (opening.onsuccess = resolve));
      const found = [...opening.result.objectStoreNames];
      opening.result.close();
      return found;
    });
    await until(async () => (await stores()).includes('more'), 'the schema is the next one’s');
    // The app is rolled back.
    const third = await open(context, token);
    await insert(third, 5);
    assert.deepEqual(await held(third), [1, 2, 3, 4, 5]);
    await second.close();
    assert.equal(await ends(third, () => client.connect()), true);
    await until(async () => String(await theirs(token)) === '1,2,3,4,5', 'all are sent');
    assert.equal((await daemon.get('/devices', token)).length, 1);
    await context.close();
  }
});

test('a next release beside an open tab of the last one, which keeps the schema as it is, works all the same', async () => {
  const token = daemon.token(randomUUID());
  const context = await fresh(browser);
  const first = await open(context, token, '/old.js');
  await insert(first, 1);
  const second = await open(context, token, '/next.js');
  const began = Date.now();
  assert.equal((await insert(second, 2)).quantity, 2);
  assert.ok(Date.now() - began < 15_000);
  await first.close();
  assert.equal((await insert(second, 3))._stored, undefined);
  await again(second, token, '/next.js');
  assert.deepEqual(await held(second), [1, 2, 3]);
  await context.close();
});

test('one that goes back to a release that can’t live with the new schema says so, and loses nothing', async () => {
  const token = daemon.token(randomUUID());
  const context = await fresh(browser);
  const page = await open(context, token, '/breaking.js');
  await insert(page, 1);
  const device = await page.evaluate(() => client.deviceId);
  await again(page, token);
  const row = await insert(page, 2);
  assert.equal(row._stored, false);
  assert.match((await page.evaluate(() => told)).join(), /newer release/);
  assert.equal(await ends(page, () => client.connect()), true);
  await until(async () => String(await theirs(token)) === '2', 'what was made now is sent');
  assert.equal(await page.evaluate(() => client.deviceId), device, 'and it is the same device');
  await again(page, token, '/breaking.js');
  assert.equal(await ends(page, () => client.connect()), true);
  await until(async () => String(await theirs(token)) === '1,2', 'what was stored is sent by the newer one');
  await context.close();
});
