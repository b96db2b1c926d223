// Two devices in Chromium behind each kind of hostile network, with a real daemon: edits made online come across both ways, and the
// copies become the server's. `CHROMIUM` names the browser, else /usr/bin/chromium.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import { Daemon } from '../test-support/daemon.js';
import { HOSTILE } from '../test-support/hostile.js';
import { fresh, launch } from '../test-support/pages.js';

const PATIENCE_MS = 60_000;
/** The client's times are so much shorter here, but for what the server is asked for. */
const FASTER = 4;
let daemon;
let browser;

before(async () => {
  process.env.RYZED_LIMITS__POLL_SECONDS = '2';
  process.env.RYZED_SERVER__ALLOWED_ORIGINS = '*';
  daemon = await Daemon.start();
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await daemon?.end();
});

/** A device of its own behind the proxy. */
async function device(url, token, deviceId) {
  const page = await (await fresh(browser)).newPage();
  await page.goto(`${url}/livez`);
  await page.evaluate(async ([at, bearer, id, faster]) => {
    const { RyzeRealtimeClient } = await import('/client.js');
    window.client = new RyzeRealtimeClient(at, { token: bearer, deviceId: id, platform: { setTimeout: (run, ms) => setTimeout(run, ms / faster) } });
    client.connect().catch(() => {});
  }, [url, token, deviceId, FASTER]);
  return page;
}

const quantities = (page) => page.evaluate(async () => Object.fromEntries((await client.table('food_entries').all()).map(({ id, quantity, _pending }) => [id, _pending ? 'pending' : quantity])));
const status = (page) => page.evaluate(() => ({ ...client.status.value }));

async function until(holds, pages) {
  const since = Date.now();
  while (!(await holds())) {
    if (Date.now() - since > PATIENCE_MS) assert.fail(`not within ${PATIENCE_MS} ms: ${JSON.stringify(await Promise.all(pages.map(status)))}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

for (const [name, { make, way }] of Object.entries(HOSTILE)) {
  test(name, async () => {
    const proxy = await make(daemon.port);
    const token = daemon.token(randomUUID());
    const pages = await Promise.all(['phone', 'tablet'].map((id) => device(proxy.url, token, id)));
    try {
      await until(async () => (await Promise.all(pages.map(status))).every(({ transport }) => transport === way), pages);
      for (const [from, to] of [pages, [...pages].reverse()]) {
        const id = await from.evaluate(async () => (await client.table('food_entries').insert({ quantity: 1, consumed_at: '2025-05-01T12:00:00Z' })).id);
        await until(async () => (await quantities(to))[id] === 1, pages);
        await to.evaluate((row) => client.table('food_entries').update(row, { quantity: 2 }), id);
        await until(async () => (await quantities(from))[id] === 2, pages);
      }
      const theirs = Object.fromEntries(Object.values((await daemon.rows(token)).food_entries).map(({ id, quantity }) => [id, quantity]));
      await until(async () => (await Promise.all(pages.map(quantities))).every((held) => JSON.stringify(Object.entries(held).sort()) === JSON.stringify(Object.entries(theirs).sort())), pages);
    } finally {
      await Promise.all(pages.map((page) => page.context().close()));
      proxy.close();
    }
  });
}
