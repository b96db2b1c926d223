// Tabs of one browser: one line, one copy.

import 'fake-indexeddb/auto';
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Browser } from '../test-support/browser.js';
import { applied, page, scripted, settled } from '../test-support/scripted.js';

let count = 0;

/** Two tabs of one device, the first of which leads. */
async function twoTabs(answer) {
  const browser = new Browser();
  const deviceId = `browser-${++count}`;
  const open = async () => {
    const { platform, kill } = browser.tab();
    const script = scripted({ deviceId }, answer, platform);
    await script.client.table('meals').all();
    await settled();
    return Object.assign(script, { kill });
  };
  return [await open(), await open(), open];
}

test('two tabs have one socket, and what happens in one shows in both', async () => {
  const [first, second] = await twoTabs();
  const told = [];
  second.client.on('data_updated', ({ version }) => told.push(version));
  await first.live();
  assert.equal(await second.client.connect(), true);
  assert.deepEqual([first.sockets.length, second.sockets.length, second.asked.length], [1, 0, 0]);
  assert.equal(second.client.status.value.state, 'live');
  first.socket().hear({ type: 'data_updated', table: 'meals', operation: 'INSERT', scope: 'user:u', version: 2, data: { id: 'a', q: 1 } });
  await settled();
  assert.equal((await second.client.table('meals').get('a')).q, 1);
  assert.deepEqual(told, [2]);
});

test('an edit in a following tab shows at once in both and goes out once', async () => {
  const [first, second] = await twoTabs(() => {
    throw new Error('offline');
  });
  const shown = [];
  first.client.table('meals').subscribe(null, (rows) => shown.push(rows.length));
  const { id } = await second.client.table('meals').insert({ q: 1 });
  assert.equal((await second.client.table('meals').get(id)).q, 1);
  assert.equal((await first.client.table('meals').get(id)).q, 1);
  assert.deepEqual([first.client.pending.value, second.client.pending.value, shown], [1, 1, [0, 1]]);
  first.answer = (path, body) => page({ results: applied(body, 2) });
  await second.client.performSync();
  assert.deepEqual([first.asked.at(-1).body.changes.length, second.asked.length, second.client.pending.value], [1, 0, 0]);
  await assert.rejects(second.client.sendDataChange('meals', 'update', { q: 1 }), /id of its row/);
});

test('when the leading tab is killed the next one takes over, with all that was stored', async () => {
  const [first, second, open] = await twoTabs();
  await first.live();
  first.answer = () => new Promise(() => {});
  const { id } = await second.client.table('meals').insert({ q: 1 });
  const third = await open();
  assert.equal((await third.client.table('meals').get(id)).q, 1);
  const [{ mutation_id }] = first.asked.at(-1).body.changes;
  first.kill();
  await settled();
  assert.equal(second.asked[0].body.changes[0].mutation_id, mutation_id);
  second.socket().greet();
  await settled();
  assert.deepEqual([second.client.status.value.state, third.client.status.value.state, third.sockets.length], ['live', 'live', 0]);
  await third.client.table('meals').insert({ q: 2 });
  assert.equal((await second.client.table('meals').all()).length, 1, 'the scripted server stored the first and sent nothing back');
});

test('what a follower asked of a tab that died is done by the next', async () => {
  const [first, second, open] = await twoTabs();
  const third = await open();
  first.kill();
  const { id } = await third.client.table('meals').insert({ q: 3 });
  assert.equal((await second.client.table('meals').get(id)).q, 3);
  const own = await second.client.table('meals').insert({ q: 4 });
  assert.equal((await third.client.table('meals').get(own.id)).q, 4);
});
