// The hooks in an app, and what TypeScript has to refuse of them.
import { createElement, Suspense } from 'react';
import { createRoot } from 'react-dom/client';
import { hooks, RyzedProvider, useConflicts, useQuery, useRefused, useRow, useStatus } from 'ryzed-client/react';
import { open } from 'ryzed-client/inspector';
import type { expoStorage, opStorage } from 'ryzed-client/expo';
import type { sqliteStorage } from 'ryzed-client/node';
import { sqlStorage } from 'ryzed-client/sql';
import type { Diagnosis, Storage } from 'ryzed-client';
import { client } from './main.js';
import type { FoodEntries, Inserts, Tables } from './tables.js';

const known = hooks<Tables, Inserts>();

function Meals() {
  const { rows, isLoading, isReady, isStale, error } = known.useQuery('food_entries', { where: { meal_type: 'lunch' }, orderBy: 'consumed_at' }, { suspense: true });
  const { row } = known.useRow('foods', rows[0]?.food_id);
  const any = useQuery<FoodEntries>('food_entries', null);
  const named: string | undefined = row?.name_en;
  const loose: number | undefined = useRow('anything', 'id', { client }).row?.size;
  const { state, pending } = useStatus();
  const { conflicts, resolve } = useConflicts();
  const { refused, retry, discard } = useRefused();
  const settle = () => void Promise.all([resolve(conflicts[0]?.conflict_id ?? '', 'client'), retry(refused[0]?.mutation_id ?? '', {}), discard()]);
  // @ts-expect-error there is no such table
  known.useQuery('nothing');
  // @ts-expect-error there is no such field
  known.useQuery('foods', { where: { amount: 1 } });
  // @ts-expect-error a row's name is a text
  const wrong: number | undefined = row?.name_en;
  return createElement('p', { onClick: settle }, isLoading || !isReady ? 'Loading…' : `${rows.length} ${any.rows[0]?.quantity} ${named} ${loose} ${isStale} ${error?.message} ${state} ${pending} ${wrong}`);
}

createRoot(document.querySelector('#meals')!).render(createElement(RyzedProvider, { client, children: createElement(Suspense, { fallback: 'Loading…' }, createElement(Meals)) }));
document.querySelector('#help')!.addEventListener('click', () => open(client).close());
export const told: Promise<string> = client.diagnose().then(({ text }: Diagnosis) => text);
export const kinds: (typeof sqliteStorage | typeof expoStorage | typeof opStorage)[] = [];
export const own: Storage = sqlStorage({ all: async () => [], batch: async () => {} });
