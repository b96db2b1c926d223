// What an app does with the client, and what TypeScript has to refuse. `tables.ts` is made by ryzed-types.
import { memoryStorage, RyzeRealtimeClient, type Conflict, type Options, type Storage } from 'ryzed-client';
import { keyValueStorage } from 'ryzed-client/key-value';
import type { FoodEntries, FoodEntriesInsert, FoodEntriesMealType, Foods, Included, Inserts, MyThings, Tables, WorkoutExercises } from './tables.js';

const options: Options = { token: async () => 'token', deviceType: 'web', conflictStrategy: 'manual', tables: ['food_entries', 'my_things'] };
export const client = new RyzeRealtimeClient<Tables, Inserts>(location.origin, options);
const meals = client.table('food_entries');

export async function edit(): Promise<number> {
  const meal = await meals.insert({ quantity: 1, consumed_at: '2025-05-01T08:00:00Z', meal_type: 'lunch' });
  const changed: FoodEntries | undefined = await meals.update(meal.id, { quantity: 2, meal_type: null });
  await meals.upsert({ ...meal, quantity: 3 });
  await meals.upsert(meal);
  const least: FoodEntriesInsert = { quantity: 1, consumed_at: '2025-05-01T08:00:00Z' };
  await meals.insert(least).settled;
  const [first_, ...others]: FoodEntries[] = await client.batch(() => void meals.insert(least));
  const large = await meals.query({ where: { quantity: { gte: 50 }, or: [{ meal_type: null }, { meal_type: { in: ['lunch', 'snack'] } }] }, orderBy: { consumed_at: 'desc' } }).get();
  const undone: number = (await client.undo()).length + others.length + large.length + (first_?.quantity ?? 0);
  console.log(undone);
  await meals.delete(meal.id);
  const [first] = await meals.where((row) => row.quantity > 1);
  const thing: MyThings = await client.table('my_things').insert({ title: 'mine', sizes: [1, 2] });
  return (changed?.quantity ?? 0) + (first?.quantity ?? 0) + (thing.sizes?.[0] ?? 0);
}

/** Rows with an include, as the relations have it. */
export function included(meal: Included<'food_entries', { food: 'food_id' }>, session: Included<'workout_sessions', { exercises: 'workout_exercises.session_id' }>): string {
  const food: Foods | null = meal.food;
  const exercises: WorkoutExercises[] = session.exercises;
  const when: FoodEntriesMealType = meal.meal_type ?? 'lunch';
  // @ts-expect-error nothing of that name is referred to
  type Wrong = Included<'food_entries', { food: 'fodder_id' }>;
  return `${food?.name_en} ${exercises.length} ${when}${'' as string | keyof Wrong}`;
}

export const stop: () => void = meals.subscribe({ meal_type: 'lunch' }, (rows) => {
  document.querySelector('#lunches')!.textContent = `${rows.length} for lunch`;
});
client.on('conflict', ({ fields, row }: Conflict) => console.log(fields.map(({ field, server, client: mine }) => [field, server, mine]), row?.id));
client.on('sync_completed', ({ totalChanges, conflicts }) => console.log(totalChanges + conflicts.length));
client.on('other_device_synced', ({ deviceId }) => console.log(deviceId.length));
client.on('error', ({ code, message, edit: refused }) => console.log(code, message, refused?.table));
client.status.subscribe(({ state, retryInMs }) => console.log(state === 'live', retryInMs + 1));
client.pending.subscribe((count) => console.log(count + 1));
client.connect().then((isLive: boolean) => console.log(isLive));

const texts = new Map<string, string>();
const storage: Storage = keyValueStorage({
  getAllKeys: async () => [...texts.keys()],
  getItem: async (key) => texts.get(key) ?? null,
  setItem: async (key, value) => texts.set(key, value),
  removeItem: async (key) => texts.delete(key),
});
/** Rows and inserts alike, as before there were types for both. */
export const alike = new RyzeRealtimeClient<Tables>(location.origin).table('food_entries');
export const loose = new RyzeRealtimeClient('https://sync.example.com', { token: 'token', storage });
export const other = new RyzeRealtimeClient('https://sync.example.com', { storage: memoryStorage() });

export async function refused(): Promise<void> {
  await loose.table('anything').insert({ a: 1 });
  // @ts-expect-error there is no such table
  client.table('nothing');
  // @ts-expect-error there is no such meal
  await meals.update('id', { meal_type: 'brunch' });
  // @ts-expect-error a meal needs its time
  await meals.insert({ quantity: 1 });
  // @ts-expect-error not without the id of the session that it belongs to
  await client.table('workout_exercises').insert({ order_index: 1 });
  // @ts-expect-error a time is a text, and must be there
  await meals.insert({ quantity: 1, consumed_at: null });
  // @ts-expect-error there is no such column
  await meals.insert({ quantity: 1, consumed_at: '2025-05-01T08:00:00Z', amount: 3 });
  // @ts-expect-error the server gives the version
  await meals.insert({ quantity: 1, consumed_at: '2025-05-01T08:00:00Z', _version: 3 });
  // @ts-expect-error the server says when it was changed
  await meals.update('id', { updated_at: '2025-05-01T08:00:00Z' });
  // @ts-expect-error a row keeps its id
  await meals.update('id', { id: 'other' });
  // @ts-expect-error a meal needs its time
  await alike.insert({ quantity: 1 });
  // @ts-expect-error there is no such field
  meals.query({ where: { amount: 1 } });
  // @ts-expect-error a quantity is a number
  meals.query({ where: { quantity: { gte: '50' } } });
  // @ts-expect-error there is no such condition
  meals.query({ where: { quantity: { above: 50 } } });
  // @ts-expect-error there is no such field to order by
  meals.query({ orderBy: { amount: 'desc' } });
  // @ts-expect-error there is no such field to add up
  meals.query({ groupBy: 'meal_type', aggregate: { kcal: { sum: 'energy' } } });
  // @ts-expect-error the server gives the version
  (await meals.all())[0]!._version = 3;
  // @ts-expect-error there is no such event
  client.on('synced', () => {});
  // @ts-expect-error there is no such strategy
  new RyzeRealtimeClient('https://sync.example.com', { conflictStrategy: 'mine' });
}
