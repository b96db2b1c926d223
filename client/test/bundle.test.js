// What browsers load: up to date with the source, and small.

import 'fake-indexeddb/auto';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { bundled, FILES } from '../scripts/bundle.js';

/** What shows the copy and takes edits; with queries; with the line; all that a page loads; what is loaded for tables that stay in storage, and to look at it. In bytes, compressed. */
const CORE_MOST = 12_000;
const QUERIES_MOST = 15_000;
const ONLINE_MOST = 21_050;
const ALL_MOST = 29_300;
const LAZY_MOST = 8_500;
const INSPECTOR_MOST = 4_800;
const path = (name) => fileURLToPath(new URL(`../${name}`, import.meta.url));
const size = (...files) => files.reduce((sum, file) => sum + gzipSync(readFileSync(path(`dist/${file}`)), { level: 9 }).length, 0);

test('what is in dist is made from the source as it is', async () => {
  for (const [file, text] of Object.entries(await bundled())) assert.equal(readFileSync(path(`dist/${file}`), 'utf8'), text, `${file}: run npm run bundle`);
});

test('each file is small compressed, and so are all of them', (told) => {
  const [core, online, queries, lazy, inspector] = ['client.js', 'client-online.js', 'client-query.js', 'client-lazy.js', 'client-inspector.js'];
  const loaded = Object.keys(FILES).filter((file) => file !== inspector && file !== lazy);
  const sizes = [[[core], CORE_MOST], [[core, queries], QUERIES_MOST], [[core, online], ONLINE_MOST], [loaded, ALL_MOST], [[lazy], LAZY_MOST], [[inspector], INSPECTOR_MOST]];
  Object.keys(FILES).forEach((file) => told.diagnostic(`${file}: ${size(file)} bytes`));
  for (const [files, most] of sizes) assert.ok(size(...files) <= most, `${files.join(' + ')}: ${size(...files)} bytes, ${most} at most`);
});

test('it works as it is', async () => {
  const { RyzeRealtimeClient } = await import('../dist/client.js');
  const client = new RyzeRealtimeClient('http://nowhere', 'token');
  const { id } = await client.table('meals').insert({ quantity: 1 });
  assert.equal((await client.table('meals').get(id)).quantity, 1);
});

test('tables that stay in storage work as it is, too', async () => {
  const { indexedDbStorage, RyzeRealtimeClient } = await import('../dist/client.js');
  const rows = Array.from({ length: 40 }, (_, at) => ['points', `p${at}`, { id: `p${at}`, q: at, kind: at % 2, _version: at + 1 }]);
  await indexedDbStorage('lazy').commit([{ rows, cursor: { epoch: 'e', user: 40 } }]);
  const client = new RyzeRealtimeClient('http://nowhere', { token: 'token', storage: indexedDbStorage('lazy'), tables: { points: 'lazy' } });
  const spec = { where: { kind: 1 }, orderBy: { q: 'desc' }, limit: 2 };
  await client.table('points').update('p5', { q: 100 });
  assert.deepEqual((await client.table('points').query(spec).get()).map(({ id }) => id), ['p5', 'p39']);
  const told = await new Promise((resolve) => client.table('points').query(spec).subscribe(resolve));
  assert.deepEqual(told.map(({ id }) => id), ['p5', 'p39']);
  assert.deepEqual([(await client.table('points').get('p5')).q, await client.table('points').query(spec).count()], [100, 20]);
  assert.equal((await client.diagnose()).tables[0].rows, 40);
});

test('what apps see of a report has the same names as in the source', async () => {
  const { RyzeRealtimeClient: Source } = await import('../src/index.js');
  const { RyzeRealtimeClient: Built } = await import('../dist/client.js');
  const refusing = async () => Response.json({ type: '/problems/invalid-fields', errors: [{ field: 'size', code: 'x', message: 'y' }] }, { status: 422 });
  const names = (value) => (Object(value) !== value ? typeof value : Array.isArray(value) ? value.slice(0, 1).map(names) : Object.fromEntries(Object.entries(value).map(([name, one]) => [name, names(one)])));
  const [one, other] = await Promise.all([Source, Built].map(async (Client) => {
    const client = new Client('http://nowhere', { token: 'token', platform: { fetch: refusing } });
    await client.table('meals').insert({ size: 1 });
    await client.performSync().catch(() => {});
    await client.table('meals').insert({ size: 2 });
    return names(await client.diagnose());
  }));
  assert.deepEqual(other, one);
  assert.ok(one.edits.length + one.refused.length + one.exchanges.length >= 2, JSON.stringify(one));
});
