// How a conflict is shown: what both sides had, what was settled, and the choice while it is open.

import { element } from './element.js';

/** A card for `conflict`; `title` names the row, `resolve(resolution)` settles an open one: `done`, `gone` or `failed`. */
export function collisionCard({ strategy, conflict_id, fields, row }, title, resolve) {
  const open = strategy === 'manual' && conflict_id;
  const chip = element('span', { className: 'chip' }, open ? 'open' : strategy);
  const card = element('div', { className: 'collision' }, element('p', {}, element('strong', {}, title), ' ', chip));
  if (fields.length > 0) card.append(fieldTable(fields, row));
  else card.append(element('p', {}, 'One side deleted the row, the other edited it.'));
  const outcome = row ? 'The resolved value counts on every device.' : 'The row is deleted on every device.';
  const state = element('p', { className: 'dim' }, open ? 'The server’s side stands until you choose.' : outcome);
  card.append(state);
  if (!open) return card;

  const choice = (resolution, text) => element('button', {
    type: 'button',
    onclick: async () => {
      const answer = await resolve(resolution);
      if (answer === 'failed') return;
      chip.textContent = strategy;
      state.textContent = answer === 'done' ? `You took the ${resolution}’s side.` : 'It was settled elsewhere.';
      choices.remove();
      card.querySelectorAll('tbody tr').forEach(({ lastChild: resolved, cells }) => {
        const taken = cells[resolution === 'client' ? 3 : 2].textContent;
        resolved.textContent = answer === 'done' ? taken : '–';
      });
    },
  }, text);
  const choices = element('p', { className: 'actions' }, choice('server', 'Keep the server’s'), choice('client', 'Take this device’s'));
  card.append(choices);
  return card;
}

function fieldTable(fields, row) {
  const head = ['Field', 'Base', 'Server', 'Client', 'Resolved'].map((name) => element('th', { scope: 'col' }, name));
  // A side that has nothing in any of the fields is the one that deleted the row.
  const gone = (side) => (side === 'resolved' ? !row : fields.every((field) => field[side] === null));
  const told = (field, side) => (gone(side) && side !== 'base' ? 'deleted' : shown(field[side]));
  const line = (field) => element('tr', {}, element('th', { scope: 'row' }, field.field),
    ...['base', 'server', 'client', 'resolved'].map((side) => element('td', {}, told(field, side))));
  return element('table', {}, element('thead', {}, element('tr', {}, ...head)), element('tbody', {}, ...fields.map(line)));
}

const shown = (value) => (value === null ? '–' : typeof value === 'object' ? JSON.stringify(value) : String(value));
