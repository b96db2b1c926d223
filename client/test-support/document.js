// A document for interfaces to draw in, without a browser. Import it before what draws.

import { Window } from 'happy-dom';

const window = new Window({ url: 'http://localhost/' });
// The globals that frameworks look for; not IndexedDB or locks: each client of a test has a storage of its own.
for (const name of ['document', 'HTMLElement', 'HTMLIFrameElement', 'Element', 'Node', 'Text', 'Comment', 'DocumentFragment', 'SVGElement', 'Event', 'CustomEvent', 'MutationObserver']) globalThis[name] = window[name];
globalThis.window = window;
// Newer ones of Node.js have one.
globalThis.navigator ??= window.navigator;

/** An element that is shown. @param {string} [html] What is in it already */
export function place(html = '') {
  const element = document.createElement('div');
  element.innerHTML = html;
  document.body.append(element);
  return element;
}

const PATIENCE_MS = 10_000;

/** Waits until what is shown is that. @param {Element} element @param {string} text */
export async function shows(element, text) {
  const since = Date.now();
  while (element.textContent !== text) {
    if (Date.now() - since > PATIENCE_MS) throw new Error(`It shows “${element.textContent}” and not “${text}”.`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** Counts what is followed: `.open` at the moment, `.begun` in all. @param {any} client */
export function counted(client) {
  const count = { open: 0, begun: 0 };
  const table = client.table.bind(client);
  client.table = (name) => {
    const made = table(name);
    const query = made.query.bind(made);
    made.query = (spec) => {
      const asked = query(spec);
      return { ...asked, subscribe: (...given) => {
        const stop = asked.subscribe(...given);
        count.open += 1;
        count.begun += 1;
        return () => {
          count.open -= 1;
          stop();
        };
      } };
    };
    return made;
  };
  return count;
}
