// The size of each entry point in an app's bundle, besides the client and without what the app has anyway.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';

/** In bytes, compressed. */
const MOST = { './react': 2200, './vue': 2100, './svelte': 1850, './solid': 1850, './inspector': 4850, './tanstack-db': 1000, './key-value': 1750, './sql': 1800, './node': 2200, './expo': 2150 };
const client = fileURLToPath(new URL('..', import.meta.url));
const { exports, peerDependencies, peerDependenciesMeta } = JSON.parse(readFileSync(`${client}package.json`));

for (const [entry, most] of Object.entries(MOST)) {
  test(`${entry} is small`, async (told) => {
    const { outputFiles: [{ contents }] } = await build({
      entryPoints: [client + exports[entry].default], bundle: true, minify: true, format: 'esm', target: 'es2022', write: false, packages: 'external', external: ['node:*'],
    });
    const size = gzipSync(contents, { level: 9 }).length;
    told.diagnostic(`${entry}: ${size} bytes`);
    assert.ok(size <= most, `${size} bytes, ${most} at most`);
  });
}

test('each entry point has types where it is, and its peers are optional', () => {
  for (const [entry, { types, default: file } = {}] of Object.entries(exports).filter(([name]) => name !== './package.json')) {
    assert.equal(types, file.replace('./src/', './types/').replace(/\.js$/, '.d.ts'), entry);
    readFileSync(client + file);
  }
  assert.deepEqual(Object.keys(peerDependencies), Object.keys(peerDependenciesMeta).filter((name) => peerDependenciesMeta[name].optional));
});

for (const folder of ['', 'tanstack-db/']) test(`what is packed of ${folder || 'the client'} has both licences, as the project has them`, () => {
  const [{ files }] = JSON.parse(execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], { cwd: client + folder, encoding: 'utf8' }));
  assert.equal(JSON.parse(readFileSync(`${client}${folder}package.json`)).license, 'MIT OR Apache-2.0');
  for (const name of ['LICENSE-APACHE', 'LICENSE-MIT']) {
    assert.ok(files.some(({ path }) => path === name), name);
    assert.equal(readFileSync(client + folder + name, 'utf8'), readFileSync(`${client}../${name}`, 'utf8'));
  }
});
