// The client's line on a scripted server and a fake clock.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { page, problem, scripted, settled } from '../test-support/scripted.js';

test('connects: an exchange, then the socket with cursor and token', async () => {
  const script = scripted({ tables: ['meals'], deviceType: 'web' });
  const told = [];
  ['connected', 'disconnected', 'sync_completed'].forEach((event) => script.client.on(event, () => told.push(event)));
  await script.live();
  assert.equal(script.socket().url, 'ws://server/api/realtime/ws/phone?cursor=e%2Cuser%3A1%2Cglobal%3A1&tables=meals&device_type=web');
  assert.deepEqual(script.socket().protocols, ['ryzed.v1', 'bearer.token']);
  assert.equal(script.asked[0].body.digest, true);
  script.client.disconnect();
  await settled();
  assert.deepEqual(told, ['sync_completed', 'connected', 'disconnected']);
});

test('five quick attempts, then slow ones; a nudge tries at once', async () => {
  const script = scripted({}, () => {
    throw new Error('no network');
  });
  assert.equal(await script.client.connect(), false);
  const waits = [];
  for (let attempt = 0; attempt < 7; attempt++) {
    waits.push(script.client.status.value.retryInMs);
    await script.clock.forward(waits.at(-1));
  }
  assert.deepEqual(waits, [500, 1000, 2000, 4000, 8000, 45_000, 45_000]);
  const before = script.asked.length;
  script.nudge();
  await settled();
  assert.equal(script.asked.length, before + 1);
  assert.equal(script.client.status.value.retryInMs, 500);
});

test('sends a ping every 30 s, and gives up a line that is silent', async () => {
  const script = scripted();
  await script.live();
  await script.clock.forward(30_000);
  assert.deepEqual(script.socket().sent, [{ type: 'ping', pending_uploads: 0, timestamp: new Date(script.clock.now).toISOString() }]);
  script.socket().hear({ type: 'pong' });
  await script.clock.forward(30_000);
  assert.equal(script.socket().sent.length, 2);
  assert.equal(script.client.status.value.state, 'live');
  await script.clock.forward(10_000);
  assert.equal(script.client.status.value.state, 'waiting');
  await script.clock.forward(500);
  assert.equal(script.sockets.length, 2);
});

test('honours close codes: 1012 waits as told, 4403 and 4409 stop', async () => {
  const script = scripted();
  await script.live();
  script.socket().end(1012, '{"reconnect_in_ms":1830}');
  await settled();
  assert.equal(script.client.status.value.retryInMs, 1830);
  await script.clock.forward(1830);
  script.socket().greet();
  await settled();
  script.socket().end(4409);
  await settled();
  assert.equal(script.client.status.value.state, 'stopped');
  await script.clock.forward(3_600_000);
  assert.equal(script.sockets.length, 2);
});

test('disconnect stops a download between its pages', async () => {
  let give;
  const script = scripted({}, () => new Promise((resolve) => (give = () => resolve(page({ has_more: true, cursor: { user: 1 } })))));
  script.client.connect();
  await settled();
  script.client.disconnect();
  give();
  await settled();
  assert.equal(script.asked.length, 1);
});

test('an old exchange that fails does not harm a new line', async () => {
  const script = scripted();
  await script.live();
  let fail;
  script.answer = () => new Promise((resolve, reject) => (fail = reject));
  const old = script.client.performSync();
  await settled();
  script.client.disconnect();
  script.answer = () => page();
  script.client.connect();
  fail(new Error('lost'));
  await assert.rejects(old);
  await settled();
  assert.equal(script.client.status.value.state, 'opening');
});

test('an exchange that hangs when the network comes back is begun anew', async () => {
  const signals = [];
  const script = scripted({}, (path, body, signal) => {
    signals.push(signal);
    return new Promise((resolve, reject) => signal.addEventListener('abort', () => reject(new Error('aborted'))));
  });
  script.client.connect();
  await settled();
  script.answer = () => page();
  script.nudge();
  await settled();
  assert.deepEqual([signals[0].aborted, script.asked.length, script.client.status.value.state], [true, 2, 'opening']);
});

test('an answer that is not the server’s own, such as a proxy’s, does not stop the line for ever', async () => {
  for (const status of [403, 404]) {
    const script = scripted({}, () => new Response('<h1>Nothing here</h1>', { status }));
    assert.equal(await script.client.connect(), false);
    assert.equal(script.client.status.value.state, 'waiting');
    script.answer = () => problem(status, { detail: 'no' });
    script.nudge();
    await settled();
    assert.equal(script.client.status.value.state, 'stopped');
  }
});
