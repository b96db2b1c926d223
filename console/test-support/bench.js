// The demo in Chromium on a real daemon, and what a person does there. `CHROMIUM` names the browser, else /usr/bin/chromium.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, afterEach, before } from 'node:test';
import { chromium } from 'playwright-core';
import { Daemon } from '../../client/test-support/daemon.js';

const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];
/** Long enough for a busy machine. What is waited for comes at once on an idle one. */
const PATIENCE_MS = 20_000;

/** A time zone where it is past noon: no day ends during a story, and the demo's meal of the hour is always the same. */
function noonZone() {
  const ahead = 12 - new Date().getUTCHours();
  // These names count westwards.
  return `Etc/GMT${ahead < 0 ? '+' : '-'}${Math.abs(ahead)}`;
}

export class Bench {
  /** What the pages complained about. */
  complaints = [];
  #contexts = [];

  /** One for all stories of a file. */
  constructor() {
    before(async () => {
      this.daemon = await Daemon.start();
      this.browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: FLAGS });
    });
    after(async () => {
      await this.browser?.close();
      await this.daemon?.end();
    });
    afterEach(() => this.#clear());
  }

  /** A token of a new person. */
  person() {
    return this.daemon.token(randomUUID());
  }

  /** A token of the same person that was issued in a later second than now. */
  async newer(token) {
    const claims = (of) => JSON.parse(Buffer.from(of.split('.')[1], 'base64url'));
    const now = Math.floor(Date.now() / 1000);
    return until(() => {
      const newer = this.daemon.token(claims(token).sub);
      assert.ok(claims(newer).iat > now);
      return newer;
    });
  }

  /** A browser of its own, with a storage of its own. */
  async context(options = {}) {
    const context = await this.browser.newContext({ locale: 'en-GB', timezoneId: noonZone(), viewport: { width: 1440, height: 900 }, reducedMotion: 'reduce', ...options });
    context.setDefaultTimeout(PATIENCE_MS);
    this.#contexts.push(context);
    return context;
  }

  /** A tab with the demo, its devices live. */
  async open(context, token, scene = 'diary') {
    const page = await context.newPage();
    page.sockets = 0;
    page.on('websocket', () => page.sockets++);
    page.on('pageerror', (fault) => this.complaints.push(fault.stack));
    page.on('console', (line) => line.type() === 'error' && !/Failed to load resource|WebSocket connection/.test(line.text()) && this.complaints.push(line.text()));
    await page.goto(`${this.daemon.url}/demo#token=${token}`);
    if (scene !== 'diary') await go(page, scene);
    for (const kind of ['phone', 'tablet', 'watch']) await live(page, kind);
    return page;
  }

  /** Ends what a story opened. A page that complained fails it. */
  async #clear() {
    await Promise.all(this.#contexts.splice(0).map((context) => context.close()));
    assert.deepEqual(this.complaints.splice(0), []);
  }

  /** The rows that the server holds. */
  async rows(token, table) {
    const { changes } = await this.daemon.get(`/changes?tables=${table}`, token);
    return changes[table] ?? [];
  }
}

/** A device on the page. */
export const device = (page, kind) => page.locator(`#${kind}`);

export const live = (page, kind) => device(page, kind).locator('.badge[data-state=live]').waitFor();

/** Until all that the device queued is sent. */
export const sent = (page, kind) => device(page, kind).locator('.queued:not(.some)').waitFor();

/** Switches the line of a device. */
export async function turn(page, kind, on) {
  await device(page, kind).getByRole('switch').setChecked(on);
  if (on) await live(page, kind);
  else await device(page, kind).locator('.badge[data-state=off]').waitFor();
}

/** Shows a scene on all devices. */
export const go = (page, scene) => page.evaluate((name) => { location.hash = name; }, scene);

/** Logs a meal by what is typed to find its food. */
export async function log(page, kind, food, grams) {
  const form = device(page, kind).locator('.log-meal');
  await form.getByRole('combobox').first().fill(food);
  await page.keyboard.press('Enter');
  await form.getByRole('spinbutton').fill(String(grams));
  await form.locator('.primary').click();
}

/** The grams of the entries whose food's name has `food` in it, once they are as expected. */
export async function grams(page, kind, food, expected) {
  const field = device(page, kind).locator('.entries li').filter({ hasText: food });
  await until(async () => {
    const held = await field.evaluateAll((items) => items.map((item) => item.querySelector('input')?.value ?? item.querySelector('.quantity').textContent.replace(/[^\d.]/g, '')));
    assert.deepEqual(held.map(Number).sort(), [...expected].sort());
  });
}

/** Opens the fields of the first entry of a food, unless they are. */
export async function open(page, kind, food) {
  const row = device(page, kind).locator('.entries li').filter({ hasText: food }).first().locator('.row');
  if (await row.getAttribute('aria-expanded') !== 'true') await row.click();
}

/** Changes the grams of the first entry of a food. */
export async function change(page, kind, food, to) {
  await open(page, kind, food);
  const field = device(page, kind).locator('.entries li').filter({ hasText: food }).first().getByRole('spinbutton');
  await field.fill(String(to));
  await field.press('Tab');
}

/** Logs a meal that phone and tablet change apart, to 200 and 300 g: a conflict, once the tablet is back. `name` is the food's on the page. */
export async function collide(page, food = 'banana', name = 'Banana') {
  await log(page, 'phone', food, 100);
  await grams(page, 'tablet', name, [100]);
  await turn(page, 'tablet', false);
  await change(page, 'phone', name, 200);
  await change(page, 'tablet', name, 300);
  await sent(page, 'phone');
  await turn(page, 'tablet', true);
}

/** Waits for `check` to pass. */
export async function until(check) {
  const end = Date.now() + PATIENCE_MS;
  for (;;) {
    try {
      return await check();
    } catch (fault) {
      if (Date.now() > end) throw fault;
    }
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
}
