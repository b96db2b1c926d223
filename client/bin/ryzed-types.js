#!/usr/bin/env node
// Asks a daemon for its tables and writes their types. What they look like is in `typescript.js`.

import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { typescript } from './typescript.js';

const USE = `Usage: ryzed-types <url> [--token <jwt>] [--out <file>]

Writes TypeScript types for all tables of the daemon at <url>.
The token comes from --token or RYZED_TOKEN; "ryzed token --user <uuid>" prints one.
Without --out it writes to the standard output.`;

try {
  const { values, positionals: [url] } = parseArgs({
    allowPositionals: true,
    options: { token: { type: 'string' }, out: { type: 'string' }, help: { type: 'boolean', short: 'h' } },
  });
  const token = values.token ?? process.env.RYZED_TOKEN;
  if (values.help) console.log(USE);
  else if (!url || !token) fail(2, USE);
  else await write(url.replace(/\/$/, ''), token, values.out);
} catch (fault) {
  fail(1, `ryzed-types: ${fault.message}${fault.cause ? ` (${fault.cause.message})` : ''}`);
}

async function write(url, token, out) {
  const { tables } = await ask(`${url}/api/realtime/tables`, token);
  const schemas = await Promise.all(tables.map(({ name }) => ask(`${url}/api/realtime/tables/${name}/schema`, token)));
  const text = typescript(Object.fromEntries(tables.map(({ name }, at) => [name, schemas[at]])));
  if (out) writeFileSync(out, text);
  else process.stdout.write(text);
}

async function ask(address, token) {
  const answer = await fetch(address, { headers: { authorization: `Bearer ${token}` } });
  if (!answer.ok) throw new Error(answer.status === 401 ? 'The daemon refused the token.' : `${address} answered ${answer.status}.`);
  return answer.json();
}

function fail(code, text) {
  console.error(text);
  process.exitCode = code;
}
