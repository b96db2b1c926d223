// All devices at a glance, where they don't stand side by side: the state of each, its total of the scene, and a flash when
// something arrives.

import { element, say } from './element.js';
import { icon } from './icons.js';
import { light } from './keyed.js';
import { t } from './words.js';

const TOOK_MS = 6000;

export class Strip {
  #chips = new Map();

  constructor(root) {
    this.root = root;
  }

  /** The chips of these devices; `go(event, kind)` leads to one. */
  show(devices, go) {
    this.#chips = new Map(devices.map(({ kind }) => [kind, chip(kind, go)]));
    this.root.replaceChildren(...[...this.#chips.values()].map(({ root }) => root));
  }

  /** The state of a device. */
  draw({ kind, isOff, state }) {
    const it = this.#chips.get(kind);
    if (!it) return;
    it.root.dataset.state = isOff ? 'off' : state.state;
    say(it.state, t(`device.state.${isOff ? 'off' : state.state}`));
  }

  /** What a device's view comes to. */
  total(kind, text) {
    const it = this.#chips.get(kind);
    if (it) say(it.total, text);
  }

  /** Something arrived at a device; `took` says how long after the tap, if that is known. */
  flash(kind, took) {
    const it = this.#chips.get(kind);
    if (!it) return;
    light(it.root);
    if (!took) return;
    clearTimeout(it.timer);
    say(it.took, took);
    it.timer = setTimeout(() => say(it.took, ''), TOOK_MS);
  }
}

function chip(kind, go) {
  const [total, state, took] = ['total', 'state hidden', 'took'].map((className) => element('span', { className }));
  const root = element('a', { href: `#${kind}`, onclick: (event) => go(event, kind) },
    element('span', { className: 'top' }, icon(kind), element('span', { className: 'name' }, t(`device.${kind}`))), total, took, state);
  root.dataset.kind = kind;
  return { root, total, state, took };
}
