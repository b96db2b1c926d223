// A developer's first minutes: a new Vite and TypeScript project, the packed client, types of the daemon's tables and of one
// of their own, a strict compile, a build.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Daemon } from '../test-support/daemon.js';

const run = promisify(execFile);
const client = fileURLToPath(new URL('..', import.meta.url));
const app = mkdtempSync(join(tmpdir(), 'ryzed-fresh-app-'));
const OWN = {
  title: 'my_things', description: 'A table of their own.', type: 'object', required: ['title'],
  properties: {
    id: { type: 'string', format: 'uuid' }, title: { type: 'string' }, sizes: { type: ['array', 'null'], items: { type: 'integer' } },
    _version: { type: 'integer', readOnly: true },
  },
};
let daemon;
let server;

/** The daemon as it is when a table was added to it. */
function withOwnTable() {
  return createServer(async ({ url, headers: { authorization } }, answer) => {
    const isList = url.endsWith('/tables');
    const body = url.endsWith('/my_things/schema') ? OWN : await daemon.get(url.replace('/api/realtime', ''), authorization.slice(7));
    answer.end(JSON.stringify(isList ? { tables: [...body.tables, { name: 'my_things' }] } : body));
  }).listen(0, '127.0.0.1');
}

/** @returns {Promise<string>} What the command printed; fails with it */
async function shell(command, ...flags) {
  const told = await run(command, flags, { cwd: app }).catch(({ stdout, stderr }) => assert.fail(`${command} ${flags.join(' ')}:\n${stdout}${stderr}`));
  return told.stdout;
}

before(async () => {
  daemon = await Daemon.start();
  server = withOwnTable();
  cpSync(join(client, 'test-support/fresh-app'), app, { recursive: true });
  await shell('npm', 'pack', client, '--silent');
  await shell('npm', 'pack', join(client, 'tanstack-db'), '--silent');
  await shell('npm', 'ci', '--silent', '--no-audit', '--no-fund', '--prefer-offline');
  const packed = readdirSync(app).filter((name) => name.endsWith('.tgz')).map((name) => `./${name}`);
  await shell('npm', 'install', '--silent', '--no-audit', '--no-fund', '--prefer-offline', ...packed);
  const address = `http://127.0.0.1:${server.address().port}`;
  await shell('npx', '--no-install', 'ryzed-types', address, '--token', daemon.token(randomUUID()), '--out', 'src/tables.ts');
});
after(async () => {
  server?.close();
  await daemon?.end();
  rmSync(app, { recursive: true, force: true });
});

test('the package has what it needs and nothing else', () => {
  const installed = join(app, 'node_modules/ryzed-client');
  const needed = ['LICENSE-APACHE', 'LICENSE-MIT', 'README.md', 'SPEC.md', 'bin', 'package.json', 'src', 'types'];
  assert.deepEqual(readdirSync(installed).sort(), needed);
  assert.equal(JSON.parse(readFileSync(join(installed, 'package.json'))).dependencies, undefined);
});

for (const project of ['tsconfig.json', 'tsconfig.nodenext.json', 'tsconfig.tanstack.json']) {
  test(`it compiles under the strictest flags, ${project}`, async () => {
    await shell('npx', '--no-install', 'tsc', '-p', project);
  });
}

test('Vite builds it', async () => {
  await shell('npx', '--no-install', 'vite', 'build', '--logLevel', 'warn');
  const built = readdirSync(join(app, 'dist/assets')).map((name) => readFileSync(join(app, 'dist/assets', name), 'utf8')).join('');
  assert.ok(built.includes('connection_established'), 'the client is in the bundle');
  assert.ok(built.includes('RyzedProvider'), 'so are the hooks');
  assert.ok(built.includes('How to go on'), 'so is the inspector, in a file of its own or not');
});
