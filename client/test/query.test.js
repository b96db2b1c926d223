// Queries: what they mean, and that what is followed stays what a query made anew would answer.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { memoryStorage } from '../src/index.js';
import { compareBy, groupKey, passing } from '../src/conditions.js';
import { page, scripted, settled } from '../test-support/scripted.js';

const ROW = { id: 'a', n: 5, text: 'Oat porridge', none: null, tags: ['x', 'y'], at: '2025-05-07T12:00:00.000000Z', food: '0f0f0f0f-1111-4aaa-8bbb-cccccccccccc' };
const MEANINGS = [
  [{}, true], [{ n: 5 }, true], [{ n: 6 }, false], [{ none: null }, true], [{ missing: null }, true], [{ n: null }, false],
  [{ n: { gt: 4 } }, true], [{ n: { gt: 5 } }, false], [{ n: { gte: 5, lt: 6 } }, true], [{ n: { lte: 4 } }, false], [{ none: { lt: 4 } }, false],
  [{ n: { between: [5, 6] } }, true], [{ n: { between: [6, 7] } }, false], [{ n: { in: [1, 5] } }, true], [{ none: { in: [null] } }, true], [{ n: { in: [] } }, false],
  [{ text: { startsWith: 'Oat' } }, true], [{ text: { contains: 'porr' } }, true], [{ tags: { contains: 'y' } }, true], [{ n: { contains: '5' } }, false],
  [{ none: { isNull: true } }, true], [{ n: { isNull: false } }, true], [{ n: { ne: 5 } }, false], [{ n: { not: { gt: 6 } } }, true], [{ n: { not: 5 } }, false],
  [{ and: [{ n: 5 }, { text: { contains: 'Oat' } }] }, true], [{ or: [{ n: 6 }, { n: 5 }] }, true], [{ or: [] }, false], [{ not: { n: 6 } }, true],
  [{ at: { gte: new Date('2025-05-07T12:00:00Z'), lt: new Date('2025-05-07T12:00:01Z') } }, true], [{ at: new Date('2025-05-07T12:00:00Z') }, true],
  [{ food: ROW.food.toUpperCase() }, true], [{ food: { in: [ROW.food.toUpperCase()] } }, true],
];

test('each condition means what it says', () => {
  for (const [where, holds] of MEANINGS) assert.equal(passing(where)(ROW), holds, JSON.stringify(where));
  assert.throws(() => passing({ n: { above: 4 } }), /no condition above/);
  assert.throws(() => passing({ n: { constructor: 4 } }), /no condition/);
  assert.throws(() => passing(() => true), /plain object/);
  assert.throws(() => compareBy({ n: 'up' }), /asc or desc/);
  assert.throws(() => groupKey({ year: 'at' }), /no group by year/);
});

test('orders are several and stable, and nothing comes first', () => {
  const rows = [{ id: 'd', a: 2, b: 1 }, { id: 'c', a: 1, b: 1 }, { id: 'b', a: 1, b: 2 }, { id: 'a', a: null }, { id: 'e', a: 1, b: 2 }];
  const order = (by) => [...rows].sort(compareBy(by)).map(({ id }) => id).join('');
  assert.deepEqual([order('a'), order(['a', { b: 'desc' }]), order({ a: 'desc' }), order(undefined)], ['abced', 'abecd', 'dbcea', 'abcde']);
});

const food = (at) => `0f0f0f0f-1111-4aaa-8bbb-00000000000${at}`;
async function filled(count) {
  const storage = memoryStorage();
  const rows = [
    ...Array.from({ length: 4 }, (_, at) => ['foods', food(at), { id: food(at), name: `food ${at}`, _version: 1 }]),
    ...Array.from({ length: count }, (_, at) => ['meals', `m${at}`, { id: `m${at}`, q: at % 17, kind: 'abc'[at % 3], food_id: food(at % 4), at: `2025-05-${String(1 + (at % 20)).padStart(2, '0')}T12:00:00Z`, _version: at + 2 }]),
  ];
  await storage.commit([{ rows, cursor: { epoch: 'e', user: count + 9, global: 1 } }]);
  return scripted({ storage }, () => page());
}

test('rows come filtered, ordered, cut, and with what they refer to, both ways', async () => {
  const script = await filled(60);
  const query = script.client.table('meals').query({ where: { kind: 'a', q: { gt: 3 } }, orderBy: [{ q: 'desc' }, 'at'], limit: 3, offset: 1, include: { food: 'food_id' } });
  const rows = await query.get();
  assert.deepEqual(rows.map(({ q, kind, food: { name }, food_id: id }) => [q, kind, name === `food ${id.at(-1)}`]), [[15, 'a', true], [14, 'a', true], [13, 'a', true]]);
  assert.equal((await query.first()).id, rows[0].id);
  assert.equal(await query.count(), (await script.client.table('meals').where((row) => row.kind === 'a' && row.q > 3)).length);
  const all = await script.client.table('meals').all();
  const total = all.reduce((sum, { q }) => sum + q, 0);
  const every = script.client.table('meals').query({});
  assert.deepEqual([await every.sum('q'), await every.avg('q'), await every.min('q'), await every.max('at')], [total, total / 60, 0, '2025-05-20T12:00:00Z']);
  const foods = await script.client.table('foods').query({ include: { meals: 'meals.food_id' }, orderBy: 'name' }).get();
  assert.deepEqual(foods.map(({ meals }) => meals.length), [15, 15, 15, 15]);
  assert.equal(await script.client.table('meals').query({ where: { kind: 'z' } }).avg('q'), null);
});

test('groups add up by field, day, week and month', async () => {
  const script = await filled(60);
  const meals = script.client.table('meals');
  const kinds = await meals.query({ groupBy: 'kind', aggregate: { n: 'count', total: { sum: 'q' }, mean: { avg: 'q' }, least: { min: 'q' }, most: { max: 'q' } }, orderBy: 'kind' }).get();
  assert.deepEqual(kinds.map(({ kind, n, least, most }) => [kind, n, least, most]), [['a', 20, 0, 16], ['b', 20, 0, 16], ['c', 20, 0, 16]]);
  for (const { n, total, mean } of kinds) assert.equal(total / n, mean);
  assert.equal((await meals.query({ groupBy: { day: 'at' } }).get()).length, 20);
  assert.deepEqual((await meals.query({ groupBy: { week: 'at' }, orderBy: 'week' }).get()).map(({ week, count }) => [week, count]), [['2025-04-28', 12], ['2025-05-05', 21], ['2025-05-12', 21], ['2025-05-19', 6]]);
  assert.deepEqual(await meals.query({ groupBy: { month: 'at' } }).get(), [{ month: '2025-05-01', count: 60 }]);
  assert.deepEqual(await meals.query({ aggregate: { total: { sum: 'q' } } }).get(), [{ total: await meals.query({}).sum('q') }]);
});

test('what is followed is at each moment what a query made anew answers', async () => {
  const script = await filled(80);
  const [meals, foods] = ['meals', 'foods'].map((name) => script.client.table(name));
  const specs = [
    ['meals', { where: { q: { lt: 12 } }, orderBy: [{ q: 'desc' }, 'at'], limit: 7, offset: 2, include: { food: 'food_id' } }],
    ['meals', { groupBy: ['kind', { week: 'at' }], aggregate: { n: 'count', total: { sum: 'q' }, mean: { avg: 'q' }, least: { min: 'q' }, most: { max: 'q' } }, orderBy: ['kind', 'week'] }],
    ['foods', { include: { meals: 'meals.food_id' }, orderBy: 'name' }],
    ['meals', { where: { or: [{ kind: 'a' }, { food_id: food(1) }] } }],
  ];
  const last = [];
  let calls = 0;
  specs.forEach(([table, spec], at) => script.client.table(table).query(spec).subscribe((rows) => ((last[at] = rows), calls++)));
  await settled();
  let seed = 7;
  const roll = (sides) => Math.floor(((seed = (seed * 48271) % 2147483647) / 2147483647) * sides);
  for (let step = 0; step < 150; step++) {
    const id = `m${roll(90)}`;
    const act = roll(10);
    if (act < 5) await meals.update(id, { [['q', 'kind', 'food_id', 'at'][roll(4)]]: undefined, q: roll(17), ...(roll(2) && { food_id: food(roll(5)) }), ...(roll(3) ? {} : { kind: 'abc'[roll(3)] }) });
    else if (act < 7) await meals.upsert({ id, q: roll(17), kind: 'b', food_id: food(roll(4)), at: '2025-05-03T12:00:00Z' });
    else if (act < 8) await meals.delete(id);
    else if (act < 9) await foods.update(food(roll(4)), { name: `food ${roll(20)}` });
    else await (roll(2) ? foods.delete(food(roll(4))) : foods.upsert({ id: food(roll(5)), name: `food ${roll(9)}` }));
    await settled();
    for (const [at, [table, spec]] of specs.entries()) {
      const sorted = (rows) => (spec.include?.meals ? rows.map((row) => ({ ...row, meals: [...row.meals].sort((one, other) => (one.id < other.id ? -1 : 1)) })) : rows);
      assert.deepEqual(sorted(last[at]), sorted(await script.client.table(table).query(spec).get()), `step ${step}, query ${at}`);
    }
  }
  assert.ok(calls > 200);
});

test('a query is told only of what shows in it, what changed, and when the copy is ready', async () => {
  const script = await filled(40);
  const meals = script.client.table('meals');
  const told = [];
  const stop = meals.query({ orderBy: 'q', limit: 2 }).subscribe((rows, { isReady, isStale, changed }) => told.push([rows.length, isReady, isStale, changed.length]));
  await settled();
  await meals.update('m16', { q: 99 });
  await settled();
  assert.deepEqual(told, [[2, true, true, 40]]);
  await meals.update('m16', { q: -1 });
  await settled();
  assert.deepEqual(told.at(-1), [2, true, true, 1]);
  stop();
  await meals.update('m16', { q: -2 });
  await settled();
  assert.equal(told.length, 2);
  await assert.rejects(meals.query({ where: { q: { above: 1 } } }).get(), /no condition/);
});
