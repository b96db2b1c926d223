// One device on the page: draws what its `Device` tells, and hands it what the person does.

import { collisionCard } from './collision.js';
import { TABLES, uuid } from './device.js';
import { Diary, mealOptions } from './diary.js';
import { element } from './element.js';
import { view } from './replica.js';

const LOG_LINES = 60;
const STATES = { offline: 'Offline', syncing: 'Syncing…', live: 'Live', waiting: 'Reconnecting', stopped: 'Stopped', token: 'Needs a token' };

/** Draws `device` into `root`, a copy of the page's template; `edited(id)` hears of every edit made here. */
export class Pane {
  constructor(root, device, edited) {
    Object.assign(this, { root, device, foods: new Map(), drawn: {} });
    const edit = (operation, data) => {
      edited(data.id);
      device.edit(operation, 'food_entries', data);
    };
    this.diary = new Diary(this.part('.diary'), {
      change: (id, fields) => edit('UPDATE', { id, ...fields }),
      remove: (id) => edit('DELETE', { id }),
    });
    root.ariaLabel = device.name;
    this.part('h2').textContent = device.name;
    this.part('h2').title = device.id;
    this.part('[name=meal]').append(...mealOptions());
    this.part('.meal').onsubmit = (event) => {
      event.preventDefault();
      edit('INSERT', mealOf(event.target));
    };
    this.part('.line').onchange = ({ target }) => (target.checked ? device.goOnline() : device.goOffline());
    this.part('.compare').onclick = () => this.#compare();
    this.part('.allow').onclick = () => device.allow();
    this.part('.clear').onclick = () => this.#show('.collisions', this.part('.cards').replaceChildren());
    this.draw();
  }

  /** The element of this pane that `selector` finds. */
  part(selector) {
    return this.root.querySelector(selector);
  }

  /** Everything that may have changed. */
  draw() {
    const { state, note, wanted, revoked, copy } = this.device;
    this.part('.badge').textContent = STATES[state];
    this.part('.badge').dataset.state = state;
    this.part('.why').textContent = note;
    this.#show('.allow', revoked);
    this.part('.line').checked = wanted;
    this.part('.compare').disabled = state !== 'live';
    this.part('.queued').textContent = copy.queue.length;
    const { epoch, user, global } = copy.cursor ?? {};
    this.part('.cursor').textContent = copy.cursor ? `${epoch} · user ${user} · global ${global}` : 'none yet';
    // A verdict is about the copy as it was.
    if (copy !== this.drawn) this.part('.verdict').textContent = '';
    if (copy.rows.foods !== this.drawn.rows?.foods || this.foods.size === 0) this.#drawFoods();
    this.drawn = copy;
    const entries = view(copy, 'food_entries');
    const older = this.diary.show(entries, this.foods);
    this.#show('.empty', entries.length === 0);
    this.#show('.older', older > 0);
    this.part('.older').textContent = `and ${older} older`;
  }

  /** A line in the event log. */
  log(text, tone = '') {
    const time = element('time', {}, new Date().toLocaleTimeString([], { hour12: false }));
    this.part('.log').prepend(element('li', { className: tone }, time, ' ', text));
    this.part(`.log li:nth-child(${LOG_LINES + 1})`)?.remove();
  }

  /** A conflict that this device's edit met. */
  collide(conflict) {
    const title = this.foods.get((conflict.row ?? conflict.had)?.food_id)?.name_en ?? 'An entry';
    const resolve = (resolution) => this.device.resolve(conflict.conflict_id, resolution);
    this.part('.cards').prepend(collisionCard(conflict, title, resolve));
    this.#show('.collisions', true);
  }

  #show(selector, visible) {
    this.part(selector).hidden = !visible;
  }

  #drawFoods() {
    const select = this.part('[name=food]');
    const { value } = select;
    const foods = view(this.device.copy, 'foods').map(({ row }) => row).toSorted((a, b) => a.name_en.localeCompare(b.name_en));
    this.foods = new Map(foods.map((food) => [food.id, food]));
    const other = foods.length > 0 ? 'Something else' : 'Something (the catalogue comes with the first sync)';
    select.replaceChildren(...foods.map(({ id, name_en }) => element('option', { value: id }, name_en)), element('option', { value: '' }, other));
    if (this.foods.has(value)) select.value = value;
  }

  async #compare() {
    const differences = await this.device.compare();
    const equal = differences?.length === 0;
    const side = ({ rows, version_sum }) => `${rows} rows, versions sum to ${version_sum}`;
    const told = differences?.map(({ table, mine, theirs }) => `${table} here ${side(mine)}; there ${side(theirs)}`);
    const verdict = equal ? `Equal: ${TABLES.join(' and ')} match.` : `Different: ${told?.join('. ')}.`;
    this.part('.verdict').className = `verdict ${equal ? 'good' : 'bad'}`;
    this.part('.verdict').textContent = differences ? verdict : 'The server could not be asked.';
  }
}

function mealOf({ food, quantity, meal }) {
  const consumed_at = new Date().toISOString();
  return { id: uuid(), food_id: food.value || null, quantity: quantity.valueAsNumber, unit: 'g', meal_type: meal.value, consumed_at };
}
