// The generator of types. How they fare in an app is in fresh-app.test.js.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { typescript } from '../bin/typescript.js';
import { Daemon } from '../test-support/daemon.js';

const run = promisify(execFile);
const here = fileURLToPath(new URL('..', import.meta.url));
let daemon;

before(async () => {
  daemon = await Daemon.start();
});
after(() => daemon?.end());

test('a schema becomes an interface', () => {
  const text = typescript({ my_things: {
    description: 'Things.',
    properties: {
      id: { type: 'string' }, size: { type: ['integer', 'null'] }, kind: { enum: ['a', 'b', null] },
      tags: { type: 'array', items: { type: ['string', 'null'] } }, free: { type: 'array', items: true },
      'odd name': {}, unit: { type: 'string', default: 'g' }, updated_at: { type: 'string' }, _version: { type: 'integer', readOnly: true },
    },
    required: ['id', 'kind'],
  } });
  for (const line of ['export interface MyThings {', '  size?: number | null;', 'export type MyThingsKind = "a" | "b";', '  kind: MyThingsKind | null;', '  tags?: (string | null)[];',
    '  free?: any[];', '  "odd name"?: any;', '  readonly _version?: number;', '  my_things: MyThings;']) assert.ok(text.includes(`${line}\n`), line);
  const [, insert] = /export interface MyThingsInsert \{\n([^}]*)\}/.exec(text);
  assert.deepEqual(insert.trim().split(/\n\s*/), ['id?: string;', 'size?: number | null;', 'kind: MyThingsKind | null;', 'tags?: (string | null)[];', 'free?: any[];',
    '"odd name"?: any;', '/** Left out: "g". */', 'unit?: string;']);
  assert.match(text, /export interface Inserts \{\n  my_things: MyThingsInsert;\n\}/);
});

test('references become relations, both ways, and no two types have one name', () => {
  const text = typescript({
    sets: { properties: { id: {}, thing_id: { type: ['string', 'null'], 'x-references': 'things' }, next_id: { 'x-references': 'sets' }, away_id: { 'x-references': 'not_here' }, any: true } },
    things: { properties: { id: {}, kind: { enum: ['a'] } } },
    things_kind: { properties: { id: {} } },
  });
  const [, body] = /export interface Relations \{\n([\s\S]*?)\n\}/.exec(text);
  assert.equal(body.replace(/\s+/g, ' ').trim(),
    'sets: { thing_id: Things | null; next_id: Sets | null; "sets.next_id": Sets[]; }; things: { "sets.thing_id": Sets[]; }; things_kind: {};');
  assert.match(text, /export type ThingsKind_ = "a";/);
  assert.match(text, /kind\?: ThingsKind_;/);
});

test('ryzed-types says what is wrong', async () => {
  const cli = join(here, 'bin/ryzed-types.js');
  await assert.rejects(run(process.execPath, [cli]), ({ code, stderr }) => code === 2 && stderr.includes('Usage'));
  await assert.rejects(run(process.execPath, [cli, daemon.url, '--token', 'x.y.z']), ({ code, stderr }) => code === 1 && stderr.includes('refused the token'));
});
