// The generator of types, and what TypeScript says to its output next to the client's own types.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync, symlinkSync, mkdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { typescript } from '../bin/typescript.js';
import { Daemon } from '../test-support/daemon.js';

const run = promisify(execFile);
const here = fileURLToPath(new URL('..', import.meta.url));
const tsc = join(here, 'node_modules/typescript/bin/tsc');
const folder = mkdtempSync(join(tmpdir(), 'ryzed-types-'));
let daemon;

before(async () => {
  daemon = await Daemon.start();
});
after(async () => {
  await daemon?.end();
  rmSync(folder, { recursive: true, force: true });
});

test('a schema becomes an interface', () => {
  const text = typescript({ my_things: {
    description: 'Things.',
    properties: {
      id: { type: 'string' }, size: { type: ['integer', 'null'] }, kind: { enum: ['a', 'b', null] },
      tags: { type: 'array', items: { type: ['string', 'null'] } }, free: { type: 'array', items: true },
      'odd name': {}, _version: { type: 'integer', readOnly: true },
    },
    required: ['kind'],
  } });
  for (const line of ['export interface MyThings {', '  size?: number | null;', '  kind: "a" | "b" | null;', '  tags?: (string | null)[];',
    '  free?: any[];', '  "odd name"?: any;', '  readonly _version?: number;', '  my_things: MyThings;']) assert.ok(text.includes(`${line}\n`), line);
});

test('ryzed-types says what is wrong', async () => {
  const cli = join(here, 'bin/ryzed-types.js');
  await assert.rejects(run(process.execPath, [cli]), ({ code, stderr }) => code === 2 && stderr.includes('Usage'));
  await assert.rejects(run(process.execPath, [cli, daemon.url, '--token', 'x.y.z']), ({ code, stderr }) => code === 1 && stderr.includes('refused the token'));
});

test('the packed client and the generated types hold together in a strict project', async () => {
  await run(process.execPath, [join(here, 'bin/ryzed-types.js'), daemon.url, '--token', daemon.token(randomUUID()), '--out', join(folder, 'tables.ts')]);
  const packed = join(folder, 'node_modules/ryzed-client');
  mkdirSync(packed, { recursive: true });
  await run(process.execPath, [tsc, '-p', here, '--outDir', join(packed, 'types')]);
  for (const part of ['src', 'package.json']) symlinkSync(join(here, part), join(packed, part));
  writeFileSync(join(folder, 'package.json'), '{"type": "module"}');
  writeFileSync(join(folder, 'app.ts'), `
    import { RyzeRealtimeClient } from 'ryzed-client';
    import type { Tables } from './tables.js';
    const client = new RyzeRealtimeClient<Tables>('http://localhost', { token: async () => 't', conflictStrategy: 'manual' });
    const meals = client.table('food_entries');
    const meal = await meals.insert({ quantity: 1, consumed_at: '2025-05-01T08:00:00Z', meal_type: 'lunch' });
    const quantity: number = meal.quantity;
    const stop: () => void = meals.subscribe({ meal_type: 'lunch' }, (rows) => rows.map((row) => row.quantity + quantity));
    await meals.where((row) => row.quantity > 1);
    await client.table('recipes').update(meal.id, { servings: 2 });
    // @ts-expect-error there is no such table
    client.table('nothing');
    // @ts-expect-error there is no such meal
    await meals.update(meal.id, { meal_type: 'brunch' });
    // @ts-expect-error a meal needs its time
    await meals.insert({ quantity: 1 });
    const loose = new RyzeRealtimeClient('http://localhost', 'token');
    await loose.table('anything').insert({ a: 1 });
    stop();
  `);
  const flags = ['--noEmit', '--strict', '--target', 'es2022', '--module', 'nodenext', '--preserveSymlinks', '--types', ''];
  await run(process.execPath, [tsc, ...flags.slice(0, -2), 'app.ts'], { cwd: folder }).catch(({ stdout }) => assert.fail(stdout));
});

test('the client’s own types hold', async () => {
  await run(process.execPath, [tsc, '--noEmit', '-p', here]).catch(({ stdout }) => assert.fail(stdout));
});
