// The workout of one device: a session, its exercises, and their sets to be ticked off.

import { announce } from './announce.js';
import { button, element, say } from './element.js';
import { measure, moment, number } from './formats.js';
import { icon } from './icons.js';
import { uuid } from './ids.js';
import { Keyed, light, OpenRow } from './keyed.js';
import { Picker } from './picker.js';
import { firstWeight, fromTemplate, furtherSet, moved, nextPlace, ordered, progress } from './sets.js';
import { nameOf, t } from './words.js';

const TABLES = ['exercises', 'workout_sessions', 'workout_exercises', 'exercise_sets', 'workout_templates', 'workout_template_exercises'];

export class Workout {
  #rows = Object.fromEntries(TABLES.map((table) => [table, []]));
  #exercises = new Map();
  /** Tables that have come; until all have, nothing that shows is news. */
  #known = new Set();
  /** The set whose fields are open: one at a time. */
  #open = new OpenRow(() => this.#draw());

  constructor(root, { device, follow, total, isSmall }) {
    Object.assign(this, { device, total, isSmall });
    this.name = element('h3');
    this.when = element('p', { className: 'dim' });
    this.sets = element('dd');
    this.volume = element('dd');
    const figure = (key, value) => element('div', {}, element('dt', {}, t(key)), value);
    const figures = element('dl', { className: 'figures' }, figure('workout.sets', this.sets), figure('workout.volume', this.volume));
    this.meter = element('progress', { 'aria-label': t('workout.sets') });
    this.list = new Keyed(element('ol', { className: 'exercises' }), ({ id }) => this.#exercise(id));
    this.picker = new Picker({
      label: t('workout.exercise'), placeholder: t('workout.find'), nameOf,
      hintOf: ({ muscle_group }) => muscle_group.replaceAll('_', ' '),
      chosen: (exercise) => this.#add(exercise),
    });
    this.finish = button({ className: 'primary', onclick: () => this.#finish() }, icon('check'), t('workout.finish'));
    this.away = button({ className: 'plain', 'aria-label': t('workout.delete'), onclick: () => this.#delete() }, icon('remove'));
    const head = element('div', { className: 'session-head' }, element('div', {}, this.name, this.when),
      !isSmall && this.finish, !isSmall && this.away);
    this.session = element('div', { className: 'session' }, head, !isSmall && figures, this.meter, this.list.root, !isSmall && this.picker.root);
    this.empty = element('p', { className: 'empty' }, t('workout.none'));
    root.append(this.empty, this.session, this.#beginning());
    TABLES.forEach((table) => follow(table, null, (rows) => {
      this.#rows[table] = rows;
      this.#draw();
      this.#known.add(table);
    }));
  }

  close() {
    this.list.close();
  }

  #beginning() {
    this.from = element('select');
    this.begin = button({ className: 'primary', onclick: () => this.#start() }, icon('play'), t('workout.start'));
    this.start = element('div', { className: 'begin' }, !this.isSmall && element('label', {}, t('workout.from'), this.from), this.begin);
    return this.start;
  }

  /** The newest session. */
  get #session() {
    return [...this.#rows.workout_sessions].sort((one, other) => (one.start_time < other.start_time ? 1 : -1))[0];
  }

  #start() {
    const template = this.#rows.workout_templates.find(({ id }) => id === this.from.value);
    const session = this.device.insert('workout_sessions', {
      name: template ? nameOf(template) : t('workout.default'), start_time: new Date().toISOString(), is_completed: false,
    });
    const planned = this.#rows.workout_template_exercises.filter(({ template_id }) => template_id === template?.id);
    const { exercises, sets } = fromTemplate(planned, session, uuid, (id) => firstWeight(this.#exercises.get(id)));
    exercises.forEach((row) => this.device.insert('workout_exercises', row));
    sets.forEach((row) => this.device.insert('exercise_sets', row));
    requestAnimationFrame(() => (this.list.root.querySelector('input') ?? this.picker.input).focus());
  }

  #finish() {
    this.device.update('workout_sessions', this.#session.id, { is_completed: true, end_time: new Date().toISOString() });
    requestAnimationFrame(() => this.begin.focus());
  }

  #delete() {
    this.device.remove('workout_sessions', this.#session.id);
    requestAnimationFrame(() => this.begin.focus());
  }

  #add(exercise) {
    const mine = this.#mine();
    const order_index = nextPlace(mine, 'order_index');
    const id = this.device.insert('workout_exercises', { session_id: this.#session.id, exercise_id: exercise.id, order_index });
    this.device.insert('exercise_sets', { ...furtherSet([], firstWeight(exercise)), workout_exercise_id: id });
    this.picker.clear();
  }

  /** The exercises of the session that is shown. */
  #mine() {
    const session = this.#session;
    return ordered(this.#rows.workout_exercises.filter(({ session_id }) => session_id === session?.id), 'order_index');
  }

  #setsOf(id) {
    return ordered(this.#rows.exercise_sets.filter(({ workout_exercise_id }) => workout_exercise_id === id), 'set_order');
  }

  #title(row) {
    return nameOf(this.#exercises.get(row?.exercise_id)) || t('workout.unknown');
  }

  #draw() {
    this.#exercises = new Map(this.#rows.exercises.map((row) => [row.id, row]));
    this.picker.offer(this.#rows.exercises);
    this.#drawTemplates();
    const session = this.#session;
    this.empty.hidden = Boolean(session);
    this.session.hidden = !session;
    this.start.hidden = Boolean(session && !session.is_completed);
    if (!session) return this.total('–');
    say(this.name, session.name);
    const [key, at] = session.is_completed ? ['workout.done', session.end_time ?? session.start_time] : ['workout.began', session.start_time];
    say(this.when, t(key, { when: moment(new Date(at)) }));
    this.finish.hidden = this.picker.root.hidden = session.is_completed;
    const mine = this.#mine();
    const sets = mine.flatMap(({ id }) => this.#setsOf(id));
    const { done, all, volume } = progress(sets);
    say(this.sets, `${number(done)} / ${number(all)}`);
    const total = t('workout.total', { done: number(done), all: number(all) });
    this.total(total);
    if (this.isSmall) say(this.when, total);
    say(this.volume, measure(volume, 'kilogram'));
    this.meter.max = all || 1;
    this.meter.value = done;
    const shown = this.isSmall ? this.#next(mine) : mine;
    this.list.show(shown.map((row) => ({ ...row, place: mine.indexOf(row), last: mine.length - 1 })));
  }

  /** What a watch shows: the exercise that is next. */
  #next(mine) {
    const next = mine.find(({ id }) => this.#setsOf(id).some(({ is_completed }) => !is_completed));
    return next ? [next] : mine.slice(-1);
  }

  #drawTemplates() {
    const { value } = this.from;
    const options = this.#rows.workout_templates.map((row) => element('option', { value: row.id }, nameOf(row)));
    if (options.length + 1 === this.from.options.length) return;
    this.from.replaceChildren(...options, element('option', { value: '' }, t('workout.blank')));
    this.from.value = value || (options[0]?.value ?? '');
  }

  #exercise(id) {
    const title = element('h4');
    const tool = (does, name, onclick) => {
      const made = button({ className: 'plain', onclick }, icon(name));
      made.dataset.does = does;
      return made;
    };
    const [up, down] = [tool('up', 'up', () => this.#move(id, -1)), tool('down', 'down', () => this.#move(id, 1))];
    const away = tool('remove', 'remove', () => this.device.remove('workout_exercises', id));
    const sets = new Keyed(element('ul', { className: 'sets' }), (set) => this.#set(set.id));
    const add = () => this.device.insert('exercise_sets', { ...furtherSet(this.#setsOf(id)), workout_exercise_id: id });
    const more = button({ className: 'more', onclick: add }, icon('add'), t('workout.addset'));
    const root = element('li', {}, element('div', { className: 'exercise-head' }, title, ...(this.isSmall ? [] : [up, down, away])), sets.root, !this.isSmall && more);
    root.dataset.row = id;
    const fill = (row) => {
      const exercise = this.#title(row);
      say(title, exercise);
      [[up, 'up'], [down, 'down'], [away, 'remove']].forEach(([one, key]) => { one.ariaLabel = t(`workout.${key}.of`, { exercise }); });
      more.ariaLabel = t('workout.addset.of', { exercise });
      // Not `disabled`, which would take the keyboard away from a button that was just pressed.
      up.ariaDisabled = String(row.place === 0);
      down.ariaDisabled = String(row.place === row.last);
      sets.show(this.#shown(this.#setsOf(id).map((set, at) => ({ ...set, exercise, n: at + 1 }))));
    };
    return { root, fill, close: () => sets.close() };
  }

  /** Of an exercise's sets, what a watch has room for: from the one before the next. */
  #shown(sets) {
    const next = sets.findIndex(({ is_completed }) => !is_completed);
    return this.isSmall && next > 0 ? sets.slice(next - 1) : sets;
  }

  #move(id, by) {
    const mine = this.#mine();
    const changes = moved(mine, 'order_index', id, by);
    changes.forEach(({ id: row, order_index }) => this.device.update('workout_exercises', row, { order_index }));
    const place = changes.find((change) => change.id === id)?.order_index;
    if (place !== undefined) this.device.did('reorder');
    if (place !== undefined) announce(t('workout.moved', { exercise: this.#title(mine.find((row) => row.id === id)), place: number(place + 1) }));
  }

  #set(id) {
    const [at, text, spoken] = [element('span', { className: 'at', ariaHidden: 'true' }), element('span', { className: 'quantity' }), element('span', { className: 'hidden' })];
    const fields = this.#fields(id);
    const row = button({ className: 'row', onclick: () => this.#open.toggle(id) }, spoken, at, text);
    const tick = element('input', { type: 'checkbox', className: 'tick', onchange: () => this.#tick(id, tick.checked) });
    const root = element('li', {}, row, element('label', { className: 'ticking' }, tick), fields.root);
    root.dataset.row = id;
    const shown = {};
    const fill = (set) => {
      const { n, exercise } = set;
      say(at, number(n));
      say(spoken, t('workout.set.of', { n, exercise }));
      say(text, t('workout.lifted', { reps: number(set.reps), weight: measure(set.weight, 'kilogram', 2) }));
      row.ariaExpanded = String(this.#open.is(id));
      tick.ariaLabel = t('workout.tick.of', { n, exercise });
      tick.checked = Boolean(set.is_completed);
      fields.fill(set, shown);
      root.classList.toggle('done', tick.checked);
      root.classList.toggle('pending', Boolean(set._pending));
      if (this.#known.size === TABLES.length && !set._pending && shown.version !== set._version) light(root);
      Object.assign(shown, { reps: set.reps, weight: set.weight, version: set._version });
    };
    return { root, fill };
  }

  /** What opens on a tap: repetitions, kilograms, and a way to delete. */
  #fields(id) {
    const change = (changes) => this.device.update('exercise_sets', id, changes);
    const count = (field, properties) => element('input', {
      type: 'number', min: '0', max: '10000', required: true, ...properties,
      onchange: ({ target }) => target.reportValidity() && change({ [field]: target.valueAsNumber }),
    });
    const [reps, weight] = [count('reps', { step: '1', inputMode: 'numeric' }), count('weight', { step: 'any', inputMode: 'decimal' })];
    const away = button({ className: 'plain', onclick: () => this.device.remove('exercise_sets', id) }, icon('remove'));
    away.dataset.does = 'delete';
    const named = (key, input) => element('span', { className: 'with-unit' }, input, t(key));
    const root = element('div', { className: 'fields', onkeydown: (event) => this.#open.pressed(event) },
      named('workout.reps', reps), named('workout.weight', weight), !this.isSmall && away);
    const put = (input, value, before) => {
      if (document.activeElement !== input || Number(input.value) === before) input.value = value;
    };
    const fill = ({ n, exercise, ...set }, before) => {
      root.hidden = !this.#open.is(id);
      reps.ariaLabel = t('workout.reps.of', { n, exercise });
      weight.ariaLabel = t('workout.weight.of', { n, exercise });
      away.ariaLabel = t('workout.delete.of', { n, exercise });
      put(reps, set.reps, before.reps);
      put(weight, set.weight, before.weight);
    };
    return { root, fill };
  }

  #tick(id, is_completed) {
    this.device.did('tick');
    this.device.update('exercise_sets', id, { is_completed });
  }
}
