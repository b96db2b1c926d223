// The copy's rules.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { answered, cursorText, live, request, HELD_MOST } from '../src/answers.js';
import { damaged, digestOf, REPAIR_EVERY_MS } from '../src/damage.js';
import { applyPatch, open, see, seeAll } from '../src/replica.js';
import { page } from '../test-support/scripted.js';

const OWN = { scope: 'user:u', type: 'data_updated', table: 'meals', operation: 'UPDATE' };
const row = (id, version, rest) => ({ id, _version: version, ...rest });

function copyWith(rows = [], cursor = { epoch: 'e', user: 5, global: 0 }) {
  const copy = open({ rows: rows.map((one) => ['meals', one]), queue: [], cursor, meta: {} });
  copy.behind = false;
  return copy;
}
const take = (copy, patch) => applyPatch(copy, patch);
const how = { aside: false, asked: { epoch: 'e' } };

test('pages count only once the last one is there', () => {
  const copy = copyWith([row('a', 1)]);
  take(copy, answered(copy, page({ changes: { meals: [row('b', 6)] }, has_more: true, cursor: { user: 6 } }), how));
  assert.deepEqual(seeAll(copy, 'meals').map(({ id }) => id), ['a']);
  assert.deepEqual(copy.cursor, { epoch: 'e', user: 5, global: 0 });
  assert.deepEqual(request(copy, [], { tables: [] }).body.cursor, { user: 6 });
  take(copy, answered(copy, page({ deletions: { meals: [row('a', 7)] }, cursor: { user: 7 } }), how));
  assert.deepEqual(seeAll(copy, 'meals').map(({ id }) => id), ['b']);
  assert.deepEqual([copy.cursor, copy.behind, copy.staged], [{ user: 7 }, false, null]);
});

test('of a row that comes several times, the last page counts', () => {
  const copy = copyWith([row('a', 1)]);
  take(copy, answered(copy, page({ changes: { meals: [row('a', 6), row('b', 7)] }, has_more: true, cursor: { user: 7 } }), how));
  take(copy, answered(copy, page({ changes: { meals: [row('b', 9)] }, deletions: { meals: [{ id: 'a', _version: 8 }] } }), how));
  assert.deepEqual(seeAll(copy, 'meals'), [row('b', 9)]);
});

test('a reset keeps unsent edits and shows the old rows until the new ones are complete', () => {
  const copy = copyWith([row('a', 1)]);
  const edit = { mutation_id: 'm', table: 'meals', operation: 'UPDATE', data: { id: 'a', q: 2 }, base_version: 1 };
  take(copy, answered(copy, page({ reset: true, has_more: true, cursor: {} }), how));
  take(copy, { queue: [edit] });
  assert.equal(see(copy, 'meals', 'a').q, 2);
  const aside = request(copy, [edit], { tables: [] });
  assert.deepEqual([aside.aside, aside.body.cursor], [true, copy.cursor]);
  assert.equal(request(copy, [], { tables: [] }).body.cursor, undefined);
  const stale = { mutation_id: 'm', status: 'rejected', table: 'meals', id: 'a', errors: [] };
  take(copy, answered(copy, page({ reset: true, results: [stale] }), { aside: true, asked: copy.cursor }));
  assert.equal(copy.queue.length, 0);
  take(copy, answered(copy, page({ changes: { meals: [row('b', 1)] } }), { aside: false }));
  assert.deepEqual(seeAll(copy, 'meals'), [row('b', 1)]);
});

test('a server that orders to start over again and again is not obeyed', () => {
  assert.throws(() => answered(copyWith(), page({ reset: true }), { aside: false, asked: undefined }));
});

test('results stay visible until the rows are there', () => {
  const copy = copyWith([row('a', 1, { q: 1 })]);
  take(copy, { queue: [{ mutation_id: 'm', table: 'meals', operation: 'UPDATE', data: { id: 'a', q: 2 } }] });
  const results = [{ mutation_id: 'm', status: 'merged', table: 'meals', id: 'a', version: 6 }];
  take(copy, answered(copy, page({ results, has_more: true }), how));
  assert.equal(see(copy, 'meals', 'a').q, 2);
  take(copy, answered(copy, page({ changes: { meals: [row('a', 6, { q: 2, r: 3 })] } }), how));
  assert.deepEqual([see(copy, 'meals', 'a'), copy.queue], [row('a', 6, { q: 2, r: 3 }), []]);
});

test('a live message moves rows and the cursor of its scope; an old one nothing', () => {
  const copy = copyWith([row('a', 1)]);
  take(copy, live(copy, { ...OWN, version: 6, data: { id: 'a', q: 1 } }, true));
  assert.deepEqual([see(copy, 'meals', 'a'), copy.cursor.user], [row('a', 6, { q: 1 }), 6]);
  assert.deepEqual(live(copy, { ...OWN, version: 6, data: { id: 'a', q: 0 } }, true), {});
  take(copy, live(copy, { type: 'database_change', scope: 'global', table: 'foods', operation: 'INSERT', version: 1, new_record: { id: 'f' }, old_record: null }, true));
  assert.deepEqual([copy.cursor.global, see(copy, 'foods', 'f')._version], [1, 1]);
  take(copy, live(copy, { type: 'database_change', scope: 'user:u', table: 'meals', operation: 'DELETE', version: 7, new_record: null, old_record: { id: 'a' } }, true));
  assert.equal(see(copy, 'meals', 'a'), undefined);
});

test('a jump over versions means a pull when all tables are copied, and nothing with some', () => {
  const copy = copyWith();
  const message = { ...OWN, version: 9, data: { id: 'a' } };
  assert.equal(live(copy, message, false).cursor.user, 9);
  take(copy, live(copy, message, true));
  assert.deepEqual([copy.behind, copy.cursor.user, copy.held], [true, 5, [message]]);
  take(copy, live(copy, { ...message, version: 10 }, true));
  assert.equal(copy.held.length, 2);
});

test('a digest names the damaged tables, each once an hour', () => {
  const copy = copyWith([row('a', 3), row('b', 4)]);
  assert.deepEqual(digestOf(copy, ['meals']), { meals: { rows: 2, version_sum: 7, hash: '00000070000007' } });
  assert.deepEqual(damaged(copy, { meals: { rows: 2, version_sum: 7 }, foods: { rows: 0, version_sum: 0 } }, 0), []);
  const differs = { meals: { rows: 2, version_sum: 8 } };
  assert.deepEqual(damaged(copy, differs, 0), ['meals']);
  assert.deepEqual(damaged(copy, {}, 0), ['meals']);
  copy.meta = { repaired: { meals: 1000 } };
  assert.deepEqual(damaged(copy, differs, 1000 + REPAIR_EVERY_MS - 1), []);
  assert.deepEqual(damaged(copy, differs, 1000 + REPAIR_EVERY_MS), ['meals']);
});

// The vectors of docs/protocol.md.
const VECTORS = [
  ['0d3c1c52-7f6c-4d9f-9d4b-0b5c3c1d7e11', 42, '25937793a1128c'],
  ['00000000-0000-0000-0000-000000000000', 1, '24f1da62a943cd'],
  ['ffffffff-ffff-ffff-ffff-ffffffffffff', Number.MAX_SAFE_INTEGER, '08ebab11500e30'],
];

test('the hash of a table is the one that the protocol defines, in any order', () => {
  const hash = (...rows) => digestOf(copyWith(rows), ['meals']).meals.hash;
  for (const [id, version, own] of VECTORS) assert.equal(hash(row(id, version)), own);
  const all = VECTORS.map(([id, version]) => row(id, version));
  assert.equal(hash(...all), '1370fd539a64ee');
  assert.equal(hash(...all.reverse()), '1370fd539a64ee');
  assert.equal(hash(row('banana', 7)), '00000070000007');
  assert.equal(hash(row('é'.repeat(32), 7)), '00000070000007');
  assert.equal(hash(), '00000000000000');
});

test('rows that changed places, and one lost and one doubled, are damage under equal sums', () => {
  const ids = VECTORS.map(([id]) => id);
  const theirs = digestOf(copyWith([row(ids[0], 3), row(ids[1], 4)]), ['meals']);
  const damages = [[row(ids[0], 4), row(ids[1], 3)], [row(ids[0], 3), row(ids[2], 4)], [row(ids[0], 2), row(ids[1], 5)]];
  for (const rows of damages) {
    assert.deepEqual(damaged(copyWith(rows), theirs, 0), ['meals']);
    // A daemon of release 0.1 can't tell.
    assert.deepEqual(damaged(copyWith(rows), { meals: { rows: 2, version_sum: 7 } }, 0), []);
  }
  assert.deepEqual(damaged(copyWith([row(ids[1], 4), row(ids[0], 3)]), theirs, 0), []);
});

test('the cursor goes into an address as it came', () => {
  assert.equal(cursorText({ epoch: 'k3f9', user: 41, global: 7, user_begun: 3 }), 'k3f9,user:41,global:7,user_begun:3');
});

test('a clock that was set back does not put off a repair', () => {
  const copy = copyWith([row('a', 3)]);
  copy.meta = { repaired: { meals: 5000 } };
  assert.deepEqual(damaged(copy, { meals: { rows: 2, version_sum: 8 } }, 4999), ['meals']);
});

const foods = (id, user_id, version) => ({ id, user_id, _version: version });

test('a row that moves between a person and the catalogue stays, whichever scope counts higher', () => {
  const download = (held, changed, deletedAt) => {
    const copy = open({ rows: [['foods', held]], queue: [], cursor: { epoch: 'e', user: 9, global: 9 }, meta: {} });
    take(copy, answered(copy, page({ changes: { foods: [changed] }, deletions: { foods: [{ id: 'f', _version: deletedAt }] } }), how));
    return seeAll(copy, 'foods');
  };
  assert.deepEqual(download(foods('f', 'u', 5000), foods('f', null, 184), 5001), [foods('f', null, 184)]);
  assert.deepEqual(download(foods('f', null, 184), foods('f', 'u', 4), 185), [foods('f', 'u', 4)]);
});

test('a deletion in a later page counts, unless the row had moved before', () => {
  const copy = copyWith();
  const first = page({ changes: { meals: [row('a', 6), row('b', 900)] }, has_more: true, cursor: { user: 900 } });
  take(copy, answered(copy, first, how));
  take(copy, answered(copy, page({ deletions: { meals: [{ id: 'a', _version: 901 }, { id: 'b', _version: 8 }] } }), how));
  assert.deepEqual(seeAll(copy, 'meals').map(({ id }) => id), ['b']);
});

test('live, a deletion in the scope that a row left does not take it away', () => {
  for (const order of [[0, 1], [1, 0]]) {
    const copy = open({ rows: [['foods', foods('f', 'u', 5)]], queue: [], cursor: { epoch: 'e', user: 5, global: 1 }, meta: {} });
    copy.behind = false;
    const messages = [
      { type: 'database_change', scope: 'user:u', table: 'foods', operation: 'DELETE', version: 6, new_record: null, old_record: { id: 'f' } },
      { type: 'database_change', scope: 'global', table: 'foods', operation: 'INSERT', version: 2, new_record: { id: 'f', user_id: null }, old_record: null },
    ];
    for (const at of order) take(copy, live(copy, messages[at], true));
    assert.deepEqual([seeAll(copy, 'foods'), copy.cursor], [[foods('f', null, 2)], { epoch: 'e', user: 6, global: 2 }]);
  }
});

test('more live messages than it holds during a download mean another pull', () => {
  const copy = copyWith();
  take(copy, { behind: true });
  for (let version = 6; version < 6 + HELD_MOST + 5; version++) take(copy, live(copy, { ...OWN, version, data: { id: 'a' } }, false));
  assert.equal(copy.held, null);
  take(copy, answered(copy, page(), how));
  assert.deepEqual([copy.behind, copy.held], [true, []]);
  take(copy, answered(copy, page(), how));
  assert.equal(copy.behind, false);
});
