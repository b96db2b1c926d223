// The steps tick themselves off by what happens, each part once.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NOTHING, after, isDone, placeOf } from '../demo/steps.js';

const did = (scene, ...events) => events.reduce((done, event) => after(done, scene, event), NOTHING);

test('a step of one part is done by that part on that device', () => {
  assert.ok(isDone(did('diary', { does: 'log', by: 'phone' }), 'diary', 0));
  assert.equal(did('diary', { does: 'log', by: 'tablet' }), NOTHING);
});

test('a step of several parts is done by all of them, in any order', () => {
  const phone = { does: 'change', by: 'phone' };
  const tablet = { does: 'change', by: 'tablet', isOff: true };
  const off = { does: 'offline', by: 'tablet', isOff: true };
  assert.ok(!isDone(did('diary', off, phone), 'diary', 1));
  assert.ok(isDone(did('diary', phone, off, tablet), 'diary', 1));
  assert.ok(!isDone(did('diary', phone, off, { ...tablet, isOff: false }), 'diary', 1), 'an edit online is none');
});

test('coming back counts once one was away', () => {
  const [off, on] = [{ does: 'offline', by: 'phone', isOff: true }, { does: 'online', by: 'phone' }];
  assert.equal(did('run', on), NOTHING);
  assert.ok(isDone(did('run', off, on), 'run', 2));
});

test('a step points at what of it is next, and nothing is done twice', () => {
  assert.deepEqual(placeOf(NOTHING, 'diary', 1), { device: 'tablet', at: '.line input' });
  const done = did('diary', { does: 'offline', by: 'tablet', isOff: true });
  assert.deepEqual(placeOf(done, 'diary', 1), { device: 'tablet', at: '.entries .row' });
  assert.equal(after(done, 'diary', { does: 'offline', by: 'tablet', isOff: true }), done);
  assert.equal(after(done, 'timer', { does: 'log', by: 'phone' }), done);
});
