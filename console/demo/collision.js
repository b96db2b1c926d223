// How a conflict is shown: what both sides had, what was settled, and the choice while it is open.

import { element } from './element.js';

/** A card for `conflict`; `title` names the row, `resolve(resolution)` settles an open one and says whether it did. */
export function collisionCard({ strategy, conflict_id, fields, row }, title, resolve) {
  const open = strategy === 'manual' && conflict_id;
  const chip = element('span', { className: 'chip' }, open ? 'open' : strategy);
  const card = element('div', { className: 'collision' }, element('p', {}, element('strong', {}, title), ' ', chip));
  if (fields.length > 0) card.append(fieldTable(fields));
  else card.append(element('p', {}, 'One side deleted the row, the other edited it.'));
  const outcome = row ? 'The resolved value counts on every device.' : 'The row is deleted.';
  const state = element('p', { className: 'dim' }, open ? 'The server’s side stands until you choose.' : outcome);
  card.append(state);
  if (!open) return card;

  const choice = (resolution, text) => element('button', {
    type: 'button',
    onclick: async () => {
      if (!(await resolve(resolution))) return;
      chip.textContent = strategy;
      state.textContent = `You took the ${resolution}’s side.`;
      choices.remove();
    },
  }, text);
  const choices = element('p', { className: 'actions' }, choice('server', 'Keep the server’s'), choice('client', 'Take this device’s'));
  card.append(choices);
  return card;
}

function fieldTable(fields) {
  const head = ['Field', 'Base', 'Server', 'Client', 'Resolved'].map((name) => element('th', { scope: 'col' }, name));
  const line = ({ field, base, server, client, resolved }) => element('tr', {}, element('th', { scope: 'row' }, field),
    ...[base, server, client, resolved].map((value) => element('td', {}, shown(value))));
  return element('table', {}, element('thead', {}, element('tr', {}, ...head)), element('tbody', {}, ...fields.map(line)));
}

const shown = (value) => (value === null ? '–' : typeof value === 'object' ? JSON.stringify(value) : String(value));
