// By which way a device hears from its server, with a clock that goes when it is told to.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ways } from '../src/ways.js';
import { applied, page, scripted, settled } from '../test-support/scripted.js';

const MINUTE = 60_000;

/** A server whose polls wait until a test has something for them. */
function polled(options) {
  const waiting = [];
  const script = scripted(options, (path, body, signal) => {
    if (!path.startsWith('/changes')) return page({ results: applied(body ?? { changes: [] }) });
    if (!path.includes('wait=')) return page();
    return new Promise((resolve, reject) => {
      waiting.push({ path, resolve });
      signal.addEventListener('abort', () => reject(new Error('aborted')));
    });
  });
  const polls = () => script.asked.filter(({ path }) => path.startsWith('/changes'));
  const state = () => [script.client.status.value.state, script.client.status.value.transport];
  return Object.assign(script, { waiting, polls, state });
}

async function polling(script) {
  script.client.connect().catch(() => {});
  await settled();
  script.socket().end(1006);
  await settled();
}

test('a socket that never opens gives place to polls, whose page is taken without another request', async () => {
  const script = polled();
  await polling(script);
  assert.deepEqual(script.state(), ['live', 'poll']);
  assert.match(script.waiting[0].path, /device_id=phone&wait=25/);
  const asked = script.asked.length;
  script.waiting[0].resolve(page({ changes: { meals: [{ id: 'm', size: 1, _version: 2 }] }, total_changes: 1, cursor: { epoch: 'e', user: 2, global: 1 } }));
  await settled();
  assert.equal((await script.client.table('meals').get('m')).size, 1);
  assert.deepEqual(script.asked.slice(asked).map(({ path }) => path.replace(/\?.*/, '')), ['/changes'], 'only the next poll');
  assert.match(script.waiting[1].path, /user%3A2/);
});

/** Behind a network that passes answers as they come: `tell` sends events, `end` ends the stream. */
function streamed(options) {
  const streams = [];
  const script = scripted(options, (path, body) => {
    if (!path.startsWith('/changes')) return page({ results: applied(body ?? { changes: [] }) });
    const made = { path };
    const stream = new ReadableStream({ start: (to) => (made.to = to) });
    made.tell = async (...events) => (made.to.enqueue(new TextEncoder().encode(events.map((event) => `data: ${JSON.stringify(event)}\n\n`).join(''))), settled());
    made.end = async () => (made.to.close(), settled());
    streams.push(made);
    return new Response(stream, { headers: { 'content-type': 'text/event-stream' } });
  });
  const greet = async () => {
    await settled();
    await streams.at(-1).tell({ type: 'connection_established', heartbeat_seconds: 30 });
  };
  const state = () => [script.client.status.value.state, script.client.status.value.transport];
  return Object.assign(script, { streams, greet, state });
}

test('where answers get through as they come, a stream says what a socket would', async () => {
  const script = streamed({ deviceType: 'watch' });
  await polling(script);
  await script.greet();
  assert.deepEqual(script.state(), ['live', 'stream']);
  assert.match(script.streams[0].path, /device_id=phone&device_type=watch/);
  const heard = [];
  script.client.on('broadcast', ({ event }) => heard.push(event));
  const row = { type: 'data_updated', table: 'meals', operation: 'INSERT', data: { id: 'm', size: 1 }, scope: 'user:u', version: 2 };
  const [one, other] = [JSON.stringify(row).slice(0, 20), JSON.stringify(row).slice(20)].map((part) => new TextEncoder().encode(part));
  script.streams[0].to.enqueue(new TextEncoder().encode(':\n\ndata: '));
  script.streams[0].to.enqueue(one);
  await settled();
  script.streams[0].to.enqueue(other);
  await script.streams[0].tell();
  script.streams[0].to.enqueue(new TextEncoder().encode('\n\n'));
  await script.streams[0].tell({ type: 'broadcast', event: 'round' });
  assert.equal((await script.client.table('meals').get('m')).size, 1);
  assert.deepEqual(heard, ['round']);
  assert.equal(await script.client.broadcast('round', {}), false, 'it only listens');
});

test('a stream that shows no sign of life is given up, and one that does is not', async () => {
  const script = streamed();
  await polling(script);
  await script.greet();
  for (let sign = 0; sign < 20; sign++) {
    await script.clock.forward(15_000);
    script.streams[0].to.enqueue(new TextEncoder().encode(':\n\n'));
    await settled();
  }
  assert.deepEqual([script.state(), script.streams.length], [['live', 'stream'], 1]);
  await script.clock.forward(75_000);
  assert.ok(script.streams.length > 1, 'it was opened anew');
});

test('a stream ends with the codes of a socket, and is opened anew with another token', async () => {
  const script = streamed({ token: () => 'token' });
  await polling(script);
  await script.greet();
  await script.streams[0].tell({ type: 'closed', code: 1012, reason: '{"reconnect_in_ms":500}' });
  assert.equal(script.state()[0], 'waiting');
  await script.clock.forward(500);
  await script.greet();
  assert.deepEqual([script.state(), script.streams.length], [['live', 'stream'], 2]);
  script.client.setToken('another');
  await settled();
  await script.clock.forward(1);
  await script.greet();
  assert.deepEqual([script.state(), script.streams.length, script.asked.at(-1).token], [['live', 'stream'], 3, 'another']);
  await script.streams[2].tell({ type: 'closed', code: 4403, reason: 'this device was revoked' });
  assert.equal(script.state()[0], 'stopped');
});

test('answers that come at once and bring nothing are asked for ever more seldom', async () => {
  const script = scripted({}, (path, body) => page({ results: applied(body ?? { changes: [] }) }));
  await polling(script);
  const before = script.asked.length;
  await script.clock.forward(10 * MINUTE);
  const polls = script.asked.slice(before).filter(({ path }) => path.includes('wait=25')).length;
  assert.ok(polls < 60, `${polls} polls in ten minutes`);
});

test('what a poll did not bring is asked for', async () => {
  const script = polled();
  await polling(script);
  const { answer } = script;
  script.answer = (path, body, signal) => (path === '/sync' ? page({ changes: { meals: [{ id: 'm', size: 1, _version: 2 }] }, total_changes: 1, cursor: { epoch: 'e', user: 2, global: 1 } }) : answer(path, body, signal));
  await script.client.performSync();
  assert.equal((await script.client.table('meals').get('m')).size, 1);
});

test('an answer in the server’s place is no poll’s', async () => {
  const script = scripted({}, (path, body) => (path === '/sync' ? page({ results: applied(body) }) : {}));
  await polling(script);
  assert.equal(script.client.status.value.state, 'waiting');
  await script.clock.forward(5000);
  assert.equal(script.sockets.length, 2, 'it begins anew with a socket');
});

test('an answer that bears the server’s mark and can’t be read is no last word', async () => {
  const script = scripted({}, () => new Response('\u0001', { headers: { 'ryzed-release': '9.9.9' } }));
  script.client.connect().catch(() => {});
  await settled();
  assert.equal(script.client.status.value.state, 'waiting');
});

test('a poll that never comes is given up, and so is one that a ping finds dead', async () => {
  const script = polled();
  await polling(script);
  assert.deepEqual(script.state(), ['live', 'poll']);
  script.answer = () => new Promise(() => {});
  script.nudge();
  await settled();
  await script.clock.forward(10_000);
  assert.notEqual(script.state()[0], 'live');
});

test('a poll that is cut is asked for half the time', async () => {
  const script = polled();
  let cut;
  const { answer } = script;
  script.answer = (path, ...rest) => (path.includes('wait=') ? new Promise((_, reject) => (cut = reject)) : answer(path, ...rest));
  await polling(script);
  await script.clock.forward(20_000);
  cut(new Error('reset'));
  await settled();
  assert.deepEqual([script.state()[0], script.polls().at(-1).path.match(/wait=\d+/)[0]], ['live', 'wait=10']);
});

test('the socket is tried again after ten minutes, then after longer, and found to work', async () => {
  const script = polled();
  await polling(script);
  const tries = [];
  for (let minute = 1; minute <= 65; minute++) {
    const { length } = script.sockets;
    await script.clock.forward(MINUTE);
    if (script.sockets.length > length) {
      tries.push(minute);
      script.socket().end(1006);
      await settled();
    }
  }
  assert.equal(tries.length, 2, `${tries}`);
  for (const { length } = script.sockets; script.sockets.length === length; ) await script.clock.forward(1000);
  script.socket().greet();
  await settled();
  assert.deepEqual(script.state(), ['live', 'websocket']);
});

test('what the server says itself is no sign against the socket', async () => {
  const script = polled();
  script.client.connect().catch(() => {});
  await settled();
  script.socket().end(1013);
  await settled();
  assert.deepEqual([script.state()[0], script.polls().length], ['waiting', 0]);
});

test('lines that break soon, three times in a row, or are mute, are not worth opening', () => {
  const ways = new Ways();
  for (let at = 0; at < 3; at++) {
    assert.equal(ways.way, 'websocket');
    ways.works(at * MINUTE);
    ways.broke(at * MINUTE + 1000, false);
  }
  assert.equal(ways.way, 'stream');
  const mute = new Ways();
  mute.works(0);
  mute.broke(2 * MINUTE, true);
  assert.equal(mute.way, 'stream');
  const good = new Ways();
  for (let at = 0; at < 10; at++) {
    good.works(at * 10 * MINUTE);
    good.broke(at * 10 * MINUTE + 2 * MINUTE, false);
  }
  assert.equal(good.way, 'websocket');
});

test('what worked is remembered for a day, and of nothing else', () => {
  const recalled = (kept, now) => {
    const ways = new Ways();
    ways.recall(kept, now);
    return ways.way;
  };
  assert.deepEqual([recalled({ way: 'poll', at: 0 }, MINUTE), recalled({ way: 'poll', at: 0 }, 25 * 60 * MINUTE), recalled({ way: 'pigeon', at: 0 }, 1), recalled(undefined, 1)],
    ['poll', 'websocket', 'websocket', 'websocket']);
});
