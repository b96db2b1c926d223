// Fresh projects with the packed client: SvelteKit and Next build it, and draw on the server that it loads; Metro, which Expo bundles with, makes an app of it.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import vm from 'node:vm';
import { KeyValueStore } from '../test-support/key-value.js';

const run = promisify(execFile);
const client = fileURLToPath(new URL('..', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'ryzed-fresh-'));
let packed;

async function shell(cwd, command, ...flags) {
  const told = await run(command, flags, { cwd }).catch(({ stdout, stderr }) => assert.fail(`${command} ${flags.join(' ')}:\n${stdout}${stderr}`));
  return told.stdout;
}

/** A new project, with the client in it. */
async function project(name) {
  const app = join(folder, name);
  cpSync(join(client, 'test-support', name), app, { recursive: true });
  const flags = ['--silent', '--no-audit', '--no-fund', '--prefer-offline'];
  await shell(app, 'npm', 'ci', ...flags);
  await shell(app, 'npm', 'install', ...flags, packed);
  return app;
}

before(async () => {
  await shell(folder, 'npm', 'pack', client, '--silent');
  packed = join(folder, readdirSync(folder).find((name) => name.endsWith('.tgz')));
});
after(() => rmSync(folder, { recursive: true, force: true }));

test('SvelteKit builds it, and its server shows that it loads', async () => {
  const app = await project('fresh-kit');
  await shell(app, 'npx', '--no-install', 'vite', 'build', '--logLevel', 'error');
  const built = (path) => import(pathToFileURL(join(app, '.svelte-kit/output/server', path)).href);
  const [{ Server }, { manifest }] = [await built('index.js'), await built('manifest.js')];
  const server = new Server(manifest);
  await server.init({ env: {} });
  const answer = await server.respond(new Request('http://localhost/'), { getClientAddress: () => '127.0.0.1' });
  assert.match(await answer.text(), /<p>Loading…, off<\/p>/);
  const script = readdirSync(join(app, '.svelte-kit/output/client/_app'), { recursive: true }).filter((name) => name.endsWith('.js'));
  assert.ok(script.some((name) => readFileSync(join(app, '.svelte-kit/output/client/_app', name), 'utf8').includes('connection_established')), 'the client is in what the page loads');
});

test('Next builds it, and what it draws ahead shows that it loads', { skip: !process.env.RYZED_TEST_NEXT && 'it installs 340 MB: RYZED_TEST_NEXT=1' }, async () => {
  const app = await project('fresh-next');
  await shell(app, 'npx', '--no-install', 'next', 'build');
  assert.match(readFileSync(join(app, '.next/server/app/index.html'), 'utf8'), /<p>Loading…, off<\/p>/);
});

test('Metro makes an app of it, which keeps what it was told', async () => {
  const app = await project('fresh-native');
  await shell(app, 'npx', '--no-install', 'metro', 'build', 'index.js', '--out', 'app.js', '--platform', 'ios', '--minify', 'false', '--reset-cache');
  const realm = vm.createContext({ setTimeout, clearTimeout, queueMicrotask, AbortController, console, fetch: async () => Promise.reject(new Error('no network')), navigator: { product: 'ReactNative' } });
  vm.runInContext(`globalThis.window = globalThis.self = globalThis; ${readFileSync(join(app, 'app.js'), 'utf8')}`, realm);
  const store = new KeyValueStore();
  const { id } = await realm.app.start('http://nowhere', 'token', store).table('meals').insert({ size: 1 });
  const again = realm.app.start('http://nowhere', 'token', store);
  const found = await again.table('meals').query({ where: { size: 1 } }).get();
  assert.deepEqual([found.length, found[0].id], [1, id]);
  assert.equal((await again.diagnose()).waiting, 1);
  assert.equal(realm.app.storages.every((storage) => typeof storage === 'function'), true);
});
