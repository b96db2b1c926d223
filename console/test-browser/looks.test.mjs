// How the page looks: nothing that axe calls serious, nothing that sticks out, in light and dark, on a phone and wide, in both languages.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Bench, collide, device, go, live, sent, turn } from '../test-support/bench.js';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const SIZES = [{ width: 390, height: 844 }, { width: 820, height: 1180 }, { width: 1440, height: 900 }];
/** The smallest phone there is. */
const NARROW = { width: 320, height: 568 };
const bench = new Bench();

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

/** What axe finds, and what is wider than the window. */
async function wrongs(page, where) {
  const wide = await overflow(page);
  return [...await faults(page, where), ...(wide > 0 ? [`${where}: it is ${wide} px too wide`] : [])];
}

/** A page on which every scene has something to show, with an open conflict. */
async function filled(locale, { food, session, run, end }) {
  const page = await bench.open(await bench.context({ locale }), bench.person());
  const press = (kind, name) => device(page, kind).getByRole('button', { name, exact: true }).click();
  await collide(page, food, '');
  await go(page, 'workout');
  await press('phone', session);
  await sent(page, 'phone');
  await go(page, 'timer');
  await device(page, 'phone').locator('.begin .primary').click();
  await device(page, 'watch').locator('.timer[data-phase=work]').waitFor();
  await device(page, 'watch').locator('.actions .primary').click();
  await go(page, 'run');
  await press('phone', run);
  await press('phone', end);
  return page;
}

async function everyScene(page, where) {
  const found = [];
  for (const scene of ['diary', 'workout', 'timer', 'run']) {
    await go(page, scene);
    await device(page, 'watch').locator(`.${scene}`).waitFor();
    found.push(...await wrongs(page, `${scene}, ${where}`));
  }
  await go(page, 'diary');
  await device(page, 'tablet').locator('.collisions').click();
  await page.getByRole('dialog').waitFor();
  found.push(...await wrongs(page, `conflicts, ${where}`));
  const wide = await page.getByRole('dialog').evaluate((dialog) => dialog.scrollWidth - dialog.clientWidth);
  if (wide > 0) found.push(`conflicts, ${where}: ${wide} px stick out`);
  await page.keyboard.press('Escape');
  return found;
}

test('axe finds nothing serious on any scene, light and dark, phone and wide, and nothing sticks out', async () => {
  const page = await filled('en-GB', { food: 'banana', session: 'Start the session', run: 'Start a run', end: 'End the run' });
  const found = [];
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme });
    for (const size of SIZES) {
      await page.setViewportSize(size);
      found.push(...await everyScene(page, `${colorScheme}, ${size.width}`));
    }
  }
  assert.deepEqual(found, []);
});

test('nor in French, whose words are longer, down to the smallest phone', async () => {
  const page = await filled('fr-FR', { food: 'banane', session: 'Commencer la séance', run: 'Commencer une course', end: 'Finir la course' });
  const found = [];
  for (const size of [...SIZES, NARROW]) {
    await page.setViewportSize(size);
    found.push(...await everyScene(page, `French, ${size.width}`));
  }
  assert.deepEqual(found, []);
});

test('nor where the page asks who is there', async () => {
  const found = [];
  for (const locale of ['en-GB', 'fr-FR']) {
    const page = await (await bench.context({ locale })).newPage();
    await page.goto(`${bench.daemon.url}/demo`);
    await page.locator('#make-person').waitFor();
    await page.locator('#token-part summary').click();
    await page.locator('#token').fill('nonsense');
    await page.locator('#token').press('Enter');
    await page.locator('#token-error').getByText(/./).waitFor();
    for (const colorScheme of ['light', 'dark']) {
      await page.emulateMedia({ colorScheme });
      for (const size of [...SIZES, NARROW]) {
        await page.setViewportSize(size);
        found.push(...await wrongs(page, `token, ${locale}, ${colorScheme}, ${size.width}`));
      }
    }
  }
  assert.deepEqual(found, []);
});

test('with colours that a person chose, the switch of a line is the system’s own', async () => {
  const page = await bench.open(await bench.context({ forcedColors: 'active' }), bench.person());
  const line = device(page, 'phone').getByRole('switch');
  assert.equal(await line.evaluate((node) => getComputedStyle(node).appearance), 'auto');
  await turn(page, 'phone', false);
  await live(page, 'tablet');
});
