// The report of a client on itself: what waits, why, and how to go on; no token, nothing of what rows hold.

import { place } from '../test-support/document.js';
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { open } from '../src/inspector.js';
import { memoryStorage } from '../src/index.js';
import { blocks, made } from '../test-support/example.js';
import { applied, jwt, page, problem, scripted, settled } from '../test-support/scripted.js';

const SECRET = 'liver and onions';
const example = await made(blocks('What is wrong on a device')[0]);
const rejected = ({ changes }) => page({ results: changes.map(({ mutation_id, data, table }) => ({ mutation_id, table, id: data.id, status: 'rejected', errors: [{ field: 'size', code: 'out_of_range', message: `must be less than ${SECRET}` }] })) });
const storage = () => memoryStorage();

test('nothing is wrong, and says so', async () => {
  const script = scripted({ storage: storage() }, (path) => (path.startsWith('/digest') ? { cursor: { epoch: 'e', user: 1, global: 1 }, digest: { meals: { rows: 1, version_sum: 4 } } }
    : page({ changes: { meals: [{ id: 'a', _version: 4, food: SECRET }] }, total_changes: 1, sync_timestamp: new Date(script.clock.now - 2000).toISOString() })));
  await script.live();
  const found = await script.client.diagnose();
  assert.deepEqual(found.advice, ['Nothing waits, and nothing is wrong.']);
  assert.deepEqual([found.status.state, found.isLeader, found.disk, found.waiting, found.deviceId], ['live', true, { kind: 'of the app', works: true }, 0, 'phone']);
  assert.deepEqual(found.tables, [{ table: 'meals', rows: 1, edited: 0, matches: true }]);
  assert.deepEqual(found.clock, { aheadMs: 2000, withinMs: 0 });
  assert.deepEqual(found.exchanges.map(({ call, got }) => [call, got])[0], ['/sync', 1]);
  assert.ok(found.exchanges.every(({ call }) => !call.startsWith('/digest')));
  assert.match(found.text, /line: live\n/);
  assert.match(found.text, /meals: 1 row, 0 edited, as on the server/);
});

test('the text has names and ids, but no token and nothing of a row', async () => {
  const token = jwt({ sub: 'd2e1', exp: 9e9 });
  const script = scripted({ token, storage: storage() }, (path, body) => (path === '/sync' ? rejected(body) : problem(404)));
  const meals = script.client.table('meals');
  const { id } = await meals.insert({ size: 5, food: SECRET });
  await script.live();
  script.client.disconnect();
  await meals.insert({ size: 6, food: SECRET });
  script.client.status.set({ ...script.client.status.value, why: `the app says ${token} ended` });
  const found = await script.client.diagnose();
  for (const told of [token, SECRET]) assert.ok(!found.text.includes(told), told);
  assert.ok(!JSON.stringify({ ...found, refused: [] }).includes(SECRET));
  assert.match(found.text, new RegExp(`INSERT meals ${id} \\(size, food\\): size out_of_range`));
  assert.match(found.text, /\(token\) ended/);
  assert.match(found.text, /Waiting\n {2}INSERT meals [\w-]+ \(size, food\): The app is offline by its own choice\./);
  assert.equal(found.refused[0].errors[0].message, `must be less than ${SECRET}`);
  assert.match(found.advice.join(), /connect, and the edits go out.*The server refused 1 edit/);
});

test('why an edit waits, and how to go on', async () => {
  let now = 'down';
  const script = scripted({ storage: { ...memoryStorage(), commit: async () => Promise.reject(new Error('disk full')) } }, (path, body) => {
    if (now === 'down') throw new Error('no network');
    if (now === 'later') return page({ results: applied(body).map((result) => ({ ...result, status: 'rejected', errors: [{ field: '', code: 'limit', message: '' }] })), sync_timestamp: new Date(script.clock.now - 180_000).toISOString() });
    return problem(403, { type: '/problems/device-revoked', detail: 'This device was revoked.' });
  });
  const { client, clock } = script;
  await client.table('meals').insert({ size: 1 });
  client.connect();
  await settled();
  let found = await client.diagnose();
  assert.match(found.edits[0].why, /^There is no line: The server can’t be reached/);
  assert.match(found.advice.join('\n'), /^This device can’t store.*\nIt tries again by itself in 1 s\. Look at the network: The server/);
  assert.deepEqual(found.exchanges.map(({ call, fault }) => [call, fault]), [['/sync', 'The server can’t be reached: no network']]);
  now = 'later';
  await clock.forward(1000);
  script.socket().greet();
  await settled();
  found = await client.diagnose();
  assert.match(found.edits[0].why, /^The server can’t take it now; it goes out again in \d+ s\.$/);
  assert.match(found.advice.join('\n'), /Set this device’s clock: it is 180 s ahead\./);
  now = 'revoked';
  script.socket().end(4403);
  await settled();
  found = await client.diagnose();
  assert.match(found.advice.join('\n'), /It does not try again by itself: This device was revoked/);
  client.disconnect();
});

test('a copy that is not the server’s is named, but only where both can be compared', async () => {
  const told = { cursor: { epoch: 'e', user: 1, global: 1 }, digest: { meals: { rows: 2, version_sum: 9 } } };
  const script = scripted({ storage: storage() }, (path) => (path.startsWith('/digest') ? told : page()));
  await script.live();
  assert.match((await script.client.diagnose()).advice.join(), /The copy differs from the server’s in meals: load everything anew/);
  told.cursor = { ...told.cursor, user: 2 };
  assert.equal((await script.client.diagnose()).tables[0].matches, false, 'not asked with every look');
  await script.clock.forward(11_000);
  assert.equal((await script.client.diagnose()).tables[0].matches, null);
});

test('only so many are listed, and all are counted', async () => {
  const script = scripted({ storage: storage() });
  await script.client.batch(() => Array.from({ length: 60 }, (_, size) => script.client.table('meals').insert({ size })));
  const { waiting, edits } = await script.client.diagnose();
  assert.deepEqual([waiting, edits.length], [60, 50]);
});

const shownOf = () => document.querySelector('body > div:last-of-type').shadowRoot;
const buttons = (root) => [...root.querySelectorAll('button')];
async function shows(root, wanted) {
  for (let turn = 0; turn < 300 && !wanted.test(root.textContent); turn++) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.match(root.textContent, wanted);
}

test('the panel shows it, retries, discards once it is sure, copies, and gives the focus back', async () => {
  globalThis.CSSStyleSheet ??= window.CSSStyleSheet;
  const script = scripted({ storage: storage() }, (path, body) => (path === '/sync' ? rejected(body) : problem(404)));
  const { client } = script;
  await client.table('meals').insert({ size: 5 });
  await client.table('meals').insert({ size: 6 });
  await script.live();
  const button = place('<button>Help</button>').firstChild;
  button.focus();
  const panel = open(client);
  assert.equal(open(client), panel);
  const root = shownOf();
  const dialog = root.querySelector('[role=dialog]');
  assert.equal(root.getElementById(dialog.getAttribute('aria-labelledby')).textContent, 'What this device has to send');
  await shows(root, /Line: live.*Refused: 2/);
  const press = (name) => buttons(root).find(({ textContent }) => textContent === name).click();
  press('Discard');
  assert.equal(client.refused.value.length, 2);
  press('Discard for good?');
  await shows(root, /Discarded.*Refused: 1/);
  const copied = [];
  Object.defineProperty(globalThis.navigator, 'clipboard', { configurable: true, value: { writeText: async (text) => copied.push(text) } });
  press('Copy report');
  await shows(root, /Copied/);
  assert.match(copied[0], /^ryzed client, /);
  script.answer = (path, body) => page({ results: applied(body) });
  press('Try again');
  await shows(root, /It goes out again/);
  await settled();
  assert.equal(client.refused.value.length, 0);
  dialog.dispatchEvent(new window.KeyboardEvent('keydown', { key: 'Escape', bubbles: true, composed: true }));
  assert.equal(document.activeElement, button);
  const again = example.help(client);
  assert.notEqual(again, panel);
  again.close();
  client.disconnect();
});
