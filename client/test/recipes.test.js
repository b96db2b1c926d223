// Runs every recipe of README.md against the daemon, each as a person of its own, and holds what it logs against the page.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { inspect } from 'node:util';
import WebSocket from 'ws';
import * as exported from '../src/index.js';
import { Daemon } from '../test-support/daemon.js';

const AsyncFunction = (async () => {}).constructor;
const RECIPE = /^### (.+)$[\s\S]*?```js\n([\s\S]*?)```/gm;
const recipes = [...readFileSync(new URL('../README.md', import.meta.url), 'utf8').matchAll(RECIPE)];
let daemon;

before(async () => {
  daemon = await Daemon.start();
});
after(() => daemon?.end());

test('the page has its recipes', () => assert.ok(recipes.length >= 10));

for (const [, name, text] of recipes) {
  test(name, async () => {
    const token = daemon.token(randomUUID());
    const logged = [];
    const clients = [];
    class RyzeRealtimeClient extends exported.RyzeRealtimeClient {
      constructor(url, how) {
        const options = typeof how === 'string' ? { token: how } : how;
        super(url, { ...options, platform: { WebSocket, ...options.platform } });
        clients.push(this);
      }
    }
    const given = {
      ...exported, ...miniReact(), RyzeRealtimeClient, WebSocket, url: daemon.url, token,
      signIn: async () => ({ token }),
      console: { log: (...told) => logged.push(told.map((one) => (typeof one === 'string' ? one : inspect(one))).join(' ')) },
    };
    const code = text.replace(/^import .*$/gm, '');
    try {
      await new AsyncFunction(...Object.keys(given), code)(...Object.values(given));
      await new Promise((resolve) => setTimeout(resolve, 20));
    } finally {
      clients.forEach((client) => client.disconnect());
    }
    assert.deepEqual(logged, [...text.matchAll(/^\/\/> (.*)$/gm)].map(([, line]) => line));
  });
}

/** As much of React as one component with one state and one effect needs. */
function miniReact() {
  let state;
  let effect;
  let render;
  return {
    useState: (first) => [(state ??= first), (next) => {
      state = next;
      render?.();
    }],
    useEffect: (run) => {
      effect ??= run();
    },
    rendered: (component) => new Promise((resolve) => {
      render = () => {
        const shown = component();
        if (shown.length) resolve(shown);
      };
      render();
    }),
  };
}
