// Runs TanStack DB's own suites for collections against ours: `npm run suites:tanstack`, or with a checkout of TanStack/db as its argument. Needs the network.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const FROM = process.argv[2] ?? 'https://github.com/TanStack/db.git';
const COMMIT = '32ca264be8b8f459d77b17e52f27c5a65e039e5f';
const VITEST = '3.2.7';
const client = fileURLToPath(new URL('..', import.meta.url));
const { devDependencies } = JSON.parse(readFileSync(join(client, 'package.json'), 'utf8'));
const folder = mkdtempSync(join(tmpdir(), 'ryzed-tanstack-'));
const run = (command, ...given) => execFileSync(command, given, { cwd: folder, stdio: 'inherit' });
/** Not `moves`: it is about shapes of Electric. */
const SUITES = { predicates: 'Predicates', pagination: 'Pagination', joins: 'Joins', deduplication: 'Deduplication', collation: 'Collation', mutations: 'Mutations', 'live-updates': 'LiveUpdates', progressive: 'Progressive' };

const harness = `
import { describe } from 'vitest';
import { BTreeIndex, createCollection } from '@tanstack/db';
import { generateSeedData } from './packages/db-collection-e2e/src/fixtures/seed-data';
${Object.entries(SUITES).map(([file, name]) => `import { create${name}TestSuite } from './packages/db-collection-e2e/src/suites/${file}.suite';`).join('\n')}
import { memoryStorage, RyzeRealtimeClient } from '${client}src/index.js';
import { ryzedCollectionOptions } from '${client}src/bindings/tanstack-db.js';

// Their rows hold dates and large numbers, which JSON has as texts.
const TABLES = ['users', 'posts', 'comments'];
const read = (name, value) => (value === null ? null : /At$/.test(name) ? new Date(value) : name === 'largeViewCount' ? BigInt(value) : value);
const parse = (row) => Object.fromEntries(Object.entries(row).filter(([name]) => !name.startsWith('_')).map(([name, value]) => [name, read(name, value)]));
const format = (row) => Object.fromEntries(Object.entries(row).map(([name, value]) => [name, typeof value === 'bigint' ? String(value) : value]));
const client = new RyzeRealtimeClient('http://nowhere', { storage: memoryStorage() });
const seed = generateSeedData();
for (const table of TABLES) await client.batch(() => seed[table].forEach((row) => void client.table(table).insert(format(row))));
const make = (table, id) => createCollection(ryzedCollectionOptions({ client, table, id, parse, format, autoIndex: 'eager', defaultIndexType: BTreeIndex, startSync: true }));
// The copy is whole on the device: all three kinds are one.
const collections = Object.fromEntries(['eager', 'onDemand', 'progressive'].map((kind) => [kind, Object.fromEntries(TABLES.map((table) => [table, make(table, kind + table)]))]));
await Promise.all(Object.values(collections).flatMap((some) => Object.values(some).map((one) => one.preload())));
const { users, posts } = collections.eager;
const mutations = {
  insertUser: (user) => users.insert(user).isPersisted.promise,
  updateUser: (id, changes) => users.update(id, (draft) => void Object.assign(draft, changes)).isPersisted.promise,
  deleteUser: (id) => users.delete(id).isPersisted.promise,
  insertPost: (post) => posts.insert(post).isPersisted.promise,
};
const config = { collections, mutations, progressiveTestControl: { releaseInitialSync() {} }, setup: async () => {}, teardown: async () => {} };
describe('ryzed', () => {
  ${Object.values(SUITES).map((name) => `create${name}TestSuite(async () => config);`).join('\n  ')}
});
`;

try {
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ private: true, type: 'module', dependencies: { '@tanstack/db': devDependencies['@tanstack/db'], vitest: VITEST } }));
  run('npm', 'install', '--no-audit', '--no-fund', '--loglevel=error');
  run('git', 'init', '--quiet', 'suites');
  run('git', '-C', 'suites', 'fetch', '--quiet', '--depth', '1', FROM, COMMIT);
  run('git', '-C', 'suites', 'checkout', '--quiet', 'FETCH_HEAD', '--', 'packages/db-collection-e2e/src');
  writeFileSync(join(folder, 'suites/ryzed.test.js'), harness);
  run('npx', '--no-install', 'vitest', 'run', 'suites/ryzed.test.js');
} finally {
  rmSync(folder, { recursive: true, force: true });
}
