// The meals of one device. Rows are updated in place, so that a field being typed in keeps its focus and text.

import { element } from './element.js';

const MEALS = ['breakfast', 'lunch', 'dinner', 'snack', 'other'];
/** Enough to play with; the rest is only counted. */
const SHOWN = 30;

/** Draws into `list`; `change(id, fields)` and `remove(id)` are called when the person edits. */
export class Diary {
  #items = new Map();
  #drawn = false;

  constructor(list, actions) {
    Object.assign(this, { list, actions });
  }

  /** Shows `entries` ({row, pending}), newest first; answers how many did not fit. */
  show(entries, foods) {
    const newest = entries.toSorted((a, b) => (a.row.consumed_at < b.row.consumed_at ? 1 : -1));
    const wanted = new Map(newest.slice(0, SHOWN).map((entry) => [entry.row.id, entry]));
    for (const [id, { root }] of this.#items) {
      if (wanted.has(id)) continue;
      root.remove();
      this.#items.delete(id);
    }
    [...wanted].forEach(([id, entry], at) => {
      const item = this.#items.get(id) ?? this.#made(id);
      fill(item, entry, foods.get(entry.row.food_id), this.#drawn);
      // Moving an element takes its focus away, so only what stands in the wrong place is moved.
      if (this.list.children[at] !== item.root) this.list.insertBefore(item.root, this.list.children[at] ?? null);
    });
    this.#drawn = true;
    return newest.length - wanted.size;
  }

  #made(id) {
    const { change, remove } = this.actions;
    const quantity = element('input', {
      type: 'number', min: '0.1', max: '1000000', step: 'any', required: true,
      onchange: () => quantity.reportValidity() && change(id, { quantity: quantity.valueAsNumber }),
    });
    const meal = element('select', { onchange: () => change(id, { meal_type: meal.value }) }, ...mealOptions());
    const away = element('button', { type: 'button', onclick: () => remove(id) }, '×');
    const [name, facts, unit] = [element('strong'), element('span'), element('span')];
    const item = { quantity, meal, away, name, facts, unit };
    item.root = element('li', {}, element('p', {}, name, facts), quantity, unit, meal, away);
    this.#items.set(id, item);
    return item;
  }
}

/** An option for every meal that the column `meal_type` knows. */
export const mealOptions = () => MEALS.map((meal) => element('option', { value: meal }, meal));

function fill(item, { row, pending }, food, drawn) {
  const name = food?.name_en ?? 'Something else';
  const unit = row.unit ?? 'g';
  const energy = food && unit === 'g' ? `${Math.round((food.calories * row.quantity) / 100)} kcal · ` : '';
  item.name.textContent = name;
  item.unit.textContent = unit;
  item.facts.textContent = energy + (pending ? 'queued' : `v${row._version}`);
  item.quantity.ariaLabel = `Quantity of ${name}`;
  item.meal.ariaLabel = `Meal of ${name}`;
  item.away.ariaLabel = `Delete ${name}`;
  const typing = document.activeElement === item.quantity && Number(item.quantity.value) !== item.shown;
  if (!typing) item.quantity.value = row.quantity;
  item.shown = row.quantity;
  item.meal.value = row.meal_type ?? 'other';
  item.root.classList.toggle('pending', pending);
  if (drawn && !pending && item.version !== row._version) blink(item.root);
  item.version = row._version;
}

function blink({ classList }) {
  classList.remove('new');
  requestAnimationFrame(() => classList.add('new'));
}
