// The food diary of one device: a day's totals, its entries by meal, and the form that logs one.

import { announce } from './announce.js';
import { button, element, say } from './element.js';
import { fixed, longDay, measure, nearDay, number, percent } from './formats.js';
import { icon } from './icons.js';
import { Keyed, light, OpenRow } from './keyed.js';
import { Picker } from './picker.js';
import * as sums from './totals.js';
import { nameOf, t } from './words.js';

/** The diary that is drawn into `root`; `follow(table, query, callback)` is live until the view closes. */
export class Diary {
  #day = sums.dayOf(Date.now());
  #entries = [];
  #foods = new Map();
  #isDrawn = false;
  /** The entry whose fields are open: one at a time. */
  #open = new OpenRow(() => this.#draw());
  /** An entry that was moved to another meal from here: the keyboard goes along. */
  #moved = null;

  constructor(root, { device, follow, total, isSmall }) {
    Object.assign(this, { device, total, isSmall });
    this.meals = new Keyed(element('div', { className: 'meals' }), (meal) => this.#meal(meal));
    this.empty = element('p', { className: 'empty' }, t('diary.empty'));
    root.append(this.#head(), ...(isSmall ? [] : [this.#form()]), this.empty, this.meals.root);
    follow('foods', null, (foods) => {
      this.#foods = new Map(foods.map((food) => [food.id, food]));
      this.picker?.offer(foods);
      if (this.picker) this.picker.input.placeholder = t('diary.find', { n: number(foods.length) });
      this.#draw();
    });
    follow('food_entries', null, (entries) => {
      this.#entries = entries;
      this.#draw();
      this.#isDrawn = true;
    });
  }

  close() {
    this.meals.close();
  }

  #head() {
    this.day = element('h3', { className: 'day' });
    const step = (by, name, label) => button({
      className: 'plain', 'aria-label': label, onclick: () => this.#show(sums.dayAfter(this.#day, by)),
    }, icon(name));
    this.kcal = element('strong', { className: 'figure' });
    this.bar = element('div', { className: 'split', role: 'img' }, ...sums.MACROS.map((macro) => element('span', { className: macro })));
    this.macros = Object.fromEntries(sums.MACROS.map((macro) => [macro, element('dd')]));
    const list = sums.MACROS.map((macro) => element('div', { className: macro }, element('dt', {}, t(`diary.${macro}`)), this.macros[macro]));
    return element('div', { className: 'totals' },
      element('div', { className: 'days' }, step(-1, 'left', t('diary.previous')), this.day, step(1, 'right', t('diary.next'))),
      element('p', { className: 'kcal' }, this.kcal, ' ', element('span', {}, t('diary.kcal'))),
      this.bar, element('dl', { className: 'macros' }, ...list));
  }

  #form() {
    this.picker = new Picker({
      label: t('diary.food'), placeholder: '', nameOf,
      hintOf: ({ calories }) => `${number(calories)} ${t('diary.kcal')}`,
      chosen: () => this.grams.focus(),
    });
    this.grams = element('input', { type: 'number', min: '0.1', max: '100000', step: 'any', value: '150', required: true, inputMode: 'decimal' });
    this.meal = mealSelect();
    this.meal.value = sums.mealAt(Date.now());
    this.why = element('p', { className: 'bad', role: 'alert' });
    const field = (label, control) => element('label', {}, t(label), control);
    return element('form', { className: 'log-meal', noValidate: false, onsubmit: (event) => this.#log(event) }, this.picker.root,
      field('diary.grams', this.grams), field('diary.meal', this.meal),
      element('button', { className: 'primary' }, icon('add'), t('diary.add')), this.why);
  }

  #log(event) {
    event.preventDefault();
    const food = this.picker.value;
    say(this.why, food ? '' : t('diary.choose'));
    if (!food) return this.picker.input.focus();
    const quantity = this.grams.valueAsNumber;
    const consumed_at = sums.momentOn(this.#day, Date.now()).toISOString();
    this.device.did('log');
    this.device.insert('food_entries', { food_id: food.id, quantity, unit: 'g', meal_type: this.meal.value, consumed_at });
    announce(t('diary.added', { food: nameOf(food), quantity: measure(quantity, 'gram', 1) }));
    this.picker.clear();
    this.picker.input.focus();
  }

  #show(day) {
    this.#day = day;
    this.#isDrawn = false;
    this.#draw();
    this.#isDrawn = true;
  }

  #draw() {
    const meals = sums.byMeal(this.#entries, this.#day);
    const entries = meals.flatMap(([, some]) => some);
    const sum = sums.totals(entries, this.#foods);
    const parts = sums.shares(sum);
    say(this.day, this.#dayName());
    say(this.kcal, number(sum.calories));
    this.total(`${number(sum.calories)} ${t('diary.kcal')}`);
    const named = sums.MACROS.map((macro) => `${t(`diary.${macro}`)} ${percent(parts[macro])}`);
    this.bar.ariaLabel = t('diary.split', { parts: named.join(', ') });
    sums.MACROS.forEach((macro, at) => {
      this.bar.children[at].style.flexGrow = parts[macro];
      say(this.macros[macro], `${fixed(sum[macro], 1)} g`);
    });
    this.meals.show(meals.map(([id, some]) => ({ id, entries: some })));
    this.empty.hidden = entries.length > 0;
    const moved = this.#moved && this.meals.root.querySelector(`[data-row="${this.#moved}"] select`);
    this.#moved = null;
    moved?.focus();
  }

  #dayName() {
    const noon = sums.noonOf(this.#day);
    const days = Math.round((noon - sums.noonOf(sums.dayOf(Date.now()))) / 86_400_000);
    return nearDay(days) ?? longDay(noon);
  }

  #meal({ id }) {
    const energy = element('span', { className: 'dim' });
    const entries = new Keyed(element('ul', { className: 'entries' }), (entry) => this.#entry(entry.id));
    const root = element('section', {}, element('h4', {}, t(`meal.${id}`), energy), entries.root);
    const fill = ({ entries: some }) => {
      say(energy, `${number(sums.totals(some, this.#foods).calories)} ${t('diary.kcal')}`);
      entries.show(some);
    };
    return { root, fill, close: () => entries.close() };
  }

  #entry(id) {
    const [name, facts, small] = [
      element('strong', { className: 'name' }), element('span', { className: 'facts' }), element('span', { className: 'quantity' }),
    ];
    const parts = [element('span', { className: 'what-is' }, name, facts), small];
    const fields = this.isSmall ? null : this.#fields(id);
    const row = fields ? button({ className: 'row', onclick: () => this.#open.toggle(id) }, ...parts) : element('div', { className: 'row' }, ...parts);
    const root = element('li', {}, row, fields?.root);
    root.dataset.row = id;
    const shown = {};
    const fill = (entry) => {
      const food = this.#foods.get(entry.food_id);
      const title = food ? nameOf(food) : t('diary.unknown');
      say(name, title);
      say(facts, `${number(sums.nutrition(entry, food).calories)} ${t('diary.kcal')}${entry._pending ? ` · ${t('diary.waits')}` : ''}`);
      say(small, measure(entry.quantity, 'gram', 1));
      if (fields) row.ariaExpanded = String(this.#open.is(id));
      fields?.fill(entry, title, shown.quantity);
      root.classList.toggle('pending', Boolean(entry._pending));
      if (this.#isDrawn && !entry._pending && shown.version !== entry._version) light(root);
      Object.assign(shown, { quantity: entry.quantity, version: entry._version });
    };
    return { root, fill };
  }

  /** What opens on a tap: grams, meal, and a way to delete. */
  #fields(id) {
    const quantity = element('input', {
      type: 'number', min: '0.1', max: '100000', step: 'any', required: true, inputMode: 'decimal',
      onchange: () => quantity.reportValidity() && this.#change(id, { quantity: quantity.valueAsNumber }),
    });
    const meal = mealSelect((value) => {
      this.#moved = id;
      this.#change(id, { meal_type: value });
    });
    const away = button({ className: 'plain', onclick: () => this.#delete(id) }, icon('remove'));
    away.dataset.does = 'delete';
    const root = element('div', { className: 'fields', onkeydown: (event) => this.#open.pressed(event) }, element('span', { className: 'with-unit' }, quantity, 'g'), meal, away);
    const fill = (entry, food, before) => {
      root.hidden = !this.#open.is(id);
      quantity.ariaLabel = t('diary.quantity.of', { food });
      meal.ariaLabel = t('diary.meal.of', { food });
      away.ariaLabel = t('diary.delete.of', { food });
      const isTyped = document.activeElement === quantity && Number(quantity.value) !== before;
      if (!isTyped) quantity.value = entry.quantity;
      meal.value = sums.MEALS.includes(entry.meal_type) ? entry.meal_type : 'other';
    };
    return { root, fill };
  }

  #change(id, changes) {
    this.device.did('change');
    this.device.update('food_entries', id, changes);
  }

  #delete(id) {
    const { food_id } = this.#entries.find((entry) => entry.id === id) ?? {};
    const food = this.#foods.get(food_id);
    this.device.remove('food_entries', id);
    announce(t('diary.deleted', { food: food ? nameOf(food) : t('diary.unknown') }));
  }
}

function mealSelect(changed) {
  const meals = sums.MEALS.map((meal) => element('option', { value: meal }, t(`meal.${meal}`)));
  const select = element('select', { onchange: () => changed?.(select.value) }, ...meals);
  return select;
}
