// Whose client it is, and with which token it asks.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { memoryStorage } from '../src/index.js';
import { jwt, page, problem, scripted, settled } from '../test-support/scripted.js';

test('a token function is asked again before the token ends and when it was refused', async () => {
  let made = 0;
  const token = () => jwt({ sub: 'u', exp: 1_750_000_000 + 600, made: ++made });
  const script = scripted({ token: async () => token() });
  await script.live();
  assert.equal(made, 1);
  script.socket().hear({ type: 'token_expiring' });
  await settled();
  assert.equal(script.socket().sent.at(-1).type, 'auth');
  script.socket().end(4401);
  await settled();
  assert.equal(made, 3);
  assert.equal(script.sockets.length, 2);
  script.socket().end(4401);
  await settled();
  assert.equal(script.client.status.value.state, 'waiting', 'twice in a row is not asked at once');
});

test('another person’s token does not mix into the copy', async () => {
  const storage = memoryStorage();
  const first = scripted({ storage, token: jwt({ sub: 'one' }) });
  await first.live();
  first.client.disconnect();
  const second = scripted({ storage, token: jwt({ sub: 'two' }) });
  await assert.rejects(second.client.connect(), /another person/);
  assert.equal(second.asked.length, 0);
  await second.client.forget();
  await second.live();
});

test('without a line, too, a refused token is asked for anew', async () => {
  let made = 0;
  const script = scripted({ token: () => `token ${++made}` }, () => (made < 2 ? problem(401) : page()));
  await script.client.performSync();
  assert.deepEqual(script.asked.map(({ token }) => token), ['token 1', 'token 2']);
  script.answer = () => problem(401, { detail: 'expired' });
  await assert.rejects(script.client.performSync(), /expired/);
  assert.equal(made, 3);
});

test('several calls that need a token ask for it once; one that is empty is none', async () => {
  const waiting = [];
  const script = scripted({ token: () => new Promise((resolve) => waiting.push(resolve)) });
  const calls = [script.client.performSync(), script.client.getSyncStatus(), script.client.conflicts()];
  await settled();
  assert.equal(waiting.length, 1);
  waiting[0]('token');
  await Promise.all(calls);
  const none = scripted({ token: async () => '' });
  await none.client.connect();
  assert.deepEqual([none.client.status.value.state, none.asked.length], ['waiting', 0]);
  assert.match(none.client.status.value.why, /gave none/);
});

test('a token that is set while the line waits is tried at once', async () => {
  const script = scripted({ token: () => { throw new Error('signed out'); } });
  await script.client.connect();
  assert.equal(script.client.status.value.state, 'waiting');
  script.client.setToken('token');
  await settled();
  assert.equal(script.client.status.value.state, 'opening');
});

test('a token function that never answers is given up, and asked again', async () => {
  let asked = 0;
  const script = scripted({ token: () => new Promise(() => asked++) });
  const connecting = script.client.connect();
  await settled();
  await script.clock.forward(30_000);
  assert.equal(await connecting, false);
  assert.match(script.client.status.value.why, /in time/);
  script.nudge();
  await settled();
  assert.deepEqual([asked, script.client.status.value.state], [2, 'token']);
});

test('a token that ends within a minute is not used', async () => {
  const tokens = [59, 60, 600].map((seconds) => jwt({ sub: 'u', exp: 1_750_000_000 + seconds }));
  let made = 0;
  const script = scripted({ token: () => tokens[made++] });
  for (let calls = 0; calls < 3; calls++) await script.client.performSync();
  assert.deepEqual(script.asked.map(({ token }) => tokens.indexOf(token)), [0, 1, 1]);
  await script.clock.forward(1000);
  await script.client.performSync();
  assert.equal(script.asked.at(-1).token, tokens[2]);
});
