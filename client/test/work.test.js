// How much work things are, counted: the sum of how often each block of the client's code runs, whatever else the machine does.

import assert from 'node:assert/strict';
import { Session } from 'node:inspector';
import { test } from 'node:test';
import { memoryStorage } from '../src/index.js';
import { scripted, settled } from '../test-support/scripted.js';

const session = new Session();
session.connect();
const post = (method, given) => new Promise((resolve, reject) => session.post(method, given, (fault, result) => (fault ? reject(fault) : resolve(result))));
// Before the code is compiled: what was compiled before counts its calls only, not its loops.
await post('Profiler.enable');
await post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });

async function workOf(run) {
  await post('Profiler.takePreciseCoverage');
  await run();
  const { result } = await post('Profiler.takePreciseCoverage');
  return result.filter(({ url }) => url.includes('/client/src/')).flatMap(({ functions }) => functions.flatMap(({ ranges }) => ranges)).reduce((sum, { count }) => sum + count, 0);
}

test('an edit costs what it changes, not what the table or the queue holds', async () => {
  const cost = async (held, queued, edit) => {
    const rows = Array.from({ length: held }, (_, at) => ({ id: `row ${at}`, kind: at % 10, _version: at + 1 }));
    const storage = memoryStorage();
    await storage.commit([{ rows: rows.map((row) => ['meals', row.id, row]), cursor: { epoch: 'e', user: held }, queue: Array.from({ length: queued }, (_, at) => (
      { mutation_id: `m${at}`, table: 'foods', operation: 'INSERT', data: { id: `f${at}` }, asks: [`call ${at}`] })) }]);
    const { client } = scripted({ storage });
    let told = 0;
    client.table('meals').subscribe({ kind: 3 }, () => told++);
    await edit(client.table('meals'), 0);
    await settled();
    const work = await workOf(async () => {
      for (let q = 1; q <= 100; q++) await edit(client.table('meals'), q);
    });
    assert.equal(told >= 100, true, `${told}`);
    return Math.round(work / 100);
  };
  const edits = {
    'of one row': (meals, q) => meals.update('row 3', { q }),
    'of several fields': (meals, q) => meals.update('row 13', { q, r: q, s: q }),
    'that adds a row': (meals, q) => meals.insert({ kind: 3, q }),
  };
  for (const [kind, edit] of Object.entries(edits)) {
    const [little, much] = [await cost(100, 10, edit), await cost(20_000, 3000, edit)];
    console.log(`an edit ${kind}: ${little} blocks of code run in a small copy, ${much} in one of 20,000 rows with 3,000 edits queued`);
    assert.ok(much < little + 100, `${kind}: ${much} against ${little}`);
  }
});
