// How long an edit took from the tap on one device to the row on another, shown on that row for a while.

import { element, say } from './element.js';

const SHOWN_MS = 6000;
/** A row is drawn soon after its news has come. */
const FRAMES = 30;
const timers = new WeakMap();

/** Shows `text` on the row of `id` within `root`, as soon as it is there. */
export function showTook(root, id, text, frames = FRAMES) {
  const row = root.querySelector(`[data-row="${id}"]`);
  if (!row) {
    if (frames) requestAnimationFrame(() => showTook(root, id, text, frames - 1));
    return;
  }
  const badge = row.querySelector(':scope > .took') ?? row.appendChild(element('span', { className: 'took' }));
  say(badge, text);
  clearTimeout(timers.get(badge));
  timers.set(badge, setTimeout(() => badge.remove(), SHOWN_MS));
}
