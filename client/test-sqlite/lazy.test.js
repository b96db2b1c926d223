// Tables that stay in SQLite until they are read: a file of Node.js, and a phone's database.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { digestOf } from '../src/damage.js';
import { indexOf, inSql, textOf } from '../src/lazy/sql.js';
import { planOf } from '../src/lazy/plan.js';
import { open } from '../src/replica.js';
import { expoStorage, opStorage } from '../src/storage/expo.js';
import { sqliteStorage } from '../src/storage/node.js';
import { answersAsWhole, dice, point, Server } from '../test-support/lazy.js';
import { expoSqlite, opSqlite } from '../test-support/phone-sqlite.js';
import { scripted } from '../test-support/scripted.js';

const INDEXES_MOST = 8;
const folder = mkdtempSync(join(tmpdir(), 'ryzed-lazy-'));
let count = 0;
const file = () => join(folder, `${++count}.db`);
after(() => rmSync(folder, { recursive: true, force: true }));

const kinds = {
  node: (name) => sqliteStorage(name),
  expo: (name) => expoStorage(expoSqlite(() => name)),
  op: (name) => opStorage(opSqlite(() => name)),
};
for (const [kind, make] of Object.entries(kinds)) answersAsWhole(kind, () => make(file()));

/** A storage with these rows, whose points are lazy. */
async function filled(rows, name = file()) {
  const storage = sqliteStorage(name);
  storage.lazy(null, inSql(['points']));
  const { lazy, rows: loaded } = await storage.load(true);
  await storage.commit([{ rows: rows.map((row) => ['points', row.id, row]), cursor: { epoch: 'e', user: rows.length } }]);
  return { storage, name, points: lazy.of('points'), loaded };
}

/** What SQLite says of how it will do a query. */
function planned(name, text) {
  const database = new DatabaseSync(name);
  const steps = database.prepare(`EXPLAIN QUERY PLAN ${text}`).all().map(({ detail }) => detail);
  database.close();
  return steps;
}
const indexesIn = (name) => {
  const database = new DatabaseSync(name);
  const names = database.prepare("SELECT name FROM sqlite_master WHERE type = 'index' AND name LIKE 'ryzed lazy %' ORDER BY rowid").all().map((one) => one.name);
  database.close();
  return names;
};

test('each page of a query is read by its index, and nothing is sorted', async () => {
  const roll = dice(3);
  const { storage, name, points } = await filled(Array.from({ length: 1500 }, (_, at) => point(at, roll)));
  const specs = [
    { where: { kind: 'a' }, orderBy: { at: 'desc' } }, { where: { kind: null, is_out: true }, orderBy: [{ q: 'desc' }, 'at'] }, { orderBy: ['name', { at: 'desc' }] },
    { where: { q: { between: [3, 9] } }, orderBy: 'q' }, { where: { food_id: '0F0F0F0F-1111-4AAA-8BBB-000000000001' } }, { orderBy: { id: 'desc' } },
  ];
  for (const spec of specs) {
    const { name: index, values, from, to } = planOf(spec);
    const [pages, seen] = [[], new Set()];
    for (let after, count = 100; ; ) {
      const { rows, next } = await points.read({ name: index, values, from, to, after, count });
      pages.push(textOf(indexOf('points', index), { values, from, to, after, count }));
      rows.forEach(({ id }) => assert.ok(!seen.has(id) && seen.add(id), `${id} comes once`));
      if (!(after = next)) break;
    }
    assert.ok(seen.size > 50, JSON.stringify(spec));
    storage.close();
    for (const text of pages.slice(0, 3)) {
      const steps = planned(name, text);
      assert.deepEqual([steps.length, /USING (COVERING )?INDEX ryzed lazy points/.test(steps[0])], [1, true], steps.join('; '));
    }
  }
});

test('values that SQLite would order otherwise are looked through instead', async () => {
  const rows = ['😀 smile', '\ufb01n', 'plain', 'z'].map((name, at) => ({ id: `p${at}`, name, list: at === 2 ? ['a'] : `x${at}`, _version: at + 1 }));
  const { storage, name } = await filled(rows);
  const { client } = scripted({ storage, tables: { points: 'lazy' } });
  const names = async (orderBy) => (await client.table('points').query({ orderBy, limit: 3 }).get()).map((row) => row.id);
  assert.deepEqual(await names('name'), ['p2', 'p3', 'p0'], 'as JavaScript compares texts');
  assert.deepEqual(await names('list'), ['p2', 'p0', 'p1']);
  await client.table('points').query({ where: { 'odd "field"': 1 }, limit: 3 }).get();
  storage.close();
  assert.ok(indexesIn(name).length > 0);
});

test('eight indexes of a table are kept, and none of a table that is loaded whole', async () => {
  const roll = dice(5);
  const { storage, name, points } = await filled(Array.from({ length: 50 }, (_, at) => point(at, roll)));
  const ask = async (spec, rows = points) => {
    const { name: index, values } = planOf(spec);
    return rows.read({ name: index, values, count: 5 });
  };
  for (const field of 'abcdefghijkl') await ask({ orderBy: field });
  assert.equal((await ask({ orderBy: 'a' })).rows.length, 5, 'one that was dropped is made again');
  storage.close();
  assert.equal(indexesIn(name).filter((one) => !one.endsWith('order')).length, INDEXES_MOST);
  const again = sqliteStorage(name);
  again.lazy(null, inSql(['others']));
  const { lazy, rows } = await again.load(true);
  assert.equal(rows.length, 50);
  await again.commit([{ rows: [['others', 'x', { id: 'x', _version: 1 }]] }]);
  await ask({ orderBy: 'a' }, lazy.of('others'));
  again.close();
  assert.ok(indexesIn(name).every((one) => one.startsWith('ryzed lazy others')));
});

test('what its rows add up to is what the digest says, after each change', async () => {
  const server = new Server();
  const roll = dice(7);
  for (let at = 0; at < 300; at++) server.put('points', { ...point(at, roll), id: `00000000-0000-4000-8000-${String(at).padStart(12, '0')}` });
  const name = file();
  const storage = sqliteStorage(name);
  const { client } = scripted({ storage, tables: { points: 'lazy' } }, server.answer);
  for (let round = 0; round < 4; round++) {
    server.put('points', { id: `00000000-0000-4000-8000-00000000000${round}`, q: round });
    server.drop(`00000000-0000-4000-8000-00000000001${round}`);
    await client.performSync(round === 2);
    const rows = [...server.rows.values()].filter(([table]) => table === 'points');
    const whole = digestOf(open({ rows, queue: [], cursor: null, meta: {} }), ['points']).points;
    assert.equal((await client.diagnose()).tables.find(({ table }) => table === 'points').rows, whole.rows);
    const lazily = sqliteStorage(file());
    lazily.lazy(null, inSql(['points']));
    const { lazy } = await lazily.load(true);
    await lazily.commit([{ rows: rows.map(([table, row]) => [table, row.id, row]) }]);
    assert.deepEqual(await lazy.of('points').source.sums('points'), whole);
    lazily.close();
  }
});

test('a table is lazy, whole and lazy again, with the same answers, and what is loaded is the rest', async () => {
  const roll = dice(11);
  const name = file();
  const rows = Array.from({ length: 400 }, (_, at) => point(at, roll));
  const spec = { where: { kind: 'b' }, orderBy: { at: 'desc' }, limit: 7 };
  const first = sqliteStorage(name);
  await first.load(true);
  await first.commit([{ rows: [['foods', 'f', { id: 'f', _version: 1 }], ['z', 'z', { id: 'z', _version: 1 }], ...rows.map((row) => ['points', row.id, row])], cursor: { epoch: 'e', user: 500 } }]);
  first.close();
  const answers = [];
  for (const tables of [undefined, { points: 'lazy' }, undefined, { points: 'lazy', a: 'lazy' }]) {
    const storage = sqliteStorage(name);
    const loads = [];
    const spied = { ...storage, load: async (leads) => {
      const kept = await storage.load(leads);
      loads.push(kept.rows.length);
      return kept;
    } };
    const { client } = scripted({ storage: spied, tables });
    answers.push((await client.table('points').query(spec).get()).map(({ id }) => id));
    await client.table('points').update(answers[0][0], { name: 'mine' });
    assert.equal((await client.table('points').get(answers[0][0])).name, 'mine');
    assert.deepEqual(loads, [tables ? 2 : 402]);
    storage.close();
  }
  answers.forEach((answer) => assert.deepEqual(answer, answers[0]));
});
