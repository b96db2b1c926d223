// The panel in Chromium, on the daemon's own page: its policy forbids styles and scripts of others.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import { Daemon } from '../test-support/daemon.js';
import { fresh, launch } from '../test-support/pages.js';

let daemon;
let browser;

before(async () => {
  daemon = await Daemon.start();
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await daemon?.end();
});

test('it opens on any page, shows what the server refused, and goes on', async () => {
  const context = await fresh(browser);
  const page = await context.newPage();
  const faults = [];
  page.on('pageerror', ({ message }) => faults.push(message));
  page.on('console', (message) => message.type() === 'error' && faults.push(message.text()));
  await page.goto(`${daemon.url}/demo`);
  await page.emulateMedia({ colorScheme: 'dark' });
  await page.evaluate(async (token) => {
    const { RyzeRealtimeClient } = await import('/client.js');
    window.client = new RyzeRealtimeClient(location.origin, { token, app: 'inspected' });
    await client.table('food_entries').insert({ quantity: -5, consumed_at: '2025-05-01T08:00:00Z' });
    await client.connect();
    await import('/client-inspector.js').then(({ open }) => open(client));
  }, daemon.token(randomUUID()));
  const panel = page.getByRole('dialog', { name: 'What this device has to send' });
  await panel.getByText('Refused: 1').waitFor();
  await panel.getByText('quantity must be greater than 0').waitFor();
  await panel.getByText('Line: live').waitFor();
  const [back, front] = await panel.evaluate((element) => [getComputedStyle(element).backgroundColor, getComputedStyle(element).color]);
  assert.deepEqual([back, front], ['rgb(18, 18, 18)', 'rgb(255, 255, 255)'], 'dark, and laid out');
  await panel.getByRole('button', { name: 'Discard' }).click();
  await panel.getByRole('button', { name: 'Discard for good?' }).click();
  await panel.getByText('Discarded.').waitFor();
  await panel.getByText('Nothing waits, and nothing is wrong.').waitFor();
  const { text, tables } = await page.evaluate(() => client.diagnose());
  assert.match(text, /storage: IndexedDB, works, [\d.]+ MB of/);
  assert.ok(tables.length && tables.every(({ matches }) => matches), JSON.stringify(tables));
  await page.keyboard.press('Escape');
  assert.equal(await panel.count(), 0);
  assert.deepEqual(faults.filter((fault) => !/demo/.test(fault)), []);
  await context.close();
});

test('a tab that follows tells what the leading one knows', async () => {
  const context = await fresh(browser);
  const [leads, follows] = [await context.newPage(), await context.newPage()];
  const token = daemon.token(randomUUID());
  for (const page of [leads, follows]) {
    await page.goto(`${daemon.url}/livez`);
    await page.evaluate(async (given) => {
      const { RyzeRealtimeClient } = await import('/client.js');
      window.client = new RyzeRealtimeClient(location.origin, { token: given });
      await client.connect();
    }, token);
  }
  const [one, other] = await Promise.all([leads, follows].map((page) => page.evaluate(() => client.diagnose())));
  assert.deepEqual([one.isLeader, other.isLeader, other.deviceId], [true, false, one.deviceId]);
  assert.ok(other.exchanges.length && other.clock);
  await context.close();
});
