// Tabs of one browser: one line, one copy.

import 'fake-indexeddb/auto';
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Tabs } from '../src/tabs.js';
import { Browser } from '../test-support/browser.js';
import { applied, jwt, page, scripted, settled } from '../test-support/scripted.js';

let count = 0;

/** Two tabs of one device, the first of which leads. */
async function twoTabs(answer, ...tokens) {
  const browser = new Browser();
  const deviceId = `browser-${++count}`;
  const open = async (token = 'token') => {
    const { platform, kill } = browser.tab();
    const script = scripted({ deviceId, token }, answer, platform);
    await script.client.table('meals').all();
    await settled();
    return Object.assign(script, { kill });
  };
  return [await open(tokens[0]), await open(tokens[1]), open, browser];
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

test('a batch of a following tab is one in both, and each tab takes back what it wrote itself', async () => {
  const [first, second] = await twoTabs((path, body) => page({
    results: applied(body, 2),
    changes: { meals: body.changes.flatMap(({ operation, data }) => (operation === 'DELETE' ? [] : [{ ...data, _version: 2 }])) },
    deletions: { meals: body.changes.flatMap(({ operation, data: { id } }) => (operation === 'DELETE' ? [{ id, _version: 3 }] : [])) },
  }));
  const shown = [];
  first.client.table('meals').subscribe(null, (rows) => shown.push(rows.map(({ q }) => q).join()));
  const done = second.client.batch(() => [1, 2].forEach((q) => void second.client.table('meals').insert({ q })));
  assert.deepEqual((await done).map(({ q }) => q), [1, 2]);
  await first.client.table('meals').insert({ q: 3 });
  await settled();
  assert.deepEqual(shown, ['', '1,2', '1,2,3']);
  await first.live();
  await settled();
  assert.deepEqual([(await done.settled).status, first.asked.filter(({ body }) => body?.atomic).length], ['applied', 1]);
  assert.equal((await second.client.undo()).length, 2);
  assert.deepEqual((await first.client.table('meals').all()).map(({ q }) => q), [3]);
  await first.client.undo();
  assert.deepEqual([await second.client.undo(), await second.client.table('meals').all()], [[], []]);
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

for (const [kind, token] of [['text', jwt({ sub: 'two' })], ['function', async () => jwt({ sub: 'two' })]]) {
  test(`a tab of another person has no part in the copy; its token is a ${kind}`, async () => {
    const [first, second] = await twoTabs(undefined, jwt({ sub: 'one' }), token);
    const hears = [];
    second.client.on('data_updated', () => hears.push('one’s change'));
    await first.live();
    await first.client.table('meals').insert({ id: 'of one' });
    await settled();
    await assert.rejects(second.client.connect(), /another person/);
    assert.equal(second.client.status.value.state, 'stopped');
    assert.deepEqual(await second.client.table('meals').all(), []);
    assert.equal(await second.client.table('meals').get('of one'), undefined);
    second.client.table('meals').subscribe(null, (rows) => hears.push(...rows));
    const before = first.asked.length;
    await assert.rejects(second.client.table('meals').insert({ q: 2 }), /another person/);
    await assert.rejects(second.client.conflicts(), /another person/);
    second.nudge();
    second.client.disconnect();
    first.socket().hear({ type: 'data_updated', table: 'meals', operation: 'INSERT', scope: 'user:u', version: 2, data: { id: 'also of one' } });
    await settled();
    assert.deepEqual([first.asked.length, first.client.status.value.state, second.client.status.value.state], [before, 'live', 'stopped']);
    assert.deepEqual([hears, second.sockets.length, second.client.pending.value], [[], 0, 0]);
  });
}

test('a copy is the person’s who wrote first, also while nobody is online', async () => {
  const [first, second] = await twoTabs(undefined, jwt({ sub: 'one' }), jwt({ sub: 'two' }));
  await second.client.table('meals').insert({ id: 'of two' });
  await assert.rejects(first.client.connect(), /another person/);
  assert.deepEqual(await first.client.table('meals').all(), []);
  await second.live();
  assert.deepEqual([first.asked.length, second.asked[0].body.changes[0].data.id, second.asked[0].token], [0, 'of two', jwt({ sub: 'two' })]);
});

test('after forget the next client leads, whoever it is, and the old one follows if it is used again', async () => {
  const [first, second] = await twoTabs(undefined, async () => jwt({ sub: 'one' }), async () => jwt({ sub: 'two' }));
  await first.live();
  await first.client.forget();
  await settled();
  await second.live();
  assert.deepEqual([second.sockets.length, second.client.status.value.state], [1, 'live']);
  await second.client.table('meals').insert({ id: 'of two' });
  assert.deepEqual(await first.client.table('meals').all(), []);
  await assert.rejects(first.client.connect(), /another person/);
  assert.equal(second.client.status.value.state, 'live');
});

test('forget in a following tab, then another person there: that tab leads, past those of the one before', async () => {
  const [first, second, open] = await twoTabs(undefined, jwt({ sub: 'one' }), jwt({ sub: 'one' }));
  const third = await open(jwt({ sub: 'one' }));
  await first.live();
  await third.client.forget();
  assert.equal(first.client.status.value.state, 'off');
  third.client.setToken(jwt({ sub: 'two' }));
  const connecting = third.client.connect();
  for (let leaders = 0; leaders < 3; leaders++) await settled();
  third.socket().greet();
  await connecting;
  assert.deepEqual([third.asked.at(-1).token, first.sockets.length, second.sockets.length], [jwt({ sub: 'two' }), 1, 0]);
  await assert.rejects(second.client.connect(), /another person/);
});

test('a tab that starts does nothing for others before the lock is answered', async () => {
  const [first, second, open, browser] = await twoTabs();
  await first.live();
  let answer;
  browser.answering = new Promise((resolve) => (answer = resolve));
  const opening = open();
  await settled();
  await second.client.performSync();
  answer();
  const third = await opening;
  assert.deepEqual([third.asked.length, third.sockets.length], [0, 0]);
  await second.client.performSync();
  assert.equal(third.asked.length, 0);
});

test('an edit is what JSON makes of it when it is made, in a following tab too', async () => {
  const [first, second] = await twoTabs();
  const tags = ['a'];
  const shown = [];
  for (const { client } of [first, second]) {
    const making = client.table('meals').insert({ id: 'mine', at: new Date(0), money: { toJSON: () => '5 EUR' }, tags, nothing: undefined });
    tags.push('b');
    shown.push(await making);
    tags.pop();
    await client.table('meals').delete('mine');
  }
  assert.deepEqual(shown[1], { id: 'mine', at: '1970-01-01T00:00:00.000Z', money: '5 EUR', tags: ['a'], _pending: true });
  assert.deepEqual(shown[0], shown[1]);
  await assert.rejects(second.client.broadcast('round', { number: 1n }), /BigInt/);
});

test('what could not be asked for is not asked for later', async () => {
  const asked = [];
  let post = () => {
    throw new Error('closed');
  };
  const channel = { postMessage: (message) => post(message), close: () => {} };
  const locks = { request: (name, { ifAvailable }, run) => ifAvailable && run(null) };
  const tabs = new Tabs({ locks, channel: () => channel, setTimeout: () => {}, clearTimeout: () => {} }, 'name', { life: () => 'life', follow: () => {} });
  await tabs.join();
  let to;
  const closed = post;
  post = ({ from }) => (to = from);
  tabs.begin();
  channel.onmessage({ data: { to, by: 'one' } });
  post = closed;
  await assert.rejects(tabs.ask('write', []), /closed/);
  post = ({ type }) => asked.push(type);
  channel.onmessage({ data: { type: 'lead', by: 'two' } });
  channel.onmessage({ data: { to, by: 'two' } });
  assert.deepEqual(asked, ['hello']);
});

test('a leader whose timers sleep, as in a hidden page, keeps its line by those of the others', async () => {
  const [first, second] = await twoTabs();
  await first.live();
  await second.client.connect();
  for (let beats = 1; beats <= 3; beats++) {
    await second.clock.forward(30_000);
    assert.deepEqual(first.socket().sent, Array(beats).fill({ type: 'ping', pending_uploads: 0, timestamp: new Date(first.clock.now).toISOString() }));
    first.socket().hear({ type: 'pong' });
  }
  first.socket().end(4408);
  await settled();
  await second.clock.forward(30_000);
  assert.deepEqual([first.client.status.value.state, first.sockets.length], ['waiting', 1], 'a beat is no reason to hurry');
  second.nudge();
  await settled();
  assert.deepEqual([first.sockets.length, second.sockets.length], [2, 0]);
});
