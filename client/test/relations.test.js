// What the compiler says of names in an `include`.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const client = fileURLToPath(new URL('..', import.meta.url));
const APP = `
import { RyzeRealtimeClient } from '../src/index.js';
import { hooks, RyzedProvider, useQuery as anyQuery } from '../src/bindings/react.js';
import { open } from '../src/inspector/panel.js';

interface Food { id: string; name: string }
interface Meal { id: string; food_id: string | null; quantity: number }
interface Tables { foods: Food; meals: Meal }
interface Relations { foods: { 'meals.food_id': Meal[] }; meals: { food_id: Food | null } }

const client = new RyzeRealtimeClient<Tables, {}, Relations>('https://example.com');
export async function names(): Promise<(string | undefined)[]> {
  const rows = await client.table('meals').query({ where: { quantity: { gt: 1 } }, include: { food: 'food_id' } }).get();
  return rows.map(({ food, quantity }) => (quantity > 1 ? food?.name : undefined));
}
export const counts = async () => (await client.table('foods').query({ include: { meals: 'meals.food_id' } }).get()).map(({ meals }): number => meals.length);
// @ts-expect-error
client.table('meals').query({ include: { food: 'fod_id' } });
// @ts-expect-error
client.table('foods').query({ include: { meals: 'food_id' } });
// @ts-expect-error
export const wrong = async () => (await client.table('meals').query({ include: { food: 'food_id' } }).get()).map(({ food }) => food.name);
const { useQuery } = hooks<Tables, {}, Relations>();
export const answer = () => useQuery('meals', { include: { food: 'food_id' } });
// @ts-expect-error
export const bad = () => useQuery('meals', { include: { food: 'nothing' } });

// Where any client will do.
export const around = RyzedProvider({ client });
open(client);
export const some = () => anyQuery('meals', {}, { client });

// Without relations, any name.
new RyzeRealtimeClient<Tables>('https://example.com').table('meals').query({ include: { food: 'whatever' } });
new RyzeRealtimeClient('https://example.com').table('meals').query({ include: { food: 'whatever' }, groupBy: 'kind' }).subscribe((rows) => rows[0].kind);
`;

test('a wrong name in an include does not compile; a right one gives its row, or rows', () => {
  const folder = mkdtempSync(join(client, '.types-'));
  try {
    writeFileSync(join(folder, 'app.ts'), APP);
    const options = ['--noEmit', '--strict', '--allowJs', '--skipLibCheck', '--checkJs', 'false', '--target', 'es2022', '--module', 'nodenext', '--moduleResolution', 'nodenext', '--lib', 'es2023,dom,dom.iterable'];
    const told = execFileSync(process.execPath, [join(client, 'node_modules/typescript/bin/tsc'), ...options, join(folder, 'app.ts')], { encoding: 'utf8', stdio: 'pipe' });
    assert.equal(told, '');
  } catch (fault) {
    assert.fail(String(fault.stdout ?? fault));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
