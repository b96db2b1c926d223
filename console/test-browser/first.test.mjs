// The first minute: somebody new by a button, a day that is filled in, and steps that tick themselves off.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Bench, change, device, grams, live, log, sent, turn, until } from '../test-support/bench.js';

const bench = new Bench();

/** A tab in which somebody new was made. */
async function begun(options) {
  const page = await (await bench.context(options)).newPage();
  await page.goto(`${bench.daemon.url}/demo`);
  await page.getByRole('button', { name: 'Start the demo' }).click();
  for (const kind of ['phone', 'tablet', 'watch']) await live(page, kind);
  return page;
}

const tokenOf = (page) => page.evaluate(() => sessionStorage.getItem('ryzed-demo-token'));
const ticked = (page) => page.locator('#steps li').evaluateAll((items) => items.map(({ dataset }) => dataset.state === 'done'));

test('a button makes somebody new, whose day is filled in once on every device', async () => {
  const page = await begun();
  for (const kind of ['phone', 'tablet', 'watch']) await grams(page, kind, 'Banana', [120]);
  await sent(page, 'phone');
  const token = await tokenOf(page);
  const held = async () => Promise.all(['food_entries', 'exercise_sets', 'location_points', 'hiit_sessions'].map(async (table) => (await bench.rows(token, table)).length));
  await until(async () => assert.deepEqual(await held(), [13, 19, 150, 2]));
  assert.ok(await page.getByRole('button', { name: 'Fill in a day' }).isHidden());
  await page.reload();
  await live(page, 'phone');
  await grams(page, 'phone', 'Banana', [120]);
  assert.deepEqual(await held(), [13, 19, 150, 2]);
  const other = await begun();
  assert.notEqual(await tokenOf(other), token, 'the next one is somebody else');
});

test('who came with a token of their own gets a day only when they ask for it', async () => {
  const token = bench.person();
  const page = await bench.open(await bench.context(), token);
  assert.deepEqual(await bench.rows(token, 'food_entries'), []);
  await page.getByRole('button', { name: 'Fill in a day' }).click();
  await grams(page, 'tablet', 'Banana', [120]);
  assert.ok(await page.getByRole('button', { name: 'Fill in a day' }).isHidden());
});

test('where the server makes nobody, the page asks for a token', async () => {
  const page = await (await bench.context()).newPage();
  await page.route('**/demo/people', (route) => route.fulfill({ json: { are_made: false, why: 'off' } }));
  await page.goto(`${bench.daemon.url}/demo`);
  await page.getByRole('textbox', { name: 'Token' }).waitFor();
  assert.ok(await page.getByRole('button', { name: 'Start the demo' }).isHidden());
});

test('what the server says against somebody new is shown', async () => {
  const page = await (await bench.context()).newPage();
  await page.route('**/demo/people', (route) => (route.request().method() === 'GET' ? route.continue()
    : route.fulfill({ status: 429, json: { detail: 'too many throw-away people were made' } })));
  await page.goto(`${bench.daemon.url}/demo`);
  await page.getByRole('button', { name: 'Start the demo' }).click();
  await page.getByRole('alert').getByText('too many throw-away people were made').waitFor();
});

test('steps tick themselves off, point at their control, and stay ticked', async () => {
  const page = await begun();
  await grams(page, 'tablet', 'Banana', [120]);
  assert.deepEqual(await ticked(page), [false, false, false]);
  await page.getByRole('button', { name: 'Log a meal on the phone.' }).click();
  await until(async () => assert.ok(await page.evaluate(() => document.activeElement.closest('#phone .log-meal'))));
  await log(page, 'phone', 'kiwi', 70);
  await until(async () => assert.deepEqual(await ticked(page), [true, false, false]));
  await page.locator('#live').getByText('Step 1 is done.').waitFor({ state: 'attached' });
  await page.getByRole('button', { name: 'Switch the tablet offline' }).click();
  assert.equal(await page.evaluate(() => document.activeElement.ariaLabel), 'Tablet online');
  await turn(page, 'tablet', false);
  await change(page, 'tablet', 'Banana', 300);
  assert.deepEqual(await ticked(page), [true, false, false]);
  await change(page, 'phone', 'Banana', 200);
  await until(async () => assert.deepEqual(await ticked(page), [true, true, false]));
  await sent(page, 'phone');
  await turn(page, 'tablet', true);
  await device(page, 'tablet').getByRole('button', { name: 'Settle 1 conflict with Phone' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('radio', { name: 'Tablet said: Quantity is 300' }).check();
  await dialog.getByRole('button', { name: 'Settle it' }).click();
  await until(async () => assert.deepEqual(await ticked(page), [true, true, true]));
  await page.reload();
  await until(async () => assert.deepEqual(await ticked(page), [true, true, true]));
});
