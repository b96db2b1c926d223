// The demo's pure parts, without a browser: `node --test console/test/`.

import assert from 'node:assert/strict';
import test from 'node:test';

import { afterClose, afterStatus, backoff } from '../demo/link.js';
import * as r from '../demo/replica.js';

const TABLE = 'food_entries';
const USER = 'user:7d2e3e4a-01d7-4f90-acc4-b40a45837092';

const page = (rows, cursor, deletions = []) => ({ changes: { [TABLE]: rows }, deletions: { [TABLE]: deletions }, cursor });
const cursor = (user) => ({ epoch: 'k3f9', user, global: 7 });
const entry = (quantity, version) => ({ id: 'a', quantity, meal_type: 'lunch', _version: version });
const holding = (quantity = 100, version = 40) => r.applyPages(r.emptyReplica(), [page([entry(quantity, version)], cursor(version))]);
const update = (mutation_id, data) => ({ mutation_id, table: TABLE, operation: 'UPDATE', data: { id: 'a', ...data } });
const live = (version, data, operation = 'UPDATE') => ({ type: 'data_updated', table: TABLE, operation, data, scope: USER, version });
const result = (mutation_id, status, version) => ({ mutation_id, status, table: TABLE, id: 'a', version });
const rows = (replica) => r.view(replica, TABLE).map(({ row }) => row);
const send = (replica) => r.markSent(replica, r.sendable(replica));

test('pages are applied together, and the last one tells the cursor', () => {
  const first = page([entry(1, 3), { id: 'b', quantity: 2, _version: 4 }], cursor(4));
  const second = page([], cursor(5), [{ id: 'b', _version: 5 }]);
  const replica = r.applyPages(r.emptyReplica(), [first, second]);
  assert.deepEqual(rows(replica), [entry(1, 3)]);
  assert.deepEqual(replica.cursor, cursor(5));
  assert.equal(replica.behind, false);
});

test('an older fact never replaces a newer one, nor brings a deleted row back', () => {
  const deleted = r.applyLive(holding(), live(42, { id: 'a' }, 'DELETE'));
  assert.deepEqual(rows(r.applyPages(deleted, [page([entry(5, 41)], cursor(41))])), []);
  const newer = r.applyLive(holding(), live(42, { id: 'a', quantity: 9 }));
  assert.equal(rows(r.applyLive(newer, live(41, { id: 'a', quantity: 1 })))[0].quantity, 9);
});

test('a live message changes only what it names and moves the cursor of its scope', () => {
  const replica = r.applyLive(holding(), live(42, { id: 'a', quantity: 180 }));
  assert.deepEqual(rows(replica), [entry(180, 42)]);
  assert.deepEqual(replica.cursor, cursor(42));
  const food = { type: 'database_change', table: 'foods', operation: 'INSERT', old_record: null, new_record: { id: 'f' }, scope: 'global', version: 8 };
  assert.deepEqual(r.applyLive(replica, food).cursor, { epoch: 'k3f9', user: 42, global: 8 });
});

test('a deletion written into the database is known by its old record', () => {
  const message = { type: 'database_change', table: TABLE, operation: 'DELETE', old_record: { id: 'a' }, new_record: null, scope: USER, version: 41 };
  assert.deepEqual(rows(r.applyLive(holding(), message)), []);
});

test('while a pull is owed a live message leaves the cursor alone', () => {
  const replica = r.applyLive(r.oweAPull(holding()), live(99, { id: 'a', quantity: 1 }));
  assert.equal(replica.cursor.user, 40);
  assert.equal(rows(replica)[0].quantity, 1);
});

test('a queued edit shows at once, carries its base version, and is undone when rejected', () => {
  const replica = r.queueEdit(holding(), update('m1', { quantity: 180 }));
  assert.deepEqual(r.view(replica, TABLE), [{ row: entry(180, 40), pending: true }]);
  assert.equal(replica.queue[0].base_version, 40);
  const rejected = r.settle(send(replica), result('m1', 'rejected'));
  assert.deepEqual(r.view(rejected, TABLE), [{ row: entry(100, 40), pending: false }]);
});

test('edits of one row join while none of them was sent', () => {
  let replica = r.queueEdit(holding(), update('m1', { quantity: 180 }));
  replica = r.queueEdit(replica, update('m2', { quantity: 190, meal_type: 'dinner' }));
  assert.deepEqual(replica.queue.map(({ mutation_id }) => mutation_id), ['m2']);
  assert.deepEqual(replica.queue[0].data, { id: 'a', quantity: 190, meal_type: 'dinner' });
  const insert = { mutation_id: 'm3', table: TABLE, operation: 'INSERT', data: { id: 'b', quantity: 1 } };
  const gone = r.queueEdit(r.queueEdit(r.emptyReplica(), insert), { mutation_id: 'm4', table: TABLE, operation: 'DELETE', data: { id: 'b' } });
  assert.deepEqual(gone.queue, []);
});

test('an edit behind one that was sent waits, then starts from the version that one made', () => {
  let replica = send(r.queueEdit(holding(), update('m1', { quantity: 180 })));
  replica = r.queueEdit(replica, update('m2', { quantity: 190 }));
  assert.deepEqual(r.sendable(replica), []);
  assert.deepEqual(r.sendable(replica, { again: true }).map(({ mutation_id }) => mutation_id), ['m1']);
  replica = r.settle(replica, result('m1', 'applied', 41));
  assert.deepEqual(r.sendable(replica).map(({ mutation_id, base_version }) => [mutation_id, base_version]), [['m2', 41]]);
});

test('an applied edit becomes the confirmed row; its version moves the cursor only without a gap', () => {
  const sent = send(r.queueEdit(holding(), update('m1', { quantity: 180 })));
  const next = r.settle(sent, result('m1', 'applied', 41));
  assert.deepEqual(r.view(next, TABLE), [{ row: entry(180, 41), pending: false }]);
  assert.deepEqual([next.cursor.user, next.behind], [41, false]);
  const gap = r.settle(sent, result('m1', 'applied', 43));
  assert.deepEqual([gap.cursor.user, gap.behind], [40, true]);
});

test('a merged edit stays visible, and the others’ part of the row is pulled', () => {
  const sent = send(r.queueEdit(holding(), update('m1', { quantity: 180 })));
  const merged = r.settle(sent, result('m1', 'merged', 42));
  assert.equal(merged.behind, true);
  assert.deepEqual(rows(merged), [entry(180, 40)]);
  const pulled = r.applyPages(merged, [page([{ ...entry(180, 42), meal_type: 'dinner' }], cursor(42))]);
  assert.deepEqual(rows(pulled), [{ ...entry(180, 42), meal_type: 'dinner' }]);
});

test('a conflict takes the row as the server settled it, or its deletion', () => {
  const sent = send(r.queueEdit(holding(), update('m1', { quantity: 180 })));
  const lost = r.settle(sent, result('m1', 'conflict', 41), { row: { id: 'a', quantity: 50, meal_type: 'lunch' } });
  assert.deepEqual(r.view(lost, TABLE), [{ row: entry(50, 41), pending: false }]);
  assert.deepEqual(rows(r.settle(sent, result('m1', 'conflict', 41), { row: null })), []);
});

test('a result that comes twice settles once', () => {
  const sent = send(r.queueEdit(holding(), update('m1', { quantity: 180 })));
  const once = r.settle(sent, result('m1', 'applied', 41));
  assert.equal(r.settle(once, result('m1', 'applied', 41)), once);
});

test('a reset drops the copy and keeps the queue', () => {
  const replica = r.reset(r.queueEdit(holding(), update('m1', { quantity: 180 })));
  assert.deepEqual([rows(replica), replica.cursor, replica.queue.length], [[], null, 1]);
});

test('digests count live rows, and an absent table is an empty one', () => {
  const mine = r.digestOf(holding(), ['foods', TABLE]);
  assert.deepEqual(mine, { foods: { rows: 0, version_sum: 0 }, [TABLE]: { rows: 1, version_sum: 40 } });
  assert.deepEqual(r.digestDifferences(mine, { [TABLE]: { rows: 1, version_sum: 40 } }, ['foods', TABLE]), []);
  assert.equal(r.digestDifferences(mine, {}, [TABLE])[0].table, TABLE);
});

test('a cursor in a query string keeps every part, known or not', () => {
  assert.equal(r.cursorText({ ...cursor(41), user_begun: 12 }), 'k3f9,user:41,global:7,user_begun:12');
  assert.equal(r.cursorText(null), '');
});

test('what goes on the wire is the protocol’s, not the queue’s', () => {
  const [edit] = send(r.queueEdit(holding(), update('m1', { quantity: 1 }))).queue;
  assert.deepEqual(Object.keys(r.onTheWire(edit, 'merge')).sort(), ['base_version', 'conflict_strategy', 'data', 'mutation_id', 'operation', 'table']);
});

test('a broken line is answered by its close code', () => {
  const after = (code, reason = '', attempt = 0) => afterClose({ code, reason }, attempt, 1);
  assert.equal(after(4401).do, 'token');
  for (const code of [4400, 4403, 4409]) assert.equal(after(code).do, 'stop');
  assert.equal(after(4403).revoked, true);
  assert.deepEqual(after(1012, '{"reconnect_in_ms":1234}'), { do: 'wait', ms: 1234 });
  assert.deepEqual(after(1012, 'no json'), { do: 'wait', ms: 500 });
  assert.ok(after(4429).ms > 10_000);
  assert.deepEqual(after(1006, '', 3), { do: 'wait', ms: 4000 });
});

test('an answer without success stops, waits or asks for a token', () => {
  assert.equal(afterStatus({ status: 401 }, 0, 0).do, 'token');
  assert.deepEqual(afterStatus({ status: 422, detail: 'no such table' }, 0, 0), { do: 'stop', why: 'no such table' });
  assert.equal(afterStatus({ status: 403, type: '/problems/device-revoked' }, 0, 0).revoked, true);
  assert.deepEqual(afterStatus({ status: 503, retryAfter: '2' }, 0, 0), { do: 'wait', ms: 2250 });
});

test('waiting grows, stays bounded, and is never nothing', () => {
  const waits = [0, 1, 2, 20, 2000].map((attempt) => backoff(attempt, 0.5));
  assert.deepEqual(waits, [375, 750, 1500, 22500, 22500]);
  assert.ok(backoff(0, 0) > 0);
});
