// What a tab says belongs to one life of the copy and to one time of leading: who has another takes no part of it, and loses none.

import 'fake-indexeddb/auto';
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Browser } from '../test-support/browser.js';
import { World } from '../test-support/chaos.js';
import { jwt, page, scripted, settled } from '../test-support/scripted.js';

/** How many turns a message may be late for the lock: beyond that the next tab leads. */
const TURNS = 60;
let count = 0;

/** Tabs of one browser, and what they tell each other. */
function world() {
  const browser = new Browser();
  const name = `fenced-${++count}`;
  const ear = browser.tab().platform.channel(`ryzed ${name}`);
  const told = [];
  ear.onmessage = ({ data }) => told.push(data);
  const open = async (token, answer, disk) => {
    const tab = browser.tab();
    const script = scripted({ deviceId: name, token }, answer, { ...tab.platform, lives: (run) => run(), ...(disk && { disk }) });
    await script.client.table('meals').all();
    await settled();
    return Object.assign(script, { kill: tab.kill });
  };
  return { open, told, say: (message) => ear.postMessage(message) };
}

const [one, two] = [jwt({ sub: 'one' }), jwt({ sub: 'two' })];
const live = (id) => ({ type: 'data_updated', table: 'meals', operation: 'INSERT', scope: 'user:u', version: 2, data: { id } });
const ids = async ({ client }) => (await client.table('meals').all()).map(({ id }) => id);
/** The patches and events of a leader as a follower of its heard them. */
const ofLeader = (told) => told.filter(({ patch, event, to }) => (patch || event) && !to);

test('what a former leader said of its person comes late to a tab that follows the next person’s', async () => {
  const { open, told, say } = world();
  const first = await open(one);
  const second = await open(one);
  await first.live();
  await first.client.table('meals').insert({ id: 'of one' });
  first.socket().hear(live('also of one'));
  await settled();
  const late = ofLeader(told);
  assert.ok(late.some(({ patch }) => patch?.meta?.user === 'one') && late.some(({ event }) => event === 'data_updated'));
  await first.client.forget();
  await settled();
  second.client.setToken(two);
  await second.live();
  second.answer = () => new Promise(() => {});
  const third = await open(two);
  const hears = [];
  third.client.on('data_updated', ({ data }) => hears.push(data.id));
  assert.equal(await third.client.connect(), true);
  await second.client.table('meals').insert({ id: 'of two' });
  late.forEach(say);
  await settled();
  assert.deepEqual([await ids(third), await ids(second), hears], [['of two'], ['of two'], []]);
  assert.equal(await third.client.connect(), true, 'the copy is still this person’s');
  await third.client.table('meals').insert({ id: 'of two, too' });
  assert.deepEqual(await ids(second), ['of two', 'of two, too']);
});

test('whenever it comes while the next person’s tab takes over, nothing of it is in the copy', async () => {
  for (let turns = 0; turns < TURNS; turns++) {
    const { open, told, say } = world();
    const first = await open(one);
    await first.live();
    let late = [];
    const disk = (storage) => ({ ...storage, load: async (leads) => {
      const kept = await storage.load(leads);
      let turn = Promise.resolve();
      for (let n = 0; n < turns; n++) turn = turn.then(() => {});
      turn.then(() => late.forEach(say));
      return kept;
    } });
    const second = await open(two, undefined, disk);
    await first.client.table('meals').insert({ id: 'of one' });
    first.socket().hear(live('also of one'));
    await settled();
    late = ofLeader(told);
    await first.client.forget();
    await settled();
    assert.deepEqual(await ids(second), [], `after ${turns} turns`);
    const connecting = second.client.connect().then(() => 'connected', ({ message }) => message);
    await settled();
    second.socket()?.greet();
    assert.deepEqual([await connecting, await ids(second)], ['connected', []], `after ${turns} turns`);
  }
});

test('an edit that only the former leader said, and late, is handed to the one that leads', async () => {
  const { open, told, say } = world();
  const first = await open(one, () => new Promise(() => {}));
  const second = await open(one);
  await second.client.table('meals').insert({ id: 'said' });
  const said = told.find(({ edits }) => edits?.come.some(({ data }) => data.id === 'said'));
  const renamed = JSON.parse(JSON.stringify(said).replaceAll(said.edits.come[0].mutation_id, 'late').replaceAll('"said"', '"late"').replaceAll(said.edits.come[0].asks[0], 'another call'));
  first.kill();
  await settled();
  const third = await open(one);
  say(renamed);
  await settled();
  assert.deepEqual([(await ids(second)).sort(), (await ids(third)).sort()], [['late', 'said'], ['late', 'said']]);
  say(renamed);
  await settled();
  assert.equal(second.client.pending.value, 2, 'once');
});

test('a leader does nothing for a tab that asks another one', async () => {
  const { open, told, say } = world();
  const first = await open(one);
  const second = await open(one);
  await second.client.table('meals').insert({ id: 'mine' });
  const { of, ...asked } = told.findLast(({ type, task }) => type === 'ask' && task === 'write');
  assert.ok(of);
  const again = { ...asked, id: 'again', given: ['meals', 'INSERT', { id: 'not mine' }, 'again', undefined] };
  say({ ...again, of: 'another one' });
  await settled();
  assert.deepEqual(await ids(first), ['mine']);
  say(again);
  await settled();
  assert.deepEqual(await ids(first), ['mine', 'not mine'], 'tabs of a release that names nobody are heard');
});

for (const [seed, tables, why] of [
  [353, undefined, 'asked of a leader that had not begun, by a tab that froze before it knew, an edit was done by two'],
  [2238, { notes: 'lazy' }, 'the verdict that a leader could not store was known to the tab that asked again'],
]) test(`an edit is applied once: ${why}`, () => new World(seed, tables).run());

test('a tab whose copy takes long to load keeps the lock, first and taking over', async () => {
  const { open } = world();
  let load = () => {};
  const disk = (storage) => ({ ...storage, load: async (leads) => {
    if (leads) await new Promise((resolve) => (load = resolve));
    return storage.load(leads);
  } });
  const opening = open(one, undefined, disk);
  await settled();
  const second = await open(one);
  const connecting = second.client.connect();
  for (let waits = 0; waits < 20; waits++) await second.clock.forward(1500);
  assert.equal(second.asked.length, 0, 'it waits for the first');
  load();
  const first = await opening;
  await settled();
  first.socket().greet();
  assert.equal(await connecting, true);
  const third = await open(one, undefined, disk);
  first.kill();
  await settled();
  assert.equal(second.client.status.value.state, 'opening');
  second.kill();
  await settled();
  const fourth = await open(one);
  const writing = fourth.client.table('meals').insert({ id: 'mine' });
  for (let waits = 0; waits < 20; waits++) await fourth.clock.forward(1500);
  assert.equal(fourth.sockets.length, 0, 'it waits for the third');
  load();
  await writing;
  assert.deepEqual(await ids(third), ['mine']);
});

test('two tabs with slow storage don’t take the lock from each other for ever', () => new World(20218, { notes: 'lazy' }).run());
