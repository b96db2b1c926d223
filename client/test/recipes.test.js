// Runs every recipe of docs/client.md, and the one of README.md, against the daemon, each as a person of its own, and holds what it logs against the page.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { inspect } from 'node:util';
import { createCollection } from '@tanstack/db';
import React, { act } from 'react';
import TestRenderer from 'react-test-renderer';
import WebSocket from 'ws';
import * as hooks from '../src/bindings/react.js';
import * as tanstack from '../src/bindings/tanstack-db.js';
import * as exported from '../src/index.js';
import { keyValueStorage } from '../src/storage/key-value.js';
import { Daemon } from '../test-support/daemon.js';
import { KeyValueStore } from '../test-support/key-value.js';

const AsyncFunction = (async () => {}).constructor;
const PATIENCE_MS = 10_000;
const LEAST_RECIPES = 10;
let daemon;

/** The code blocks of a page, each named after the heading it stands under. */
function recipesOf(page) {
  const sections = readFileSync(new URL(page, import.meta.url), 'utf8').split(/^#+ (?=.+$)/m).slice(1);
  return sections.flatMap((section) => [...section.matchAll(/^```js\n([\s\S]*?)```/gm)].map(([, text]) => ({ name: section.split('\n')[0], text })));
}
// Of the README, those that log nothing are drawn in frameworks.test.js; those of SQLite need a newer Node.js.
const recipes = [...recipesOf('../../docs/client.md'), ...recipesOf('../README.md').filter(({ text }) => text.includes('//>') && !text.includes('ryzed-client/node'))];

before(async () => {
  daemon = await Daemon.start();
});
after(() => daemon?.end());

test('the page has its recipes', () => assert.ok(new Set(recipes.map(({ name }) => name)).size >= LEAST_RECIPES));

for (const { name, text } of recipes) {
  test(name, async () => {
    const token = daemon.token(randomUUID());
    const logged = [];
    const clients = [];
    const rendered = [];
    class RyzeRealtimeClient extends exported.RyzeRealtimeClient {
      constructor(url, how) {
        const options = typeof how === 'string' ? { token: how } : how;
        super(url, { ...options, platform: { WebSocket, ...options.platform } });
        clients.push(this);
      }
    }
    const given = {
      ...exported, ...React, ...hooks, ...tanstack, createCollection, RyzeRealtimeClient, keyValueStorage, WebSocket, url: daemon.url, token,
      AsyncStorage: new KeyValueStore(),
      AppState: { addEventListener: () => ({ remove: () => {} }) },
      signIn: async () => ({ token }),
      render: (element) => {
        rendered.push(render(element));
        return rendered.at(-1);
      },
      console: { log: (...told) => logged.push(told.map((one) => (typeof one === 'string' ? one : inspect(one))).join(' ')) },
    };
    const code = text.replace(/^import .*$/gm, '');
    assert.match(text, /^\/\/> /m, 'it has to log something');
    try {
      await new AsyncFunction(...Object.keys(given), code)(...Object.values(given));
      await new Promise((resolve) => setTimeout(resolve, 20));
    } finally {
      rendered.forEach(({ end }) => end());
      clients.forEach((client) => client.disconnect());
    }
    assert.deepEqual(logged, [...text.matchAll(/^\/\/> (.*)$/gm)].map(([, line]) => line));
  });
}

/** Renders with React. `text` answers once what is shown is no longer what came first. */
function render(element) {
  let shown;
  const atOnce = (run) => {
    // Only here: what follows comes as it does in an app.
    globalThis.IS_REACT_ACT_ENVIRONMENT = true;
    act(run);
    globalThis.IS_REACT_ACT_ENVIRONMENT = false;
  };
  atOnce(() => {
    shown = TestRenderer.create(element);
  });
  const read = () => shown.toJSON().children.join('');
  const first = read();
  const text = async () => {
    const since = Date.now();
    while (read() === first && Date.now() - since < PATIENCE_MS) await new Promise((resolve) => setTimeout(resolve, 5));
    return read();
  };
  return { text, end: () => atOnce(() => shown.unmount()) };
}
