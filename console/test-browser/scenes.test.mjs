// What devices do together: the mirrored timer, the run that arrives, the workout, the conflict settled by hand.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Bench, change, collide, device, grams, live, log, open, sent, turn, until } from '../test-support/bench.js';

const bench = new Bench();

const face = (page, kind) => device(page, kind).locator('.face').evaluate((node) => [...node.children].map((line) => line.textContent));
const phase = (page, kind, name) => device(page, kind).locator(`.timer[data-phase=${name}]`).waitFor();

test('a timer started on one device runs on all, is paused on another, and a late joiner asks', async () => {
  const token = bench.person();
  const [here, there] = await Promise.all([0, 1].map(async () => bench.open(await bench.context(), token, 'timer')));
  await turn(there, 'watch', false);
  await device(here, 'phone').getByRole('button', { name: 'Start', exact: true }).click();
  await phase(there, 'tablet', 'warmup');
  await phase(there, 'tablet', 'work');
  await phase(here, 'phone', 'work');
  await device(there, 'tablet').getByRole('button', { name: 'Pause' }).click();
  await device(here, 'watch').getByText('Paused').waitFor();
  await device(here, 'phone').getByText('Paused').waitFor();
  const [shown, ...others] = await Promise.all([face(here, 'phone'), face(here, 'watch'), face(there, 'phone'), face(there, 'tablet')]);
  for (const other of others) assert.deepEqual(other, shown);
  assert.deepEqual(await face(there, 'watch'), ['Ready', '0:45', '']);
  await turn(there, 'watch', true);
  await device(there, 'watch').getByText('Paused').waitFor();
  assert.deepEqual(await face(there, 'watch'), shown);
  await here.reload();
  await device(here, 'phone').getByText('Paused').waitFor();
  assert.deepEqual(await face(here, 'phone'), shown, 'a reload ends no timer');
  await device(there, 'watch').getByRole('button', { name: 'Go on' }).click();
  await until(async () => assert.equal(await device(here, 'phone').getByText('Paused').count(), 0));
  await device(here, 'phone').getByRole('button', { name: 'Stop' }).click();
  await phase(there, 'watch', 'idle');
  await until(async () => {
    const [session] = await bench.rows(token, 'hiit_sessions');
    assert.deepEqual([session.current_phase, session.is_completed], ['finished', false]);
  });
});

test('a run arrives on another page point by point, and what an offline phone recorded comes in one go', async () => {
  const token = bench.person();
  const [here, there] = await Promise.all([0, 1].map(async () => bench.open(await bench.context(), token, 'run')));
  const points = (page, kind) => device(page, kind).locator('.course-head').textContent().then((text) => Number(/(\d+) point/.exec(text)?.[1] ?? 0));
  const drawn = () => device(there, 'tablet').locator('.map').evaluate((map) => {
    const { data } = map.getContext('2d').getImageData(0, 0, map.width, map.height);
    const colours = new Set();
    for (let at = 0; at < data.length; at += 4) if (data[at + 3] > 200) colours.add(`${data[at]},${data[at + 1]},${data[at + 2]}`);
    return colours.size;
  });
  await device(here, 'phone').getByRole('button', { name: 'Start a run' }).click();
  const seen = new Set();
  await until(async () => {
    seen.add(await points(there, 'tablet'));
    assert.ok(seen.size >= 4, `it came in ${[...seen]}`);
  });
  assert.ok(await drawn() > 1, 'the course is on the canvas');
  await turn(here, 'phone', false);
  const before = await points(here, 'phone');
  await until(async () => assert.ok(await points(here, 'phone') >= before + 3));
  assert.ok(await points(there, 'tablet') <= before);
  await device(here, 'phone').getByRole('button', { name: 'End the run' }).click();
  const all = await points(here, 'phone');
  await turn(here, 'phone', true);
  await until(async () => assert.equal(await points(there, 'tablet'), all));
  await device(there, 'tablet').getByText('Finished').waitFor();
  const [[session], stored] = await Promise.all([bench.rows(token, 'cardio_sessions'), bench.rows(token, 'location_points')]);
  assert.equal(stored.length, all);
  assert.ok(session.distance_km > 0 && session.is_running === false);
});

test('a set is ticked off on the watch while the tablet reorders offline, and both count', async () => {
  const page = await bench.open(await bench.context(), bench.person(), 'workout');
  await device(page, 'phone').getByRole('combobox', { name: 'Begin with' }).selectOption('Push Day');
  await device(page, 'phone').getByRole('button', { name: 'Start the session' }).click();
  await sent(page, 'phone');
  const titles = (kind) => device(page, kind).locator('.exercises h4').allTextContents();
  const [first, second] = await titles('phone');
  await until(async () => assert.deepEqual((await titles('tablet')).slice(0, 2), [first, second]));
  await turn(page, 'tablet', false);
  await device(page, 'tablet').getByRole('button', { name: `Move ${first} down` }).click();
  await until(async () => assert.deepEqual((await titles('tablet')).slice(0, 2), [second, first]));
  await device(page, 'watch').getByRole('checkbox', { name: `Set 1 of ${first} is done` }).check();
  await device(page, 'phone').getByRole('checkbox', { name: `Set 1 of ${first} is done`, checked: true }).waitFor();
  await turn(page, 'tablet', true);
  await device(page, 'tablet').getByRole('checkbox', { name: `Set 1 of ${first} is done`, checked: true }).waitFor();
  await until(async () => assert.deepEqual((await titles('phone')).slice(0, 2), [second, first]));
});

test('a conflict is settled by hand, field by field, and every device has the outcome', async () => {
  const token = bench.person();
  const page = await bench.open(await bench.context(), token);
  await log(page, 'phone', 'banana', 100);
  await grams(page, 'tablet', 'Banana', [100]);
  const meal = (kind) => device(page, kind).getByRole('combobox', { name: 'Meal of Banana, raw' });
  // The demo takes the meal from the time of day. Both devices have to change it, at any time of day.
  for (const kind of ['phone', 'tablet']) await open(page, kind, 'Banana');
  await meal('phone').selectOption('Lunch');
  await until(async () => assert.equal(await meal('tablet').inputValue(), 'lunch'));
  await turn(page, 'tablet', false);
  await change(page, 'phone', 'Banana', 200);
  await meal('phone').selectOption('Breakfast');
  await sent(page, 'phone');
  await change(page, 'tablet', 'Banana', 300);
  await meal('tablet').selectOption('Dinner');
  await device(page, 'tablet').getByRole('switch').check();
  const opens = (kind) => device(page, kind).getByRole('button', { name: /^Settle 1 conflict/ });
  for (const kind of ['phone', 'tablet']) await opens(kind).waitFor();
  await live(page, 'tablet');
  assert.equal(await opens('watch').count(), 0, 'the watch has no part in it');
  await opens('tablet').click();
  const dialog = page.getByRole('dialog', { name: 'Conflicts on the Tablet' });
  await dialog.getByRole('radio', { name: 'Phone said: Quantity is 200' }).waitFor();
  assert.ok(await dialog.getByRole('radio', { name: 'Phone said: Quantity is 200' }).isChecked());
  await dialog.getByRole('radio', { name: 'Tablet said: Meal is Dinner' }).check();
  await dialog.getByRole('textbox', { name: 'What Quantity becomes' }).fill('250');
  await dialog.getByRole('button', { name: 'Settle it' }).click();
  await dialog.getByText('Nothing to settle.').waitFor();
  await page.keyboard.press('Escape');
  for (const kind of ['phone', 'tablet', 'watch']) {
    await grams(page, kind, 'Banana', [250]);
    await opens(kind).waitFor({ state: 'hidden' });
  }
  assert.equal(await meal('phone').inputValue(), 'dinner');
  const [entry] = await bench.rows(token, 'food_entries');
  assert.deepEqual([entry.quantity, entry.meal_type], [250, 'dinner']);
});

test('where the server wins, the device that lost is told which value stayed', async () => {
  const page = await bench.open(await bench.context(), bench.person());
  await page.getByRole('combobox', { name: 'Conflicts' }).selectOption('The server’s value stays');
  await collide(page);
  const notice = device(page, 'tablet').locator('.notice');
  await notice.getByText('A conflict in Diary entry: the server’s value stayed, Quantity 200.').waitFor();
  await grams(page, 'tablet', 'Banana', [200]);
  await notice.getByRole('button', { name: 'Dismiss' }).click();
  await notice.waitFor({ state: 'hidden' });
  assert.equal(await device(page, 'tablet').getByRole('button', { name: /^Settle/ }).count(), 0);
});

test('a row that was deleted there and edited here is brought back by hand', async () => {
  const page = await bench.open(await bench.context(), bench.person());
  await log(page, 'phone', 'banana', 100);
  await grams(page, 'tablet', 'Banana', [100]);
  await turn(page, 'tablet', false);
  await change(page, 'tablet', 'Banana', 130);
  await open(page, 'phone', 'Banana');
  await device(page, 'phone').getByRole('button', { name: 'Delete Banana, raw' }).click();
  await sent(page, 'phone');
  await turn(page, 'tablet', true);
  await grams(page, 'tablet', 'Banana', []);
  await device(page, 'tablet').getByRole('button', { name: /^Settle 1 conflict/ }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Bring it back' }).click();
  for (const kind of ['phone', 'tablet', 'watch']) await grams(page, kind, '', [130]);
});
