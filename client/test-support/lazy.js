// What a storage promises that can leave tables to be read when they are needed: what is asked of them is answered as of a table
// that is loaded whole.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { page, scripted } from './scripted.js';

/** Dice that fall the same way each time. */
export function dice(seed) {
  return (sides) => {
    seed = (seed * 48271) % 0x7fffffff;
    return seed % sides;
  };
}

export const food = (at) => `0f0f0f0f-1111-4aaa-8bbb-00000000000${at}`;
export const foods = Array.from({ length: 6 }, (_, at) => ({ id: food(at), name: `food ${at}`, _version: at + 1 }));
export const point = (at, roll) => ({
  id: `p${String(at).padStart(4, '0')}`, q: roll(12) ? roll(20) : null, kind: roll(9) ? 'abc'[roll(3)] : null, is_out: Boolean(roll(2)), food_id: roll(5) ? food(roll(6)) : null,
  at: `2025-05-${String(1 + roll(28)).padStart(2, '0')}T12:00:00.000000Z`, name: 'xyz'.slice(0, roll(4)) + roll(4), ...(roll(20) ? {} : { tags: ['a'] }), _version: at + 10,
});

export const waitFor = async (holds) => {
  for (let waits = 0; waits < 2000 && !await holds(); waits++) await new Promise((resolve) => setTimeout(resolve, 1));
};
/** Two clients with the same rows, one of which leaves the points in storage. @param {() => any} make A storage */
async function both(make, rows, answer, seed = 1) {
  const made = [];
  for (const tables of [{ points: 'lazy' }, undefined]) {
    const storage = make();
    await storage.load();
    await storage.commit([{ rows: [...foods.map((row) => ['foods', row.id, row]), ...rows.map((row) => ['points', row.id, row])], cursor: { epoch: 'e', user: rows.length + 10, global: 1 } }]);
    made.push(scripted({ storage, tables }, answer));
  }
  return { lazy: made[0], loaded: made[1], roll: dice(seed) };
}

const FIELDS = ['q', 'kind', 'is_out', 'at', 'name', 'food_id', 'tags'];
function whereOf(roll, depth = 0) {
  const value = (field) => ({ q: roll(20), kind: 'abc'[roll(3)], is_out: Boolean(roll(2)), at: `2025-05-${String(1 + roll(28)).padStart(2, '0')}T12:00:00.000000Z`, name: 'xyz'.slice(0, roll(4)), food_id: food(roll(6)), tags: null })[field];
  const condition = (field) => {
    const one = value(field);
    switch (roll(10)) {
      case 0: return { gt: one };
      case 1: return { lte: one };
      case 2: return { between: [value(field), value(field)].sort((a, b) => (a < b ? -1 : 1)) };
      case 3: return { in: [one, value(field), null] };
      case 4: return typeof one === 'string' ? { startsWith: one.slice(0, 2) } : { ne: one };
      case 5: return { isNull: Boolean(roll(2)) };
      case 6: return field === 'at' ? { gte: new Date(one) } : null;
      case 7: return { eq: one };
      default: return one;
    }
  };
  const some = Object.fromEntries(Array.from({ length: roll(3) }, () => FIELDS[roll(FIELDS.length)]).map((field) => [field, condition(field)]));
  if (!depth && !roll(6)) some.or = [whereOf(roll, 1), whereOf(roll, 1)];
  if (!depth && !roll(12)) some.id = roll(2) ? `p${String(roll(300)).padStart(4, '0')}` : { in: [`p${String(roll(300)).padStart(4, '0')}`, 'p0001', 'nobody'] };
  return some;
}
const specOf = (roll) => ({
  where: whereOf(roll),
  ...(roll(4) && { orderBy: Array.from({ length: 1 + roll(2) }, () => ({ [[...FIELDS.slice(0, 6), 'id'][roll(7)]]: roll(2) ? 'asc' : 'desc' })) }),
  ...(roll(3) && { limit: roll(30) }), ...(roll(3) || { offset: roll(12) }), ...(roll(4) || { include: { food: 'food_id' } }),
});

async function agree({ lazy, loaded }, spec, table = 'points') {
  const [mine, theirs] = await Promise.all([lazy, loaded].map(({ client }) => client.table(table).query(spec).get()));
  assert.deepEqual(mine, theirs, JSON.stringify(spec));
  const counts = await Promise.all([lazy, loaded].map(async ({ client }) => {
    const query = client.table(table).query({ where: spec.where });
    return [await query.count(), await query.sum('q'), await query.avg('q'), await query.min('at'), await query.max('q'), (await query.first())?.id];
  }));
  assert.deepEqual(counts[0], counts[1], JSON.stringify(spec.where));
}

/** A server that takes what it gets. */
export class Server {
  rows = new Map(foods.map((row) => [row.id, ['foods', row]]));
  gone = new Map();
  version = 100;

  put(table, row) {
    this.rows.set(row.id, [table, { ...this.rows.get(row.id)?.[1], ...row, _version: ++this.version }]);
    this.gone.delete(row.id);
  }

  drop(id) {
    const [table] = this.rows.get(id) ?? [];
    if (!table) return;
    this.rows.delete(id);
    this.gone.set(id, [table, { id, _version: ++this.version }]);
  }

  answer = (path, { cursor, changes, tables, digest, force_full_sync: isFull }) => {
    const results = changes.map(({ mutation_id, table, operation, data }) => {
      if (operation === 'DELETE') this.drop(data.id);
      else if (operation !== 'UPDATE' || this.rows.has(data.id)) this.put(table, data);
      return { mutation_id, table, id: data.id, status: 'applied', version: this.version };
    });
    const from = isFull ? 0 : cursor?.user ?? 0;
    const by = (some) => [...some.values()].filter(([table, { _version }]) => _version > from && (!tables.length || tables.includes(table)))
      .reduce((all, [table, row]) => ({ ...all, [table]: [...all[table] ?? [], row] }), {});
    const sums = {};
    for (const [table, { _version }] of this.rows.values()) {
      sums[table] ??= { rows: 0, version_sum: 0 };
      sums[table].rows++;
      sums[table].version_sum += _version;
    }
    return page({ results, changes: by(this.rows), deletions: from ? by(this.gone) : {}, total_changes: 1, cursor: { epoch: 'e', user: this.version, global: 1 }, ...(digest && { digest: sums }) });
  };
}

async function pairOn(make, servers) {
  return Promise.all(servers.map(async (server, at) => {
    const script = scripted({ storage: make(), tables: at ? undefined : { points: 'lazy' } }, server.answer);
    await script.client.performSync();
    return script;
  }));
}

/** @param {string} kind @param {() => any} make A storage, empty */
export function answersAsWhole(kind, make) {
  for (const seed of [1, 2, 3]) {
    test(`${kind}: random queries answer as on a loaded table, with and without indexes, among edits: seed ${seed}`, async () => {
      const roll = dice(seed * 7919);
      const pair = await both(make, Array.from({ length: 1300 }, (_, at) => point(at, roll)));
      for (let round = 0; round < 40; round++) {
        const spec = specOf(roll);
        await agree(pair, spec);
        // The index that was made for it answers the same.
        if (!roll(2)) await new Promise((resolve) => setTimeout(resolve, 5));
        await agree(pair, spec);
        for (let edits = roll(3); edits; edits--) {
          const id = `p${String(roll(1400)).padStart(4, '0')}`;
          const change = { q: roll(20), kind: 'abcd'[roll(4)], name: `x${roll(5)}` };
          const kind = roll(3);
          for (const { client } of [pair.lazy, pair.loaded]) {
            const points = client.table('points');
            if (kind === 0) await points.delete(id);
            else if (kind === 1) await points.upsert({ id, ...change });
            else await points.update(id, change);
          }
        }
        await agree(pair, spec);
      }
      assert.deepEqual(await pair.lazy.client.table('points').get('p0007'), await pair.loaded.client.table('points').get('p0007'));
    });
  }

  test(`${kind}: what is followed shows at each moment what a loaded table shows: own edits, downloads, live changes, all anew`, async () => {
    const roll = dice(4711);
    const servers = [new Server(), new Server()];
    const onBoth = (run) => Promise.all(servers.map((server, at) => run(server, at)));
    for (let at = 0; at < 700; at++) {
      const row = point(at, roll);
      await onBoth((server) => server.put('points', row));
    }
    const scripts = await pairOn(make, servers);
    const specs = [
      { where: { kind: 'a' }, orderBy: [{ q: 'desc' }, 'at'], limit: 5, offset: 2, include: { food: 'food_id' } },
      { where: { q: { gt: 3 } }, orderBy: { at: 'desc' }, limit: 10 }, { orderBy: 'name', limit: 3 }, { where: { food_id: food(2) } }, { limit: 4 },
      { groupBy: 'kind', aggregate: { n: 'count', total: { sum: 'q' }, most: { max: 'at' } }, orderBy: 'kind' },
      { where: { id: 'p0003' } }, { where: { or: [{ kind: 'b' }, { is_out: true }] }, orderBy: { name: 'desc' }, limit: 6 },
    ];
    const told = scripts.map(() => []);
    scripts.forEach(({ client }, which) => {
      specs.forEach((spec, at) => client.table('points').query(spec).subscribe((rows) => (told[which][at] = rows)));
      client.table('foods').query({ include: { points: 'points.food_id' }, orderBy: 'name' }).subscribe((rows) => (told[which][specs.length] = rows.map((one) => ({ ...one, points: [...one.points].sort((a, b) => (a.id < b.id ? -1 : 1)) }))));
      client.table('points').subscribe({ kind: 'b' }, (rows) => (told[which][specs.length + 1] = [...rows].sort((a, b) => (a.id < b.id ? -1 : 1))));
    });
    for (let step = 0; step < 120; step++) {
      const id = `p${String(roll(720)).padStart(4, '0')}`;
      const change = { q: roll(20), kind: 'abc'[roll(3)], name: `x${roll(5)}`, food_id: food(roll(6)), at: `2025-05-${10 + roll(19)}T12:00:00.000000Z` };
      const what = roll(9);
      const run = (which) => {
        const points = scripts[which].client.table('points');
        if (what === 0) return points.delete(id);
        if (what === 1) return points.upsert({ id, ...change });
        if (what === 2) return points.update(id, { q: change.q });
        if (what === 3) return servers[which].put('points', { id, ...change });
        if (what === 4) return servers[which].drop(id);
        if (what === 5) return servers[which].put('foods', { id: change.food_id, name: `food ${change.q}` });
        if (what === 6) return roll(4) || step % 10 ? scripts[which].client.performSync() : scripts[which].client.performSync(true);
        return scripts[which].client.performSync();
      };
      const dices = roll(4);
      await Promise.all([0, 1].map((which) => run(which, dices)));
      await waitFor(() => JSON.stringify(told[0]) === JSON.stringify(told[1]));
      assert.deepEqual(told[0], told[1], `step ${step}: ${what} ${id}`);
    }
  });
}
