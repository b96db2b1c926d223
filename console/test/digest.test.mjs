// What the demo holds against the server's digest.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { digestOf } from '../demo/digest.js';

const ROWS = [
  { id: '0d3c1c52-7f6c-4d9f-9d4b-0b5c3c1d7e11', _version: 42 },
  { id: '00000000-0000-0000-0000-000000000000', _version: 1 },
  { id: 'ffffffff-ffff-ffff-ffff-ffffffffffff', _version: Number.MAX_SAFE_INTEGER },
];

test('the digest is the one that the protocol defines', () => {
  assert.deepEqual(digestOf([]), { rows: 0, version_sum: 0, hash: '00000000000000' });
  assert.deepEqual(digestOf(ROWS.slice(0, 1)), { rows: 1, version_sum: 42, hash: '25937793a1128c' });
  assert.equal(digestOf(ROWS).hash, '1370fd539a64ee');
  assert.equal(digestOf(ROWS.toReversed()).hash, '1370fd539a64ee');
  assert.equal(digestOf([{ id: 'banana', _version: 7 }]).hash, '00000070000007');
});
