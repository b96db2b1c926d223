// What browsers load: up to date with the source, and small.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { bundled, FILES } from '../scripts/bundle.js';

/** What shows the copy and takes edits; with queries; with the line; all of it. In bytes, compressed. */
const CORE_MOST = 12_080;
const QUERIES_MOST = 15_000;
const ONLINE_MOST = 19_600;
const ALL_MOST = 26_500;
const path = (name) => fileURLToPath(new URL(`../${name}`, import.meta.url));
const size = (...files) => files.reduce((sum, file) => sum + gzipSync(readFileSync(path(`dist/${file}`)), { level: 9 }).length, 0);

test('what is in dist is made from the source as it is', async () => {
  for (const [file, text] of Object.entries(await bundled())) assert.equal(readFileSync(path(`dist/${file}`), 'utf8'), text, `${file}: run npm run bundle`);
});

test('each file is small compressed, and so are all of them', () => {
  const [core, online, queries] = ['client.js', 'client-online.js', 'client-query.js'];
  const sizes = [[[core], CORE_MOST], [[core, queries], QUERIES_MOST], [[core, online], ONLINE_MOST], [Object.keys(FILES), ALL_MOST]];
  for (const [files, most] of sizes) assert.ok(size(...files) <= most, `${files.join(' + ')}: ${size(...files)} bytes, ${most} at most`);
});

test('it works as it is', async () => {
  const { RyzeRealtimeClient } = await import('../dist/client.js');
  const client = new RyzeRealtimeClient('http://nowhere', 'token');
  const { id } = await client.table('meals').insert({ quantity: 1 });
  assert.equal((await client.table('meals').get(id)).quantity, 1);
});
