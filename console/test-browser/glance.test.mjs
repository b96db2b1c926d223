// What is seen at a glance: all devices on a phone, how fast an edit arrived, whose conflict it is, and rows that open on a tap.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Bench, change, collide, device, go, grams, log, open, turn, until } from '../test-support/bench.js';

const PHONE = { width: 360, height: 780 };
const bench = new Bench();

const chip = (page, kind) => page.locator(`#strip [data-kind=${kind}]`);

test('on a phone a strip shows all devices with state and total, and flashes when something arrives', async () => {
  const page = await bench.open(await bench.context({ viewport: PHONE }), bench.person());
  for (const kind of ['phone', 'tablet', 'watch']) {
    const box = await chip(page, kind).boundingBox();
    assert.ok(box.x >= 0 && box.x + box.width <= PHONE.width && box.height >= 44, JSON.stringify(box));
    await chip(page, kind).getByText('0 kcal').waitFor();
  }
  await log(page, 'phone', 'banana', 100);
  for (const kind of ['phone', 'tablet', 'watch']) await chip(page, kind).getByText('90 kcal').waitFor();
  for (const kind of ['tablet', 'watch']) {
    await until(async () => assert.ok(await chip(page, kind).evaluate(({ classList }) => classList.contains('new')), kind));
    await until(async () => assert.match(await chip(page, kind).locator('.took').textContent(), /^\d+ ms$/));
  }
  const box = await chip(page, 'watch').boundingBox();
  assert.ok(box.y >= 0 && box.y < 200, 'it stays in sight while the page is scrolled');
  await turn(page, 'tablet', false);
  await page.locator('#strip [data-kind=tablet][data-state=off]').waitFor();
  const targets = await page.locator('#strip a, #scenes a, #phone button, #phone select, #phone input:not([role=switch])').evaluateAll((nodes) => nodes
    .filter((node) => node.checkVisibility()).map((node) => ({ what: node.outerHTML.slice(0, 60), ...node.getBoundingClientRect().toJSON() })));
  assert.deepEqual(targets.filter(({ height, width }) => height < 43.5 || width < 43.5), []);
});

test('the row that arrives says how long after the tap, and nothing moves for it', async () => {
  const page = await bench.open(await bench.context(), bench.person());
  await log(page, 'phone', 'banana', 100);
  await grams(page, 'tablet', 'Banana', [100]);
  const entry = (kind) => device(page, kind).locator('.entries li');
  await until(async () => assert.match(await entry('tablet').locator('.took').textContent(), /^\d+ ms after the tap$/));
  const tall = async () => (await entry('tablet').boundingBox()).height;
  const before = await tall();
  await entry('tablet').locator('.took').waitFor({ state: 'detached' });
  assert.equal(await tall(), before);
  await change(page, 'phone', 'Banana', 150);
  await until(async () => assert.match(await entry('watch').locator('.took').textContent(), /^\d+ ms$/));
  assert.equal(await entry('phone').locator('.took').count(), 0, 'where it was tapped nothing arrived');
});

test('a conflict names the other device, and stands only on devices and scenes that have a part in it', async () => {
  const page = await bench.open(await bench.context(), bench.person());
  await collide(page);
  const bar = (kind) => device(page, kind).locator('.collisions');
  await bar('phone').getByText('Settle 1 conflict with Tablet').waitFor();
  await bar('tablet').getByText('Settle 1 conflict with Phone').waitFor();
  assert.ok(await bar('watch').isHidden());
  await go(page, 'run');
  await device(page, 'phone').locator('.run').waitFor();
  for (const kind of ['phone', 'tablet', 'watch']) assert.ok(await bar(kind).isHidden(), kind);
  await page.reload();
  await go(page, 'diary');
  await bar('phone').getByText('Settle 1 conflict with Tablet').click();
  const dialog = page.getByRole('dialog');
  for (const name of ['Phone said', 'Tablet said']) await dialog.getByRole('columnheader', { name }).waitFor();
  assert.equal(await dialog.getByRole('button', { name: /Settle|Keep|Take/ }).count(), 1, 'the radios choose, one button settles');
});

test('a row opens on a tap and closes, one at a time', async () => {
  const page = await bench.open(await bench.context(), bench.person());
  await log(page, 'phone', 'banana', 100);
  await log(page, 'phone', 'apple', 50);
  const row = (food) => device(page, 'phone').locator('.entries li').filter({ hasText: food });
  const fields = (food) => row(food).getByRole('spinbutton', { includeHidden: false });
  assert.equal(await fields('Banana').count(), 0, 'a row is text');
  await open(page, 'phone', 'Banana');
  await fields('Banana').waitFor();
  await open(page, 'phone', 'Apple');
  await fields('Apple').waitFor();
  assert.equal(await fields('Banana').count(), 0);
  await row('Apple').locator('.row').click();
  assert.equal(await fields('Apple').count(), 0);
  await open(page, 'phone', 'Apple');
  await fields('Apple').focus();
  await page.keyboard.press('Escape');
  assert.equal(await fields('Apple').count(), 0);
  assert.ok(await row('Apple').locator('.row').evaluate((node) => node === document.activeElement));
  await go(page, 'workout');
  await device(page, 'phone').getByRole('combobox', { name: 'Begin with' }).selectOption('Push Day');
  await device(page, 'phone').getByRole('button', { name: 'Start the session' }).click();
  const sets = device(page, 'phone').locator('.sets');
  await sets.locator('.row').first().waitFor();
  assert.equal(await sets.getByRole('spinbutton').count(), 0);
  await sets.locator('.row').first().click();
  assert.equal(await sets.getByRole('spinbutton').count(), 2);
  await sets.getByRole('spinbutton').first().fill('12');
  await page.keyboard.press('Tab');
  await device(page, 'tablet').locator('.sets .row').first().getByText('12 ×').waitFor();
});
