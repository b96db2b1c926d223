// Who uses the page and how: with a keyboard alone, in French, with a screen reader, without a token.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import { after, afterEach, before, test } from 'node:test';
import { Bench, change, device, grams, live, log, sent, turn, until } from '../test-support/bench.js';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const PHONE = { width: 390, height: 844 };
let bench;
before(async () => { bench = await Bench.start(); });
after(() => bench?.end());
afterEach(() => bench.clear());

const focused = (page) => page.evaluate(() => document.activeElement.ariaLabel ?? document.activeElement.labels?.[0]?.textContent ?? document.activeElement.textContent);

/** Presses Tab until what has the focus is named so. */
async function tabTo(page, name) {
  for (let presses = 0; presses < 60; presses++) {
    await page.keyboard.press('Tab');
    if ((await focused(page)).trim() === name) return;
  }
  assert.fail(`Tab does not lead to ${name}`);
}

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
  await tabTo(page, 'Grams of Banana, raw');
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

test('in French by the browser’s wish, in English by the person’s, and it stays so', async () => {
  const page = await bench.open(await bench.context({ locale: 'fr-FR' }), bench.person());
  assert.equal(await page.evaluate(() => document.documentElement.lang), 'fr');
  await page.getByRole('heading', { level: 1, name: 'Journal' }).waitFor();
  await log(page, 'phone', 'pomme de terre', 1234.5);
  await device(page, 'watch').getByText('1\u202f234,5').waitFor();
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
  await page.getByRole('heading', { name: 'Who are you?' }).waitFor();
  const field = page.getByRole('textbox', { name: 'Token' });
  await field.fill('nonsense');
  await field.press('Enter');
  await page.getByRole('alert').getByText('That is no token').waitFor();
  const foreign = bench.person().replace(/[^.]+$/, 'AAAA');
  await field.fill(foreign);
  await field.press('Enter');
  await page.getByText('The token has ended or was refused.').waitFor();
  await device(page, 'phone').locator('.badge[data-state=stopped]').waitFor();
  await field.fill(bench.person());
  await field.press('Enter');
  await live(page, 'phone');
});

test('a device that was revoked says so, and can be allowed again', async () => {
  const token = bench.person();
  const page = await bench.open(await bench.context(), token);
  const devices = await bench.daemon.get('/devices', token);
  const { device_id } = devices.find(({ device_type }) => device_type === 'watch');
  const headers = { authorization: `Bearer ${token}` };
  await fetch(`${bench.daemon.url}/api/realtime/devices/${device_id}`, { method: 'DELETE', headers });
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

/** What axe finds that is serious or worse. */
async function faults(page, where) {
  // Colours are judged as they come to rest.
  await page.evaluate(() => Promise.all(document.getAnimations().map((animation) => animation.finished.catch(() => {}))));
  if (!await page.evaluate(() => 'axe' in window)) await page.evaluate(AXE);
  const violations = await page.evaluate(async () => (await window.axe.run(document, { resultTypes: ['violations'] })).violations);
  return violations.filter(({ impact }) => ['serious', 'critical'].includes(impact))
    .map(({ id, help, nodes }) => `${where}: ${id}: ${help}: ${nodes.slice(0, 3).map(({ target, any }) => `${target} ${any[0]?.message ?? ''}`).join(' | ')}`);
}

/** How far the page is wider than its window, in pixels. */
const overflow = (page) => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);

test('axe finds nothing serious on any scene, light and dark, phone and wide, and nothing sticks out', async () => {
  const token = bench.person();
  const page = await bench.open(await bench.context(), token);
  const found = [];
  await log(page, 'phone', 'banana', 100);
  await grams(page, 'tablet', 'Banana', [100]);
  await turn(page, 'tablet', false);
  await change(page, 'phone', 'Banana', 200);
  await change(page, 'tablet', 'Banana', 300);
  await sent(page, 'phone');
  await turn(page, 'tablet', true);
  await page.evaluate(() => { location.hash = 'workout'; });
  await device(page, 'phone').getByRole('button', { name: 'Start the session' }).click();
  await sent(page, 'phone');
  await page.evaluate(() => { location.hash = 'timer'; });
  await device(page, 'phone').getByRole('button', { name: 'Start', exact: true }).click();
  await device(page, 'watch').locator('.timer[data-phase=work]').waitFor();
  await device(page, 'watch').getByRole('button', { name: 'Pause' }).click();
  await page.evaluate(() => { location.hash = 'run'; });
  await device(page, 'phone').getByRole('button', { name: 'Start a run' }).click();
  await device(page, 'phone').getByRole('button', { name: 'End the run' }).click();
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme });
    for (const size of [PHONE, { width: 1440, height: 900 }]) {
      await page.setViewportSize(size);
      for (const scene of ['diary', 'workout', 'timer', 'run']) {
        await page.evaluate((name) => { location.hash = name; }, scene);
        await device(page, 'watch').locator(`.${scene}`).waitFor();
        const where = `${scene}, ${colorScheme}, ${size.width}`;
        found.push(...await faults(page, where));
        if (await overflow(page) > 0) found.push(`${where}: it is ${await overflow(page)} px too wide`);
      }
      await device(page, 'tablet').locator('.collisions').click();
      await page.getByRole('dialog').waitFor();
      found.push(...await faults(page, `conflicts, ${colorScheme}, ${size.width}`));
      await page.keyboard.press('Escape');
    }
  }
  assert.deepEqual(found, []);
});
