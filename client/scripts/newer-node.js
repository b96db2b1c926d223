// Runs a Node.js that has SQLite: this one, or the one that `scripts/setup` puts beside. Takes what `node` takes.

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { fileURLToPath } from 'node:url';

const BESIDE = fileURLToPath(new URL('../../target/node-sqlite/node_modules/.bin/node', import.meta.url));
const isThis = builtinModules.includes('node:sqlite') || Boolean(process.getBuiltinModule?.('node:sqlite'));

if (!isThis && !existsSync(BESIDE)) {
  console.error('This Node.js has no SQLite. Run scripts/setup, or take Node.js 22.13 or newer.');
  process.exitCode = 1;
} else {
  const { status } = spawnSync(isThis ? process.execPath : BESIDE, ['--disable-warning=ExperimentalWarning', ...process.argv.slice(2)], { stdio: 'inherit' });
  process.exitCode = status ?? 1;
}
