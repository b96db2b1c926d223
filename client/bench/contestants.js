// The same rows and the same question, asked of three libraries. Each answers with `edit(n)`, which changes a row that is
// shown and ends when the callback has it.

/** 100,000 rows, 200 that they refer to. A third passes; the 50 newest are shown, each with its food. */
export const COUNT = 100_000;
export const FOODS = 200;
const id = (kind, at) => `00000000-0000-4000-8${kind}00-${String(at).padStart(12, '0')}`;
const time = (at) => new Date(1_700_000_000_000 + at * 60_000).toISOString();
export const foods = () => Array.from({ length: FOODS }, (_, at) => ({ id: id('f0'.slice(0, 2), at), name: `food ${at}`, _version: 1 }));
export const meals = () => Array.from({ length: COUNT }, (_, at) => ({
  id: id('a0'.slice(0, 2), at), food_id: id('f0'.slice(0, 2), at % FOODS), quantity: at % 500, kind: 'abc'[at % 3], consumed_at: time(at), _version: at + 2,
}));
/** One of the 50 that are shown. */
export const shown = (n) => id('a0'.slice(0, 2), COUNT - 1 - ((COUNT - 1) % 3) - 3 * (n % 40));

/** Resolves with the next answer for which `holds`. */
function next() {
  let wanted = () => {};
  return { heard: (rows) => wanted(rows), until: (holds) => new Promise((resolve) => (wanted = (rows) => holds(rows) && resolve(rows))) };
}

export async function ryzed() {
  const { RyzeRealtimeClient, indexedDbStorage } = await import('ryzed-client');
  await indexedDbStorage('ryzed').commit([{
    rows: [...meals().map((row) => ['meals', row.id, row]), ...foods().map((row) => ['foods', row.id, row])], cursor: { epoch: 'e', user: COUNT + 1 },
  }]);
  const client = new RyzeRealtimeClient('http://127.0.0.1:9', 'token');
  const { heard, until } = next();
  const first = until(({ length }) => length === 50);
  client.table('meals').query({ where: { kind: 'a' }, orderBy: { consumed_at: 'desc' }, limit: 50, include: { food: 'food_id' } }).subscribe(heard);
  await first;
  return (n) => {
    const done = until((rows) => rows.some((row) => row.quantity === 1000 + n && row.food.name));
    client.table('meals').update(shown(n), { quantity: 1000 + n });
    return done;
  };
}

export async function tanstack() {
  const { createCollection, createLiveQueryCollection, eq, localOnlyCollectionOptions } = await import('@tanstack/db');
  const given = (name, rows) => createCollection(localOnlyCollectionOptions({ id: name, getKey: (row) => row.id, initialData: rows }));
  const [meal, food] = [given('meals', meals()), given('foods', foods())];
  const { heard, until } = next();
  const live = createLiveQueryCollection({
    startSync: true,
    query: (q) => q.from({ m: meal }).join({ f: food }, ({ m, f }) => eq(m.food_id, f.id), 'left').where(({ m }) => eq(m.kind, 'a'))
      .orderBy(({ m }) => m.consumed_at, 'desc').limit(50).select(({ m, f }) => ({ id: m.id, quantity: m.quantity, name: f.name })),
  });
  await live.preload();
  live.subscribeChanges(() => heard(live.toArray));
  return (n) => {
    const done = until((rows) => rows.some((row) => row.quantity === 1000 + n && row.name));
    meal.update(shown(n), (draft) => void (draft.quantity = 1000 + n));
    return done;
  };
}

export async function dexie() {
  const { Dexie, liveQuery } = await import('dexie');
  const db = new Dexie('bench');
  db.version(1).stores({ meals: 'id, [kind+consumed_at]', foods: 'id' });
  await db.meals.bulkPut(meals());
  await db.foods.bulkPut(foods());
  const { heard, until } = next();
  const first = until(({ length }) => length === 50);
  liveQuery(async () => {
    const rows = await db.meals.where('[kind+consumed_at]').between(['a', Dexie.minKey], ['a', Dexie.maxKey]).reverse().limit(50).toArray();
    const found = await db.foods.bulkGet(rows.map((row) => row.food_id));
    return rows.map((row, at) => ({ ...row, food: found[at] }));
  }).subscribe(heard);
  await first;
  return (n) => {
    const done = until((rows) => rows.some((row) => row.quantity === 1000 + n && row.food.name));
    db.meals.update(shown(n), { quantity: 1000 + n });
    return done;
  };
}
