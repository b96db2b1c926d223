// Who uses the page and how: with a keyboard alone, in French, without a token.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Bench, change, device, grams, live, log, open, sent, until } from '../test-support/bench.js';

const bench = new Bench();

const focused = (page) => page.evaluate(() => document.activeElement.ariaLabel ?? document.activeElement.labels?.[0]?.textContent ?? document.activeElement.textContent);

/** Presses Tab until what has the focus is named so. */
async function tabTo(page, name, key = 'Tab') {
  for (let presses = 0; presses < 60; presses++) {
    await page.keyboard.press(key);
    if ((await focused(page)).trim() === name) return;
  }
  assert.fail(`Tab does not lead to ${name}`);
}

/** Presses Tab until the row of a food has the focus. */
async function tabToRow(page, food) {
  for (let presses = 0; presses < 60; presses++) {
    await page.keyboard.press('Tab');
    if ((await focused(page)).startsWith(food)) return;
  }
  assert.fail(`Tab does not lead to the row of ${food}`);
}

/** The same, backwards. */
const backTo = (page, name) => tabTo(page, name, 'Shift+Tab');

test('with the keyboard alone: to the devices, a meal logged, changed and deleted, the focus never lost', async () => {
  const page = await bench.open(await bench.context(), bench.person());
  await page.keyboard.press('Tab');
  assert.equal(await focused(page), 'Skip to the devices');
  await page.keyboard.press('Enter');
  await tabTo(page, 'Food');
  await page.keyboard.type('banan');
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('ArrowUp');
  await page.keyboard.press('Enter');
  assert.ok((await focused(page)).startsWith('Grams'), 'the choice leads on to the quantity');
  await page.keyboard.press('Control+a');
  await page.keyboard.type('85');
  await page.keyboard.press('Enter');
  await grams(page, 'tablet', 'Banana', [85]);
  await page.locator('#live').getByText('Logged: Banana, raw, 85').waitFor({ state: 'attached' });
  assert.equal(await focused(page), 'Food');
  await tabToRow(page, 'Banana, raw');
  await page.keyboard.press('Enter');
  await page.keyboard.press('Tab');
  assert.equal(await focused(page), 'Grams of Banana, raw');
  await page.keyboard.press('Control+a');
  await page.keyboard.type('95');
  await page.keyboard.press('Tab');
  await grams(page, 'tablet', 'Banana', [95]);
  assert.equal(await focused(page), 'Meal of Banana, raw');
  await page.keyboard.press('ArrowDown');
  await until(async () => assert.equal(await focused(page), 'Meal of Banana, raw'));
  await sent(page, 'phone');
  await page.keyboard.press('Tab');
  assert.equal(await focused(page), 'Delete Banana, raw');
  await page.keyboard.press('Enter');
  await grams(page, 'tablet', 'Banana', []);
  assert.notEqual(await page.evaluate(() => document.activeElement.localName), 'body');
});

test('with the keyboard alone: a line switched, a timer run by two devices, a conflict settled', async () => {
  const page = await bench.open(await bench.context(), bench.person());
  await log(page, 'phone', 'banana', 100);
  await grams(page, 'tablet', 'Banana', [100]);
  await tabTo(page, 'Tablet online');
  await page.keyboard.press('Space');
  await device(page, 'tablet').locator('.badge[data-state=off]').waitFor();
  assert.equal(await focused(page), 'Tablet online');
  await change(page, 'phone', 'Banana', 200);
  await change(page, 'tablet', 'Banana', 300);
  await sent(page, 'phone');
  await backTo(page, 'Tablet online');
  await page.keyboard.press('Space');
  await live(page, 'tablet');

  await tabTo(page, 'Settle 1 conflict with Phone');
  await page.keyboard.press('Enter');
  const dialog = page.getByRole('dialog', { name: 'Conflicts on the Tablet' });
  await dialog.getByRole('radio', { name: 'Phone said: Quantity is 200' }).waitFor();
  await tabTo(page, 'Phone said: Quantity is 200');
  await page.keyboard.press('ArrowRight');
  assert.equal(await focused(page), 'Tablet said: Quantity is 300');
  await tabTo(page, 'What Quantity becomes');
  await page.keyboard.press('Control+a');
  await page.keyboard.type('250');
  await tabTo(page, 'Settle it');
  await page.keyboard.press('Enter');
  await dialog.getByText('Nothing to settle.').waitFor();
  await page.locator('#live').getByText('Settled').waitFor({ state: 'attached' });
  await page.keyboard.press('Escape');
  await grams(page, 'phone', 'Banana', [250]);
  assert.notEqual(await page.evaluate(() => document.activeElement.localName), 'body');

  await backTo(page, 'Intervals');
  await page.keyboard.press('Enter');
  await device(page, 'phone').locator('.timer').waitFor();
  await tabTo(page, 'Start');
  await page.keyboard.press('Enter');
  await until(async () => assert.equal(await focused(page), 'Pause'));
  await device(page, 'watch').locator('.timer[data-phase=work]').waitFor();
  await page.keyboard.press('Enter');
  await device(page, 'watch').getByText('Paused').waitFor();
  assert.equal(await focused(page), 'Go on');
  await tabTo(page, 'Stop');
  await page.keyboard.press('Enter');
  await device(page, 'tablet').locator('.timer[data-phase=idle]').waitFor();
  assert.equal(await focused(page), 'Start');
});

test('in French by the browser’s wish, in English by the person’s, and it stays so', async () => {
  const page = await bench.open(await bench.context({ locale: 'fr-FR' }), bench.person());
  assert.equal(await page.evaluate(() => document.documentElement.lang), 'fr');
  await page.getByRole('heading', { level: 1, name: 'Journal' }).waitFor();
  await log(page, 'phone', 'pomme de terre', 1234.5);
  await device(page, 'watch').getByText('1\u202f234,5').waitFor();
  await open(page, 'tablet', 'Pomme');
  await device(page, 'tablet').getByRole('button', { name: /^Supprimer : Pomme/ }).waitFor();
  assert.equal(await page.getByText(/Log it|Breakfast|Live|All sent/).count(), 0);
  await page.getByRole('button', { name: 'EN, English' }).click();
  await page.getByRole('heading', { level: 1, name: 'Diary' }).waitFor();
  await device(page, 'watch').getByText('1,234.5').waitFor();
  await page.reload();
  await page.getByRole('heading', { level: 1, name: 'Diary' }).waitFor();
  assert.equal(await page.evaluate(() => document.documentElement.lang), 'en');
});

test('without a token the page says how to get one, and with a wrong one what is wrong', async () => {
  const context = await bench.context();
  const page = await context.newPage();
  await page.goto(`${bench.daemon.url}/demo`);
  await page.getByRole('heading', { name: 'Three devices, one person' }).waitFor();
  await page.getByText('I have a token').click();
  const field = page.getByRole('textbox', { name: 'Token' });
  await field.fill('nonsense');
  await field.press('Enter');
  await page.getByRole('alert').getByText('That is no token').waitFor();
  const foreign = bench.person().replace(/[^.]+$/, 'AAAA');
  await field.fill(foreign);
  await field.press('Enter');
  await page.locator('#start-why').getByText('The token has ended or was refused.').waitFor();
  await page.locator('#live').getByText('The token has ended or was refused.').waitFor({ state: 'attached' });
  assert.equal((await focused(page)).trim(), 'Token');
  await device(page, 'phone').locator('.badge[data-state=stopped]').waitFor();
  await field.fill(bench.person());
  await field.press('Enter');
  await live(page, 'phone');
});

test('the page connects to its own host and to no other', async () => {
  const page = await (await bench.context()).newPage();
  await page.goto(`${bench.daemon.url}/demo`);
  const opened = (url) => page.evaluate((address) => new Promise((done) => {
    document.addEventListener('securitypolicyviolation', ({ effectiveDirective }) => done(effectiveDirective), { once: true });
    const socket = new WebSocket(address);
    socket.onopen = () => done('opened');
  }), url);
  const here = new URL(`${bench.daemon.url}/api/realtime/ws/tablet`);
  here.protocol = 'ws:';
  assert.equal(await opened(here.href), 'opened');
  for (const elsewhere of ['ws://127.0.0.1:1/', 'wss://example.com/', 'ws://localhost/']) assert.equal(await opened(elsewhere), 'connect-src', elsewhere);
});

test('a device that was revoked takes its token along, and can be allowed again with a newer one', async () => {
  const token = bench.person();
  const page = await bench.open(await bench.context(), token);
  const devices = await bench.daemon.get('/devices', token);
  const { device_id } = devices.find(({ device_type }) => device_type === 'watch');
  const headers = { authorization: `Bearer ${token}` };
  await fetch(`${bench.daemon.url}/api/realtime/devices/${device_id}`, { method: 'DELETE', headers });
  await page.locator('#start-why').getByText('The token has ended or was refused.').waitFor();
  const field = page.getByRole('textbox', { name: 'Token' });
  await field.fill(await bench.newer(token));
  await field.press('Enter');
  await live(page, 'phone');
  await device(page, 'watch').getByRole('status').getByText('This device was revoked').waitFor();
  await device(page, 'watch').getByRole('button', { name: 'Allow it again' }).click();
  await live(page, 'watch');
  await log(page, 'phone', 'banana', 15);
  await grams(page, 'watch', 'Banana', [15]);
});

test('a row that holds markup is shown as text', async () => {
  const token = bench.person();
  const name = '<img src=x onerror="window.hurt = true"><b>bold</b>';
  const changes = [{ table: 'foods', operation: 'INSERT', data: { id: crypto.randomUUID(), name_en: name, name_fr: name, calories: 1 } }];
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
  const answer = await fetch(`${bench.daemon.url}/api/realtime/sync`, { method: 'POST', headers, body: JSON.stringify({ device_id: 'other', changes }) });
  assert.equal((await answer.json()).results[0].status, 'applied');
  const page = await bench.open(await bench.context(), token);
  await log(page, 'phone', 'onerror', 10);
  await device(page, 'watch').getByText(name).waitFor();
  assert.equal(await page.evaluate(() => window.hurt), undefined);
});

test('a fourth device joins with all rows and leaves again', async () => {
  const page = await bench.open(await bench.context(), bench.person());
  await log(page, 'phone', 'banana', 33);
  await page.getByRole('button', { name: 'Add a device' }).click();
  await grams(page, 'browser', 'Banana', [33]);
  await page.reload();
  await grams(page, 'browser', 'Banana', [33]);
  await page.getByRole('button', { name: 'Remove the Browser' }).click();
  await device(page, 'browser').waitFor({ state: 'detached' });
  await page.reload();
  await live(page, 'watch');
  assert.equal(await device(page, 'browser').count(), 0);
  await page.getByRole('button', { name: 'Add a device' }).click();
  await grams(page, 'browser', 'Banana', [33]);
  await page.getByRole('button', { name: 'Remove the Browser' }).click();
  await page.getByRole('button', { name: 'Add a device' }).click();
  await grams(page, 'browser', 'Banana', [33]);
});
