// The diary between pages, tabs and devices: with a line, without one, and when a tab dies.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Bench, change, device, grams, live, log, open, sent, turn, until } from '../test-support/bench.js';

const bench = new Bench();

test('two pages see each other’s edits', async () => {
  const token = bench.person();
  const [one, other] = await Promise.all([0, 1].map(async () => bench.open(await bench.context(), token)));
  await log(one, 'phone', 'banana', 120);
  await grams(other, 'tablet', 'Banana', [120]);
  await grams(other, 'watch', 'Banana', [120]);
  await change(other, 'tablet', 'Banana', 90);
  await grams(one, 'phone', 'Banana', [90]);
  await open(one, 'phone', 'Banana');
  await device(one, 'phone').getByRole('button', { name: 'Delete Banana, raw' }).click();
  await grams(other, 'tablet', 'Banana', []);
  await grams(one, 'watch', 'Banana', []);
});

test('a device goes offline, works on, and comes back with what it did', async () => {
  const token = bench.person();
  const page = await bench.open(await bench.context(), token);
  await turn(page, 'tablet', false);
  await log(page, 'tablet', 'apple', 150);
  await log(page, 'phone', 'banana', 100);
  await grams(page, 'watch', 'Banana', [100]);
  await grams(page, 'tablet', 'Apple', [150]);
  assert.equal(await device(page, 'tablet').locator('.queued').textContent(), '1 queued');
  await grams(page, 'tablet', 'Banana', []);
  await grams(page, 'phone', 'Apple', []);
  await turn(page, 'tablet', true);
  for (const kind of ['phone', 'tablet', 'watch']) {
    await grams(page, kind, 'Apple', [150]);
    await grams(page, kind, 'Banana', [100]);
  }
  await sent(page, 'tablet');
  await device(page, 'tablet').locator('summary').click();
  await device(page, 'tablet').getByRole('button', { name: 'Compare with the server' }).click();
  await device(page, 'tablet').getByText('Equal:').waitFor();
});

test('the line is cut while the daemon is away, and all devices find it again', async () => {
  const token = bench.person();
  const page = await bench.open(await bench.context(), token);
  await bench.daemon.kill();
  await device(page, 'phone').locator('.badge[data-state=waiting]').waitFor();
  await log(page, 'phone', 'banana', 77);
  await grams(page, 'phone', 'Banana', [77]);
  await bench.daemon.up();
  await page.evaluate(() => window.dispatchEvent(new Event('online')));
  await live(page, 'tablet');
  await grams(page, 'tablet', 'Banana', [77]);
});

test('a tab that is killed in mid-sync doubles nothing and loses nothing', async () => {
  const token = bench.person();
  const context = await bench.context();
  const doomed = await bench.open(context, token);
  await turn(doomed, 'phone', false);
  await log(doomed, 'phone', 'banana', 10);
  await log(doomed, 'phone', 'banana', 20);
  // The upload reaches the server, its answer never reaches the page.
  const uploaded = new Promise((resolve) => {
    doomed.route('**/sync', async (route) => {
      const { device_id, changes } = route.request().postDataJSON();
      if (!device_id.startsWith('demo-phone') || !changes.length) return route.continue();
      await route.fetch();
      resolve();
    });
  });
  await device(doomed, 'phone').getByRole('switch').check();
  await uploaded;
  await doomed.close({ runBeforeUnload: false });
  const page = await bench.open(context, token);
  await grams(page, 'phone', 'Banana', [10, 20]);
  await sent(page, 'phone');
  await grams(page, 'tablet', 'Banana', [10, 20]);
  assert.deepEqual((await bench.rows(token, 'food_entries')).map(({ quantity }) => quantity).sort(), [10, 20]);
});

test('two tabs of one browser are the same devices on the same sockets, and one takes over from the other', async () => {
  const token = bench.person();
  const context = await bench.context();
  const first = await bench.open(context, token);
  const second = await bench.open(context, token);
  assert.deepEqual([first.sockets, second.sockets], [3, 0]);
  await log(second, 'phone', 'banana', 40);
  await grams(first, 'phone', 'Banana', [40]);
  await grams(first, 'tablet', 'Banana', [40]);
  await turn(second, 'phone', false);
  await device(first, 'phone').getByRole('switch', { checked: false }).waitFor();
  await log(second, 'phone', 'apple', 45);
  await grams(first, 'phone', 'Apple', [45]);
  await turn(second, 'phone', true);
  await grams(first, 'tablet', 'Apple', [45]);
  await device(first, 'phone').getByRole('switch', { checked: true }).waitFor();
  await first.close();
  await until(() => assert.equal(second.sockets, 3));
  for (const kind of ['phone', 'tablet', 'watch']) await live(second, kind);
  await log(second, 'tablet', 'kiwi', 50);
  await grams(second, 'watch', 'Kiwi', [50]);
});

test('a reload while offline keeps the switch, the rows and the queue', async () => {
  const token = bench.person();
  const page = await bench.open(await bench.context(), token);
  await log(page, 'phone', 'banana', 60);
  await sent(page, 'phone');
  await turn(page, 'phone', false);
  await change(page, 'phone', 'Banana', 61);
  await log(page, 'phone', 'apple', 62);
  await page.reload();
  await device(page, 'phone').locator('.badge[data-state=off]').waitFor();
  await grams(page, 'phone', 'Banana', [61]);
  await grams(page, 'phone', 'Apple', [62]);
  assert.equal(await device(page, 'phone').locator('.queued').textContent(), '2 queued');
  await live(page, 'tablet');
  await grams(page, 'tablet', 'Banana', [60]);
  await turn(page, 'phone', true);
  await grams(page, 'tablet', 'Banana', [61]);
  await grams(page, 'tablet', 'Apple', [62]);
});
