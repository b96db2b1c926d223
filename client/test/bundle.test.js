// What browsers load: up to date with the source, and small.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { bundled, FILES } from '../scripts/bundle.js';

const MOST_BYTES = 18_000;
const path = (name) => fileURLToPath(new URL(`../${name}`, import.meta.url));
const bundle = readFileSync(path('dist/client.js'));

test('what is in dist is made from the source as it is', async () => {
  for (const [file, entry] of Object.entries(FILES)) {
    assert.equal(readFileSync(path(`dist/${file}`), 'utf8'), await bundled(entry), `${file}: run npm run bundle`);
  }
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
