// The hooks in a real React: in Strict Mode, with Suspense, from a server.

import { counted, place, shows } from '../test-support/document.js';
import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, beforeEach, test } from 'node:test';
import { Component, createElement as h, StrictMode, Suspense, useState } from 'react';
import { createRoot, hydrateRoot } from 'react-dom/client';
import { renderToReadableStream, renderToString } from 'react-dom/server.edge';
import { hooks, RyzedProvider, useConflicts, useQuery, useRefused, useRow, useStatus } from '../src/bindings/react.js';
import { memoryStorage, RyzeRealtimeClient } from '../src/index.js';
import { page, problem, scripted, settled } from '../test-support/scripted.js';

const SPEC = { where: { meal: 'lunch' }, orderBy: 'size' };
const roots = [];
const told = [];
const { error } = console;
let client;
let meals;

beforeEach(() => {
  client = new RyzeRealtimeClient('http://nowhere', { storage: memoryStorage() });
  meals = client.table('meals');
  // What React has to say is a fault, but for this: server and page are one process here.
  console.error = (...texts) => texts[0].startsWith('Detected multiple renderers') || told.push(texts.join(' '));
});
afterEach(() => {
  roots.splice(0).forEach((root) => root.unmount());
  console.error = error;
  assert.deepEqual(told.splice(0), []);
});

const inside = (element, given = client) => h(StrictMode, null, h(RyzedProvider, { client: given }, element));
function draw(element, given) {
  const shown = place();
  const root = createRoot(shown, { onUncaughtError: ({ message }) => told.push(message) });
  roots.push(root);
  root.render(inside(element, given));
  return Object.assign(shown, { root });
}
const text = ({ rows, isLoading }) => (isLoading ? 'loading' : rows.map(({ size }) => size).join() || 'none');
const Lunches = (how) => text(useQuery('meals', { where: { meal: 'lunch' }, orderBy: 'size' }, how));

test('useQuery follows, through Strict Mode, with one subscription for all that ask alike', async () => {
  const count = counted(client);
  const shown = draw(h('p', null, h(Lunches), ' ', h(Lunches)));
  await shows(shown, 'none none');
  await meals.insert({ meal: 'lunch', size: 2 });
  const { id } = await meals.insert({ meal: 'lunch', size: 1 });
  await meals.insert({ meal: 'dinner', size: 9 });
  await shows(shown, '1,2 1,2');
  await meals.delete(id);
  await shows(shown, '2 2');
  assert.deepEqual(count, { open: 1, begun: 1 });
  shown.root.unmount();
  await pause(5);
  assert.deepEqual(count, { open: 0, begun: 1 });
});

test('an equal query made anew goes on; another one takes its place; nothing is drawn that did not change', async () => {
  const count = counted(client);
  const snapshots = new Set();
  let drawn = 0;
  let set;
  function Size() {
    const [size, change] = useState(1);
    set = change;
    const answer = useQuery('meals', { where: { size: { gte: size.least ?? size } } });
    snapshots.add(answer.rows);
    drawn += 1;
    return text(answer);
  }
  await meals.insert({ size: 1 });
  const shown = draw(h(Size));
  await shows(shown, '1');
  const before = drawn;
  await client.table('others').insert({ size: 5 });
  await meals.insert({ size: 0 });
  await settled();
  assert.equal(drawn, before);
  set({ least: 1 });
  await pause(5);
  assert.ok(drawn > before);
  assert.deepEqual([snapshots.size, count], [2, { open: 1, begun: 1 }]);
  set(0);
  await pause(5);
  assert.deepEqual(shown.textContent.split(',').sort(), ['0', '1']);
  await pause(5);
  assert.deepEqual(count, { open: 1, begun: 2 });
});

test('useRow follows one row, and waits for its id', async () => {
  const row = await meals.insert({ size: 3 });
  let set;
  function One() {
    const [id, change] = useState(null);
    set = change;
    const { row: found, isLoading } = useRow('meals', id);
    return `${isLoading ? 'loading' : found?.size ?? 'none'}`;
  }
  const shown = draw(h(One));
  await shows(shown, 'none');
  set(row.id.toUpperCase());
  await shows(shown, '3');
  await meals.update(row.id, { size: 4 });
  await shows(shown, '4');
  await meals.delete(row.id);
  await shows(shown, 'none');
});

test('a component may suspend until the copy is there', async () => {
  await meals.insert({ meal: 'lunch', size: 7 });
  const count = counted(client);
  const seen = [];
  const Waits = () => text(seen[seen.push(useQuery('meals', SPEC, { suspense: true })) - 1]);
  const shown = draw(h(Suspense, { fallback: 'waiting' }, h(Waits)));
  await shows(shown, 'waiting');
  await shows(shown, '7');
  assert.ok(seen.every(({ isLoading }) => !isLoading));
  await meals.insert({ meal: 'lunch', size: 8 });
  await shows(shown, '7,8');
  assert.deepEqual(count, { open: 1, begun: 1 });
});

test('a query that can’t be says so, and with Suspense to the boundary around it', async () => {
  const bad = { where: { size: { above: 3 } } };
  class Boundary extends Component {
    state = { fault: null };
    static getDerivedStateFromError = (fault) => ({ fault });
    render() {
      return this.state.fault ? `caught ${this.state.fault.message.slice(0, 27)}` : this.props.children;
    }
  }
  const Told = () => useQuery('meals', bad).error?.message.slice(0, 27) ?? 'well';
  const Thrown = () => text(useQuery('meals', bad, { suspense: true }));
  await shows(draw(h(Told)), 'There is no condition above');
  await shows(draw(h(Boundary, null, h(Suspense, { fallback: 'waiting' }, h(Thrown)))), 'caught There is no condition above');
  assert.ok(told.splice(0).every((text) => text.includes('There is no condition above')), 'React tells of what was caught');
});

test('a server shows that it loads, and the page takes that over as it is', async () => {
  await meals.insert({ meal: 'lunch', size: 7 });
  const State = () => useStatus().pending;
  const element = () => inside(h('p', null, h(Lunches), ' ', h(State), ' ', useRefusedCount()));
  const useRefusedCount = () => h(() => useRefused().refused.length);
  const html = renderToString(element());
  assert.equal(place(html).textContent, 'loading 0 0');
  const shown = place(html);
  roots.push(hydrateRoot(shown, element(), { onRecoverableError: ({ message }) => told.push(message) }));
  await shows(shown, '7 1 0');
});

test('a server sends the fallback of what suspends', async () => {
  await meals.insert({ meal: 'lunch', size: 7 });
  const element = inside(h(Suspense, { fallback: 'waiting' }, h(Lunches, { suspense: true })));
  const faults = [];
  const html = await new Response(await renderToReadableStream(element, { onError: ({ message }) => void faults.push(message) })).text();
  assert.match(html, /waiting/);
  const recovered = [];
  const shown = place(html);
  roots.push(hydrateRoot(shown, element, { onRecoverableError: ({ message }) => recovered.push(message) }));
  await shows(shown, '7');
  assert.match(faults[0], /a server sends the fallback/);
  assert.ok(recovered.length <= 1, 'React tells that the page drew what the server could not');
});

test('without a client yet it loads; without a provider it says what to do', async () => {
  await shows(draw(h('p', null, h(Lunches), h(() => useStatus().state)), null), 'loadingoff');
  assert.throws(() => renderToString(h(Lunches)), /Put <RyzedProvider client/);
  await shows(draw(h(Lunches, { client }), null), 'none');
});

test('signing out shows nothing any more', async () => {
  await meals.insert({ meal: 'lunch', size: 7 });
  const shown = draw(h(Lunches));
  await shows(shown, '7');
  await client.forget();
  await shows(shown, 'none');
});

test('useStatus, isStale, useRefused and useConflicts follow the line', async () => {
  const open = { conflict_id: 'c1', mutation_id: 'm', table: 'meals', id: 'r', strategy: 'manual', fields: [], row: null };
  let conflicts = [open];
  const script = scripted({}, (path, body) => {
    if (path === '/conflicts') return { conflicts };
    if (path.endsWith('/resolve')) return (conflicts = []), { status: 'applied' };
    if (path !== '/sync') return problem(404);
    return page({ results: body.changes.map(({ mutation_id, data, table }) => ({ mutation_id, table, id: data.id, status: 'rejected', errors: [{ field: 'size', code: 'x', message: 'is too small' }] })) });
  });
  let hooked;
  function All() {
    const [line, refusals, found] = [useStatus(), useRefused(), useConflicts()];
    hooked = { refusals, found };
    return `${line.state} ${useQuery('meals').isStale ? 'stale' : 'fresh'} ${refusals.refused.length} ${found.conflicts.length}`;
  }
  const shown = draw(h(All), script.client);
  await shows(shown, 'off stale 0 1');
  await script.live();
  await shows(shown, 'live fresh 0 1');
  await script.client.table('meals').insert({ size: 0 });
  await shows(shown, 'live fresh 1 1');
  await hooked.refusals.discard();
  await shows(shown, 'live fresh 0 1');
  await hooked.found.resolve('c1', 'client');
  await shows(shown, 'live fresh 0 0');
  conflicts = [open];
  script.socket().hear({ type: 'sync_triggered' });
  await settled();
  script.client.disconnect();
  // Asked for again after the sync.
  await shows(shown, 'off stale 0 1');
});

test('the hooks of known tables are the same ones', () => assert.equal(hooks().useQuery, useQuery));
