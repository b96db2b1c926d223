// The client with nothing but what React Native has: no page, no IndexedDB, no channels or locks between tabs, no crypto.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import vm from 'node:vm';
import { buildSync } from 'esbuild';
import WebSocket from 'ws';
import { RyzeRealtimeClient } from '../src/index.js';
import { Daemon } from '../test-support/daemon.js';
import { KeyValueStore } from '../test-support/key-value.js';

const MEAL = { quantity: 100, meal_type: 'lunch', consumed_at: '2025-05-01T12:00:00Z' };
const PATIENCE_MS = 15_000;
/** What the engine Hermes 0.12 lacks of the language. */
const WITHOUT = 'delete Array.prototype.at; delete String.prototype.at; delete globalThis.WeakRef; delete Array.fromAsync; delete Object.groupBy;';
const { outputFiles: [{ text: code }] } = buildSync({
  stdin: {
    contents: "export { RyzeRealtimeClient } from './src/index.js'; export { keyValueStorage } from './src/storage/key-value.js';",
    resolveDir: fileURLToPath(new URL('..', import.meta.url)),
  },
  bundle: true, format: 'iife', globalName: 'ryzed', target: 'es2020', write: false,
});
let daemon;
const apps = [];

before(async () => {
  daemon = await Daemon.start();
});
after(async () => {
  apps.forEach((app) => app.disconnect());
  await daemon?.end();
});

/** An app as it starts: a realm of its own, and all that is outside the language is named here. */
function start(store, options) {
  const realm = vm.createContext({ fetch, WebSocket, setTimeout, clearTimeout, queueMicrotask, AbortController, console, navigator: { product: 'ReactNative' } });
  vm.runInContext(`globalThis.window = globalThis.self = globalThis; ${WITHOUT} ${code}; globalThis.ryzed = ryzed;`, realm);
  for (const missing of ['document', 'addEventListener', 'indexedDB', 'BroadcastChannel', 'crypto', 'structuredClone', 'atob', 'URL', 'EventTarget', 'TextEncoder']) {
    assert.equal(vm.runInContext(`typeof ${missing}`, realm), 'undefined', missing);
  }
  const { RyzeRealtimeClient: Client, keyValueStorage } = realm.ryzed;
  const app = new Client(daemon.url, { ...options, deviceType: 'mobile', storage: keyValueStorage(store) });
  apps.push(app);
  return app;
}

async function until(holds, what) {
  const since = Date.now();
  while (!(await holds())) {
    if (Date.now() - since > PATIENCE_MS) assert.fail(`not within ${PATIENCE_MS} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

test('edits offline, a killed app, and live both ways', async () => {
  const token = daemon.token(randomUUID());
  const store = new KeyValueStore();
  const killed = start(store, { token });
  const { id } = await killed.table('food_entries').insert(MEAL);
  await killed.table('food_entries').update(id, { quantity: 150 });

  const phone = start(store, { token });
  assert.deepEqual([(await phone.table('food_entries').get(id)).quantity, phone.pending.value], [150, 1]);
  assert.equal(phone.deviceId, killed.deviceId);
  assert.equal(await phone.connect(), true);
  await until(() => phone.pending.value === 0, 'the meal is uploaded');

  const web = new RyzeRealtimeClient(daemon.url, { token, deviceId: 'web', platform: { WebSocket } });
  apps.push(web);
  await web.connect();
  assert.equal((await web.table('food_entries').get(id)).quantity, 150);
  await web.table('food_entries').update(id, { quantity: 7 });
  await until(async () => (await phone.table('food_entries').get(id)).quantity === 7, 'the phone hears of it');
  await phone.table('food_entries').delete(id);
  await until(async () => !(await web.table('food_entries').get(id)), 'the web hears of the deletion');
  phone.disconnect();

  const again = start(store, { token });
  const foods = await again.table('foods').all();
  assert.ok(foods.length > 0, 'the catalogue is on the phone, without a line');
  assert.equal((await again.table('food_entries').all()).length, 0);
});

test('another person’s token is found out without atob', async () => {
  const store = new KeyValueStore();
  await start(store, { token: daemon.token(randomUUID()) }).performSync();
  await assert.rejects(start(store, { token: daemon.token(randomUUID()) }).performSync(), /another person/);
});
