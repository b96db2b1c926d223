// What browsers load: up to date with the source, and small.

import assert from 'node:assert/strict';
import { buildSync } from 'esbuild';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

const MOST_BYTES = 18_000;
const path = (name) => fileURLToPath(new URL(`../${name}`, import.meta.url));
const bundle = readFileSync(path('dist/client.js'));

test('dist/client.js is made from the source as it is', () => {
  const made = buildSync({ entryPoints: [path('src/index.js')], bundle: true, format: 'esm', target: 'es2022', minify: true, write: false });
  assert.ok(bundle.equals(made.outputFiles[0].contents), 'run: npm run bundle');
});

test('it is under 18 KB compressed', () => {
  assert.ok(gzipSync(bundle, { level: 9 }).length < MOST_BYTES);
});

test('it works as it is', async () => {
  const { RyzeRealtimeClient } = await import('../dist/client.js');
  const client = new RyzeRealtimeClient('http://nowhere', 'token');
  const { id } = await client.table('meals').insert({ quantity: 1 });
  assert.equal((await client.table('meals').get(id)).quantity, 1);
});
