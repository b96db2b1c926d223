// Vue, Svelte and Solid: each draws what the README shows, follows it, ends with its component, and shows that it loads when a server draws it.

import { counted, place, shows } from '../test-support/document.js';
import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';
import { test } from 'node:test';
import { memoryStorage, RyzeRealtimeClient } from '../src/index.js';
import { blocks, made } from '../test-support/example.js';

const start = () => new RyzeRealtimeClient('http://nowhere', { storage: memoryStorage() });
const LUNCH = { meal_type: 'lunch', quantity: 100, consumed_at: '2025-05-01T12:00:00Z' };
const frameworks = {
  Vue: {
    draw: "import { createApp } from 'vue'; import { ryzed } from 'ryzed-client/vue'; export const draw = (client, place) => { const app = createApp(Meals).use(ryzed, client); app.mount(place); return () => app.unmount(); };",
    server: "import { createSSRApp } from 'vue'; import { renderToString } from 'vue/server-renderer'; import { ryzed } from 'ryzed-client/vue'; export const drawn = (client) => renderToString(createSSRApp(Meals).use(ryzed, client));",
    hydrate: "import { createSSRApp } from 'vue'; import { ryzed } from 'ryzed-client/vue'; export const draw = (client, place) => { const app = createSSRApp(Meals).use(ryzed, client); app.mount(place); return () => app.unmount(); };",
  },
  Svelte: {
    draw: "import { mount, unmount } from 'svelte'; export const draw = (client, target) => { const app = mount(Meals, { target, props: { client } }); return () => unmount(app); };",
    server: "import { render } from 'svelte/server'; export const drawn = async (client) => (await render(Meals, { props: { client } })).body;",
    hydrate: "import { hydrate, unmount } from 'svelte'; export const draw = (client, target) => { const app = hydrate(Meals, { target, props: { client } }); return () => unmount(app); };",
  },
  Solid: {
    draw: "import { render } from 'solid-js/web'; export const draw = (client, place) => render(() => Meals({ client }), place);",
    server: "import { renderToString } from 'solid-js/web'; export const drawn = (client) => renderToString(() => Meals({ client }));",
  },
};

/** The README's component with what draws it. */
function example(name, how, isServer) {
  const components = name === 'Svelte' ? { './Meals.svelte': blocks(name, 'svelte')[0] } : undefined;
  const text = components ? "import Meals from './Meals.svelte';" : blocks(name)[0];
  return made(`${text}\n${frameworks[name][how]}`, { isServer, components });
}

for (const [name, { hydrate }] of Object.entries(frameworks)) {
  test(`${name} shows and follows`, async () => {
    const client = start();
    const count = counted(client);
    const { draw } = await example(name, 'draw');
    const shown = place();
    const end = draw(client, shown);
    assert.equal(shown.textContent, 'Loading…');
    await shows(shown, '0 for lunch');
    const { id } = await client.table('food_entries').insert(LUNCH);
    await shows(shown, '1 for lunch');
    await client.table('food_entries').update(id, { meal_type: 'dinner' });
    await shows(shown, '0 for lunch');
    assert.deepEqual(count, { open: 1, begun: 1 });
    end();
    await pause(5);
    assert.deepEqual(count, { open: 0, begun: 1 });
  });

  test(`${name} on a server shows that it loads${hydrate ? ', and the page takes that over' : ''}`, async () => {
    const client = start();
    await client.table('food_entries').insert(LUNCH);
    const { document } = globalThis;
    // A server has none.
    delete globalThis.document;
    const html = await example(name, 'server', true).then(({ drawn }) => drawn(client)).finally(() => (globalThis.document = document));
    const shown = place(html);
    assert.equal(shown.textContent, 'Loading…');
    if (!hydrate) return;
    const told = [];
    const said = ['warn', 'error'].map((how) => [how, console[how]]);
    said.forEach(([how]) => (console[how] = (...texts) => told.push(texts.join(' '))));
    const end = (await example(name, 'hydrate')).draw(client, shown);
    await shows(shown, '1 for lunch');
    said.forEach(([how, before]) => (console[how] = before));
    assert.deepEqual(told, []);
    end();
  });
}
