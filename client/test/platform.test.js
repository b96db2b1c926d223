// What the client takes from its surroundings.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { claims, surroundings, uuid } from '../src/platform.js';
import { jwt } from '../test-support/scripted.js';

test('an id is a random UUID, with and without a source of randomness', () => {
  for (const crypto of [globalThis.crypto, {}, undefined]) {
    const known = Object.getOwnPropertyDescriptor(globalThis, 'crypto');
    Object.defineProperty(globalThis, 'crypto', { value: crypto, configurable: true });
    const ids = [uuid(), uuid()];
    Object.defineProperty(globalThis, 'crypto', known);
    ids.forEach((id) => assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/));
    assert.notEqual(ids[0], ids[1]);
  }
});

test('wakes when the network comes or goes and when the page comes back, until it is told to stop', () => {
  const page = Object.assign(new EventTarget(), { visibilityState: 'hidden' });
  const world = new EventTarget();
  const given = { document: page, addEventListener: world.addEventListener.bind(world), removeEventListener: world.removeEventListener.bind(world) };
  Object.assign(globalThis, given);
  let nudges = 0;
  const stop = surroundings().wakes(() => nudges++);
  const seen = [];
  const happens = (where, sign) => {
    where.dispatchEvent(new Event(sign));
    seen.push(nudges);
  };
  happens(page, 'visibilitychange');
  page.visibilityState = 'visible';
  happens(page, 'visibilitychange');
  happens(world, 'online');
  happens(world, 'offline');
  stop();
  happens(page, 'visibilitychange');
  happens(world, 'online');
  Object.keys(given).forEach((name) => delete globalThis[name]);
  assert.deepEqual(seen, [0, 1, 2, 3, 3, 3]);
});

test('a token says whose it is and when it ends; what is none says nothing', () => {
  for (let code = 32; code < 127; code++) {
    const held = { sub: `${String.fromCharCode(code).repeat(4)}?>~`, exp: code };
    assert.deepEqual(claims(jwt(held)), held);
  }
  for (const none of ['', 'token', 'a.b.c', 'a.b']) assert.deepEqual(claims(none), {});
});
