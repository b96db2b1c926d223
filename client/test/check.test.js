// What a client refuses before it is queued.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { check } from '../src/check.js';

const schema = { properties: { id: { type: 'string' }, name: { type: 'string' }, _unsaid: { type: 'array' } }, required: ['id', 'name'], additionalProperties: false };

test('a row that was got with a field that can\'t be said may be sent back whole', () => {
  const row = { id: 'a', name: null, _unsaid: ['name'] };
  for (const operation of ['INSERT', 'UPSERT', 'UPDATE']) assert.deepEqual(check(schema, operation, row), [], operation);
  assert.deepEqual(check(schema, 'UPDATE', { id: 'a', name: null }).map(({ field, code }) => [field, code]), [['name', 'wrong_type']]);
  assert.deepEqual(check(schema, 'UPDATE', { ...row, name: 7 }).map(({ field }) => field), ['name']);
});
