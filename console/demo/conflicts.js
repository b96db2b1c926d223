// The open conflicts of a device in a dialog, and the resolver: both sides next to each other, and what comes of them.

import { announce } from './announce.js';
import * as collision from './collision.js';
import { button, element, say } from './element.js';
import { moment, number } from './formats.js';
import { icon } from './icons.js';
import { MEALS } from './totals.js';
import { nameOf, t, term } from './words.js';

/**
 * Opens the list of those that are shown, each side under the name of its device; what opened it has the focus again when it closes,
 * else its device.
 */
export async function openConflicts(device, deviceName, { isShown, who, nameOfKind }) {
  const names = await namesOf(device);
  const title = element('h2', { id: 'conflicts-title' }, t('conflict.title', { device: deviceName }));
  const list = element('div', { className: 'cases' });
  const note = element('p', { className: 'note', role: 'status' });
  const dialog = element('dialog', { className: 'conflicts', 'aria-labelledby': 'conflicts-title' },
    element('header', {}, title, button({ className: 'plain', 'aria-label': t('page.closed'), onclick: () => dialog.close() }, icon('close'))),
    element('p', { className: 'dim' }, t('conflict.lead')), note, list);
  const cases = new Map();
  const draw = () => {
    const isLive = device.state.state === 'live';
    if (!isLive) say(note, t('conflict.offline'));
    else if (note.textContent === t('conflict.offline')) say(note, '');
    const shown = device.conflicts.filter((conflict) => isShown(conflict));
    const open = shown.map(({ conflict_id }) => conflict_id);
    const hadFocus = list.contains(document.activeElement);
    for (const [id, { root }] of cases) if (!open.includes(id)) { root.remove(); cases.delete(id); }
    for (const conflict of shown) {
      if (cases.has(conflict.conflict_id)) continue;
      const made = new Case(conflict, { device, names, note, who, nameOfKind });
      cases.set(conflict.conflict_id, made);
      list.append(made.root);
    }
    cases.forEach((made) => made.allow(isLive));
    if (!open.length && !list.querySelector('.empty')) list.append(element('p', { className: 'empty' }, t('conflict.none')));
    else if (open.length) list.querySelector('.empty')?.remove();
    if (hadFocus && !list.contains(document.activeElement)) (list.querySelector('button, input') ?? dialog.querySelector('header button')).focus();
  };
  const stop = device.on('changed', draw);
  dialog.addEventListener('close', () => {
    stop();
    dialog.remove();
    // What opened it may be gone, with the last conflict.
    if (document.activeElement === document.body) document.getElementById(device.kind)?.focus();
  });
  document.body.append(dialog);
  draw();
  dialog.showModal();
  device.lookAtConflicts();
}

/** What the ids in rows are called, for titles. */
async function namesOf({ client }) {
  const [foods, exercises, entries, sets, members] = await Promise.all(
    ['foods', 'exercises', 'food_entries', 'exercise_sets', 'workout_exercises'].map((table) => client.table(table).all()),
  );
  const named = (rows) => new Map(rows.map((row) => [row.id, row]));
  const [food, exercise, entry, set, member] = [foods, exercises, entries, sets, members].map(named);
  const ofMember = (row) => nameOf(exercise.get(row?.exercise_id));
  return {
    food: (id) => nameOf(food.get(id)),
    row: ({ table, rowId, row }) => {
      if (table === 'food_entries') return nameOf(food.get((row ?? entry.get(rowId))?.food_id));
      if (table === 'workout_exercises') return ofMember(row ?? member.get(rowId));
      if (table === 'exercise_sets') return ofMember(member.get((row ?? set.get(rowId))?.workout_exercise_id));
      return row?.name ?? row?.activity_title ?? '';
    },
  };
}

/** One conflict: its table of fields, or the question whether the row lives. */
class Case {
  #buttons = [];

  constructor(raw, { device, names, note, who, nameOfKind }) {
    this.conflict = collision.shownConflict(raw);
    Object.assign(this, { device, names, note });
    const of = collision.sides(this.conflict, who);
    if (device.mine.has(raw.conflict_id)) of.late = device.kind;
    const [server, late] = [of.server, of.late].map(nameOfKind);
    this.server = t('conflict.said', { device: server });
    this.late = of.late ? t('conflict.said', { device: late }) : t('conflict.late');
    this.choices = collision.untouched(this.conflict);
    const { kind, fields, id } = this.conflict;
    const isFields = kind === 'fields';
    const chip = element('span', { className: 'chip' }, term('table', raw.table));
    const heading = element('h3', { id: `case-${id}` }, names.row(this.conflict) || t('diary.unknown'), ' ', chip);
    const told = isFields ? t('conflict.fields', { n: fields.length }) : t(`conflict.${kind}`, { server, late });
    this.root = element('section', { className: 'case', 'aria-labelledby': heading.id }, heading, element('p', { className: 'dim' }, told),
      isFields && this.#table(fields), isFields ? this.#settleFields() : this.#settleRow(kind));
    if (isFields) this.#draw();
  }

  /** Whether it can be settled now. */
  allow(isLive) {
    this.#buttons.forEach((one) => { one.disabled = !isLive; });
  }

  #table(fields) {
    const head = [t('conflict.field'), t('conflict.base'), this.server, this.late, t('conflict.merged')];
    this.rows = fields.map((field) => this.#row(field));
    return element('table', { className: 'sides' },
      element('thead', {}, element('tr', {}, ...head.map((text) => element('th', { scope: 'col' }, text)))),
      element('tbody', {}, ...this.rows.map(({ root }) => root)));
  }

  #row(field) {
    const label = term('field', field.field);
    const side = (from, text) => {
      const radio = element('input', {
        type: 'radio', name: `${this.conflict.id}-${field.field}`, value: from,
        'aria-label': t('conflict.side.of', { side: text, field: label, value: this.#shown(field, field[from]) }),
        onchange: () => this.#take(collision.taken(this.choices, field, from)),
      });
      return { radio, cell: element('td', { 'data-label': text }, element('label', { className: 'side' }, radio, this.#shown(field, field[from]))) };
    };
    const [server, client] = [side('server', this.server), side('client', this.late)];
    const merged = this.#mergedField(field, label);
    const root = element('tr', {}, element('th', { scope: 'row' }, label),
      element('td', { 'data-label': t('conflict.base') }, this.#shown(field, field.base)), server.cell, client.cell,
      element('td', { 'data-label': t('conflict.merged') }, merged));
    return { root, field, radios: { server: server.radio, client: client.radio }, merged };
  }

  /** A field to type in where a person can write such a value; a moment or an id is only chosen. */
  #mergedField(field, label) {
    const take = (event) => this.#take(collision.written(this.choices, field, event.target.value));
    const name = t('conflict.merged.of', { field: label });
    if (field.field === 'meal_type') {
      const meals = MEALS.map((meal) => element('option', { value: meal }, t(`meal.${meal}`)));
      return element('select', { 'aria-label': name, onchange: take }, ...meals);
    }
    const canType = field.type === 'number' || (field.type === 'string' && !isMoment(field.server ?? field.client) && !field.field.endsWith('_id'));
    if (!canType) return element('output', { 'aria-label': name });
    return element('input', { inputMode: field.type === 'number' ? 'decimal' : 'text', 'aria-label': name, oninput: take });
  }

  #settleFields() {
    this.save = this.#button('primary', 'conflict.save', () => this.#settle(collision.settlement(this.conflict, this.choices)));
    return element('p', { className: 'actions' }, this.save);
  }

  #settleRow(kind) {
    return element('p', { className: 'actions' },
      this.#button('', `conflict.stay.${kind}`, () => this.#settle('server')),
      this.#button('', `conflict.take.${kind}`, () => this.#settle('client')));
  }

  #button(className, key, onclick) {
    const made = button({ className, onclick }, t(key));
    this.#buttons.push(made);
    return made;
  }

  #take(choices) {
    this.choices = choices;
    this.#draw();
  }

  #draw() {
    for (const { root, field, radios, merged } of this.rows) {
      const { from, value } = this.choices[field.field];
      root.dataset.from = from;
      radios.server.checked = from === 'server';
      radios.client.checked = from === 'client';
      if (merged.localName === 'output') merged.textContent = this.#shown(field, value);
      else if (document.activeElement !== merged || from !== 'merged') merged.value = value ?? '';
    }
  }

  async #settle(choice) {
    this.allow(false);
    try {
      await this.device.settle(this.conflict.id, choice);
      say(this.note, t('conflict.settled'));
      announce(t('conflict.settled'));
    } catch (fault) {
      say(this.note, fault.status === 404 ? t('conflict.gone') : t('conflict.failed', { why: why(fault) }));
      this.allow(true);
    }
  }

  #shown({ field }, value) {
    if (value === null || value === undefined) return t('conflict.nothing');
    if (field === 'meal_type') return term('meal', value);
    if (field === 'food_id') return this.names.food(value) || String(value);
    if (typeof value === 'boolean') return t(`value.${value}`);
    if (typeof value === 'number') return number(value, 2);
    if (isMoment(value)) return moment(new Date(value));
    return typeof value === 'object' ? JSON.stringify(value) : String(value);
  }
}

const isMoment = (value) => typeof value === 'string' && /^\d{4}-\d\d-\d\dT/.test(value);
const why = ({ errors = [], message }) => errors.map((error) => `${term('field', error.field)} ${error.message}`).join('; ') || message;
