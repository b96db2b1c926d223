// How a conflict is shown, and what a person's choices come to.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as collision from '../demo/collision.js';

const field = (name, base, server, client) => ({ field: name, base, server, client, resolved: server });
const raw = { conflict_id: 'c', table: 'food_entries', id: 'r', strategy: 'manual', row: { id: 'r' },
  fields: [field('quantity', 100, 200, 300), field('meal_type', null, 'lunch', 'dinner')] };
const conflict = collision.shownConflict(raw);

test('who deleted the row is told apart from fields that differ', () => {
  assert.equal(conflict.kind, 'fields');
  assert.equal(collision.shownConflict({ ...raw, row: null, fields: [field('quantity', 1, null, 2)] }).kind, 'deleted_there');
  assert.equal(collision.shownConflict({ ...raw, fields: [field('quantity', 1, 2, null)] }).kind, 'deleted_here');
  assert.equal(collision.shownConflict({ ...raw, fields: [] }).kind, 'deleted_here');
  assert.equal(collision.shownConflict({ ...raw, fields: [field('unit', 'g', 'ml', null), field('quantity', 1, 2, 3)] }).kind, 'fields');
});

test('types come from whichever side has a value', () => {
  assert.deepEqual(conflict.fields.map(({ type }) => type), ['number', 'string']);
  assert.equal(collision.shownConflict({ ...raw, fields: [field('tags', null, null, ['a']), field('quantity', 1, 2, 3)] }).fields[0].type, 'json');
});

test('one side for all is that side, by name', () => {
  assert.equal(collision.settlement(conflict, collision.untouched(conflict)), 'server');
  assert.equal(collision.settlement(conflict, conflict.fields.reduce((choices, one) => collision.taken(choices, one, 'client'), {})), 'client');
});

test('field by field is a set of values', () => {
  const mixed = collision.taken(collision.untouched(conflict), conflict.fields[1], 'client');
  assert.deepEqual(collision.settlement(conflict, mixed), { quantity: 200, meal_type: 'dinner' });
  const typed = collision.written(collision.untouched(conflict), conflict.fields[0], '250,5');
  assert.deepEqual(collision.settlement(conflict, typed), { quantity: 250.5, meal_type: 'lunch' });
});

test('what is typed has the type of its field, and nonsense stays for the server to refuse', () => {
  const written = (type, text) => collision.written({}, { field: 'f', type }, text).f.value;
  assert.deepEqual([written('number', ' 7 '), written('number', ''), written('number', 'ten'), written('string', '7'), written('boolean', 'true')], [7, null, 'ten', '7', true]);
});

test('the sides are the devices that said so, or nobody that is known', () => {
  const said = [['r', 'quantity', 200, 'phone'], ['r', 'quantity', 300, 'tablet'], ['gone', undefined, undefined, 'watch']];
  const who = (row, name, value) => said.find((one) => one[0] === row && one[1] === name && one[2] === value)?.[3] ?? null;
  assert.deepEqual(collision.sides(conflict, who), { server: 'phone', late: 'tablet' });
  const gone = { ...raw, id: 'gone', row: null, fields: [field('quantity', 100, null, 300)] };
  assert.deepEqual(collision.sides(collision.shownConflict(gone), who), { server: 'watch', late: null });
  assert.deepEqual(collision.sides(collision.shownConflict({ ...raw, id: 'other' }), who), { server: null, late: null });
});
