// Tabs that stand still while they lead, in Chromium against the real daemon: frozen, as browsers do with pages that nobody
// looks at, or hanging, as in a debugger or a script that does not end. The others go on; what thaws does no harm.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import { Chromium } from '../test-support/cdp.js';
import { Daemon } from '../test-support/daemon.js';
import { CURRENT, ends, load, rowsOf, served } from '../test-support/pages.js';

const MEAL = { quantity: 1, consumed_at: '2025-05-01T12:00:00Z' };
/** Two looks for a sign of life and one for its answer, and the storage. */
const TAKES_OVER_MS = 15_000;
const KINDS = { frozen: ['freeze', 'thaw'], hanging: ['hang', 'goOn'] };
let daemon;
let pages;
let browser;

before(async () => {
  process.env.RYZED_SERVER__ALLOWED_ORIGINS = '*';
  daemon = await Daemon.start();
  pages = await served({ '/client.js': CURRENT });
  browser = await Chromium.start();
});
after(async () => {
  await browser?.close();
  pages?.close();
  await daemon?.end();
});

const insert = (page, quantity) => ends(page, (meal) => client.table('food_entries').insert(meal), { ...MEAL, quantity }, TAKES_OVER_MS);
const theirs = async (token) => Object.values((await daemon.rows(token)).food_entries ?? {}).map(({ quantity }) => quantity).sort();
const held = async (page) => (await rowsOf(page)).map(({ quantity }) => quantity).sort();
const state = (page) => page.evaluate(() => client.status.value.state);

async function until(holds, what) {
  for (const since = Date.now(); !(await holds()); await new Promise((resolve) => setTimeout(resolve, 50))) {
    if (Date.now() - since > 30_000) assert.fail(`not in time: ${what}`);
  }
}

async function twoTabs(token) {
  const context = await browser.fresh();
  const open = async () => {
    const page = await browser.page(`${pages.url}/`, context);
    await load(page, daemon.url, token);
    await rowsOf(page);
    return page;
  };
  return [await open(), await open(), open];
}

for (const [kind, [stop, start]] of Object.entries(KINDS)) {
  test(`a leading tab that is ${kind} is followed by the next; later it does no harm`, async () => {
    const token = daemon.token(randomUUID());
    const [first, second, open] = await twoTabs(token);
    await first.evaluate(() => client.connect());
    await second.evaluate(() => client.connect());
    await insert(second, 1);
    await until(async () => (await theirs(token)).length === 1, 'the first edit is sent');
    await first[stop]();
    const row = await insert(second, 2);
    assert.deepEqual([row.quantity, row._stored], [2, undefined], `the edit’s promise: ${row}`);
    await until(async () => (await theirs(token)).length === 2, 'the daemon has it');
    await until(async () => (await state(second)) === 'live', 'its socket is open');
    await second.reload();
    await load(second, daemon.url, token);
    assert.deepEqual(await held(second), [1, 2], 'after a reload as well');
    await first[start]();
    assert.equal((await insert(first, 3)).quantity, 3, 'in the tab that stood still');
    await second.evaluate(() => client.connect());
    await until(async () => (await theirs(token)).length === 3, 'the daemon has all, each once');
    for (const page of [first, second, await open()]) await until(async () => String(await held(page)) === '1,2,3', 'and so have all tabs');
    for (const page of [first, second]) await page.close();
  });

  test(`the status of a tab whose leader is ${kind} does not repeat what is no longer known`, async () => {
    const token = daemon.token(randomUUID());
    const [first, second] = await twoTabs(token);
    await first.evaluate(() => client.connect());
    await second.evaluate(() => client.connect());
    assert.equal(await state(second), 'live');
    await second.evaluate(() => {
      window.states = [];
      client.status.subscribe(({ state: now }) => states.push(now));
    });
    await first[stop]();
    await until(() => second.evaluate(() => states.length > 2 && states.at(-1) === 'live'), 'it finds out by itself, and has a line of its own');
    await first[start]();
    await until(async () => (await state(first)) === 'live', 'the other follows');
    for (const page of [first, second]) await page.close();
  });

  test(`an edit made in a tab just before it is ${kind} is done once`, async () => {
    const token = daemon.token(randomUUID());
    const [first, second] = await twoTabs(token);
    await insert(first, 1);
    await first.evaluate((meal) => void (window.waiting = client.table('food_entries').insert({ ...meal, quantity: 2 })), MEAL);
    await first[stop]();
    assert.equal((await insert(second, 3)).quantity, 3);
    await first[start]();
    assert.equal((await ends(first, () => window.waiting)).quantity, 2);
    await second.evaluate(() => client.connect());
    await until(async () => String(await theirs(token)) === '1,2,3', 'the daemon has all three');
    for (const page of [first, second]) await until(async () => String(await held(page)) === '1,2,3', 'and so have both tabs');
    for (const page of [first, second]) await page.close();
  });
}
