// What browsers do to tabs and to their storage, in Chromium against the real daemon. No edit that was said to be stored
// is lost, nothing is waited for without an end, and what is said of an edit is true.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import { Daemon } from '../test-support/daemon.js';
import { CURRENT, ends, fresh, isLive, kill, launch, load, rowsOf, served, tab } from '../test-support/pages.js';

const MEAL = { quantity: 1, consumed_at: '2025-05-01T12:00:00Z' };
const insert = (page, quantity = 1) => ends(page, (meal) => client.table('food_entries').insert(meal), { ...MEAL, quantity });
let daemon;
let pages;
let browser;

before(async () => {
  process.env.RYZED_SERVER__ALLOWED_ORIGINS = '*';
  daemon = await Daemon.start();
  pages = await served({ '/client.js': CURRENT, '/frame': '<!doctype html><iframe sandbox="allow-scripts" src="/inner"></iframe>', '/inner': '<!doctype html><title>inner</title>' });
  browser = await launch();
});
after(async () => {
  await browser?.close();
  pages?.close();
  await daemon?.end();
});

const theirs = async (token) => Object.values((await daemon.rows(token)).food_entries ?? {});
const person = () => daemon.token(randomUUID());
const open = (context, token) => tab(context, pages.url, daemon.url, token);

async function until(holds, what) {
  for (const since = Date.now(); !(await holds()); await new Promise((resolve) => setTimeout(resolve, 50))) {
    if (Date.now() - since > 30_000) assert.fail(`not in time: ${what}`);
  }
}

test('a database whose handle is closed, or whose transaction is given up, is opened anew; nothing is lost', async () => {
  const token = person();
  const context = await fresh(browser);
  const page = await context.newPage();
  await page.addInitScript(() => {
    window.handles = [];
    const { open } = IDBFactory.prototype;
    IDBFactory.prototype.open = function (...given) {
      const opening = open.apply(this, given);
      opening.addEventListener('success', () => handles.push(opening.result));
      return opening;
    };
    const { transaction } = IDBDatabase.prototype;
    IDBDatabase.prototype.transaction = function (...given) {
      const made = transaction.apply(this, given);
      if (window.aborts > 0 && given[1] === 'readwrite') {
        window.aborts -= 1;
        setTimeout(() => made.abort());
        made.objectStore('state').get('x').onsuccess = function again() {
          made.objectStore('state').get('x').onsuccess = again;
        };
      }
      return made;
    };
  });
  await page.goto(`${pages.url}/`);
  await load(page, daemon.url, token);
  await insert(page, 1);
  await page.evaluate(() => handles.forEach((handle) => handle.close()));
  const second = await insert(page, 2);
  await page.evaluate(() => (window.aborts = 1));
  const third = await insert(page, 3);
  const fourth = await insert(page, 4);
  assert.deepEqual([second, third, fourth].map((row) => [row.quantity, row._stored]), [[2, undefined], [3, undefined], [4, undefined]]);
  await page.reload();
  await load(page, daemon.url, token);
  assert.equal((await rowsOf(page)).length, 4);
  await context.close();
});

test('a commit that never completes keeps neither an edit nor the line waiting', async () => {
  const token = person();
  const context = await fresh(browser);
  const page = await open(context, token);
  await insert(page, 1);
  await page.evaluate(async () => {
    const [{ name }] = (await indexedDB.databases()).filter(({ name: one }) => one.startsWith('ryzed'));
    const opening = indexedDB.open(name);
    await new Promise((resolve) => (opening.onsuccess = resolve));
    const transaction = opening.result.transaction(['state', 'rows', 'queue'], 'readwrite');
    window.isHeld = true;
    (function again() {
      transaction.objectStore('state').get('x').onsuccess = () => window.isHeld && again();
    })();
  });
  const began = Date.now();
  const connected = page.evaluate(() => client.connect());
  const row = await insert(page, 2);
  assert.deepEqual([row.quantity, row._stored], [2, false], 'it is said not to be stored');
  assert.equal(await connected, true);
  assert.ok(Date.now() - began < 40_000);
  assert.equal(await page.evaluate(() => client.status.value.stored), false);
  await until(async () => (await theirs(token)).length === 2, 'both are sent');
  await page.evaluate(() => (window.isHeld = false));
  await page.waitForFunction(() => client.status.value.stored);
  await page.reload();
  await load(page, daemon.url, token);
  assert.equal((await rowsOf(page)).length, 2, 'later it is stored');
  assert.equal((await theirs(token)).length, 2);
  await context.close();
});

test('on a full device an edit is kept in memory, says so, and is sent once', async () => {
  const token = person();
  const context = await fresh(browser);
  const page = await open(context, token);
  await page.evaluate(() => client.connect());
  await insert(page, 1);
  await page.evaluate(() => {
    const { put } = IDBObjectStore.prototype;
    window.isFull = true;
    IDBObjectStore.prototype.put = function (...given) {
      if (window.isFull) throw new DOMException('full', 'QuotaExceededError');
      return put.apply(this, given);
    };
  });
  const row = await insert(page, 2);
  assert.deepEqual([row.quantity, row._stored], [2, false]);
  assert.match((await page.evaluate(() => told)).join(), /storage/);
  await isLive(page);
  await until(async () => (await theirs(token)).length === 2, 'it is sent');
  await page.evaluate(() => (window.isFull = false));
  await page.waitForFunction(() => client.status.value.stored);
  const third = await insert(page, 3);
  assert.notEqual(third._stored, false);
  await isLive(page);
  await page.reload();
  await load(page, daemon.url, token);
  assert.equal((await rowsOf(page)).length, 3);
  assert.equal((await theirs(token)).length, 3);
  await context.close();
});

test('where the browser forbids storage, locks and channels, the client says so and works in memory', async () => {
  const token = person();
  const context = await fresh(browser);
  const page = await context.newPage();
  await page.goto(`${pages.url}/frame`);
  await until(() => page.frames().length === 2, 'the frame');
  const frame = page.frames()[1];
  await frame.evaluate(async ([at, url, jwt]) => {
    const { RyzeRealtimeClient } = await import(`${at}/client.js`);
    window.client = new RyzeRealtimeClient(url, jwt);
  }, [pages.url, daemon.url, token]);
  const row = await ends(frame, (meal) => client.table('food_entries').insert(meal), MEAL);
  assert.deepEqual([row.quantity, row._stored], [1, false]);
  assert.equal(await ends(frame, () => client.connect()), true);
  await until(async () => (await theirs(token)).length === 1, 'it is sent');
  const status = await frame.evaluate(() => client.status.value);
  assert.deepEqual([status.state, status.stored], ['live', false]);
  await context.close();
});

test('storage that can’t be opened makes no further device at each start', async () => {
  const token = person();
  const context = await fresh(browser);
  const page = await context.newPage();
  await page.addInitScript(() => {
    if (!sessionStorage.works) {
      IDBFactory.prototype.open = () => {
        throw new DOMException('broken', 'UnknownError');
      };
    }
  });
  for (let starts = 0; starts < 3; starts++) {
    await page.goto(`${pages.url}/`);
    await load(page, daemon.url, token);
    assert.equal(await ends(page, () => client.connect()), true);
  }
  await page.evaluate(() => (sessionStorage.works = 'yes'));
  await page.reload();
  await load(page, daemon.url, token);
  assert.equal(await ends(page, () => client.connect()), true);
  assert.equal((await daemon.get('/devices', token)).length, 1);
  await context.close();
});

test('after forget and disconnect, as React cleans up, the next person has the copy, also after a reload', async () => {
  const [one, other] = [person(), person()];
  const context = await fresh(browser);
  const page = await open(context, one);
  await page.evaluate(() => client.connect());
  await insert(page, 1);
  await isLive(page);
  const second = await open(context, one);
  await rowsOf(second);
  await page.evaluate(async () => {
    const off = client.status.subscribe(() => {});
    client.table('food_entries').subscribe(null, () => {});
    const forgetting = client.forget();
    client.disconnect();
    await forgetting;
    client.disconnect();
    client.setToken('x.y.z');
    window.dispatchEvent(new Event('online'));
    off();
  });
  assert.match(await second.evaluate(() => client.status.value.why), /signed out/i, 'the other tab knows why it is empty');
  await second.close();
  await load(page, daemon.url, other);
  assert.equal(await ends(page, () => client.connect()), true);
  await insert(page, 2);
  await isLive(page);
  await page.reload();
  await load(page, daemon.url, other);
  assert.equal(await ends(page, () => client.connect()), true);
  assert.deepEqual((await rowsOf(page)).map(({ quantity }) => quantity), [2]);
  await context.close();
});

test('random kills of the leading tab lose no edit that was stored', async () => {
  const token = person();
  const context = await fresh(browser);
  let leader = await open(context, token);
  await leader.evaluate(() => client.connect());
  let stored = 0;
  for (let round = 0; round < 3; round++) {
    const follower = await open(context, token);
    await rowsOf(follower);
    for (let edits = 0; edits < 5; edits++) if ((await insert(edits % 2 ? leader : follower, 1))._stored !== false) stored += 1;
    await kill(leader);
    leader = follower;
  }
  await leader.evaluate(() => client.connect());
  await isLive(leader);
  assert.equal((await rowsOf(leader)).length, stored);
  assert.equal((await theirs(token)).length, stored);
  await context.close();
});
