// What an app does with the client, and what TypeScript has to refuse. `tables.ts` is made by ryzed-types.
import { memoryStorage, RyzeRealtimeClient, type Conflict, type Options, type Storage } from 'ryzed-client';
import { keyValueStorage } from 'ryzed-client/key-value';
import type { FoodEntries, MyThings, Tables } from './tables.js';

const options: Options = { token: async () => 'token', deviceType: 'web', conflictStrategy: 'manual', tables: ['food_entries', 'my_things'] };
export const client = new RyzeRealtimeClient<Tables>(location.origin, options);
const meals = client.table('food_entries');

export async function edit(): Promise<number> {
  const meal = await meals.insert({ quantity: 1, consumed_at: '2025-05-01T08:00:00Z', meal_type: 'lunch' });
  const changed: FoodEntries | undefined = await meals.update(meal.id, { quantity: 2, meal_type: null });
  await meals.upsert({ ...meal, quantity: 3 });
  await meals.delete(meal.id);
  const [first] = await meals.where((row) => row.quantity > 1);
  const thing: MyThings = await client.table('my_things').insert({ title: 'mine', sizes: [1, 2] });
  return (changed?.quantity ?? 0) + (first?.quantity ?? 0) + (thing.sizes?.[0] ?? 0);
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
  // @ts-expect-error the server gives the version
  (await meals.all())[0]!._version = 3;
  // @ts-expect-error there is no such event
  client.on('synced', () => {});
  // @ts-expect-error there is no such strategy
  new RyzeRealtimeClient('https://sync.example.com', { conflictStrategy: 'mine' });
}
