// A table as a collection. TanStack DB's own types need `skipLibCheck`.
import { createCollection } from '@tanstack/db';
import { RyzeRealtimeClient } from 'ryzed-client';
import { ryzedCollectionOptions } from 'ryzed-tanstack-db';

const client = new RyzeRealtimeClient('https://sync.example.com');
const collection = createCollection(ryzedCollectionOptions<{ id: string; quantity: number; at: Date }>({ client, table: 'food_entries', parse: (row) => ({ ...row, at: new Date(row.consumed_at) }), persistedWhen: 'settled' }));
export const first: Date | undefined = collection.toArray[0]?.at;
export const written: Promise<unknown> = collection.insert({ id: 'id', quantity: 1, at: new Date() }).isPersisted.promise;
// @ts-expect-error there is no such field
collection.toArray[0]?.amount;
