// A run on one device: drawn from its points as they arrive, wherever they are recorded.

import { announce } from './announce.js';
import { drawCourse, drawProfile } from './drawing.js';
import { button, element, say } from './element.js';
import { duration, fixed, measure, moment, number } from './formats.js';
import { icon } from './icons.js';
import { summary, travelled } from './track.js';
import { t } from './words.js';

const FIGURES = ['distance', 'time', 'pace', 'recent', 'climb'];

export class Run {
  #sessions = [];
  #points = [];
  #chosen = null;
  #track = [];

  constructor(root, { device, follow, total, isSmall }) {
    Object.assign(this, { root, device, total, recorder: device.recorder });
    this.state = element('span', { className: 'chip' });
    this.count = element('span', { className: 'dim' });
    this.which = element('select', { 'aria-label': t('run.which'), onchange: () => this.#choose(this.which.value) });
    this.map = element('canvas', { className: 'map', role: 'img' });
    this.hills = element('canvas', { className: 'hills', role: 'img', 'aria-label': t('run.elevation') });
    this.figures = Object.fromEntries(FIGURES.map((name) => [name, element('dd')]));
    const named = FIGURES.map((name) => element('div', { className: name }, element('dt', {}, t(`run.${name}`)), this.figures[name]));
    const figures = element('dl', { className: 'figures' }, ...named);
    this.empty = element('p', { className: 'empty' }, t('run.none'));
    this.head = element('div', { className: 'course-head' }, element('p', {}, this.state, ' ', this.count), !isSmall && this.which);
    this.shown = element('div', { className: 'course' }, this.head, this.map, figures,
      element('p', { className: 'dim elevation' }, t('run.elevation')), this.hills);
    // A run is begun where it is recorded; the others look on.
    this.start = button({ className: device.kind === 'phone' ? 'primary' : '', onclick: () => this.#start() }, icon('play'), t('run.start'));
    this.end = button({ onclick: () => this.#end() }, icon('stop'), t('run.end'));
    this.goOn = button({ onclick: () => this.recorder.resume(this.#session, this.#track.length) }, t('run.continue'));
    this.away = button({ className: 'plain', 'aria-label': t('run.delete'), onclick: () => this.#delete() }, icon('remove'));
    root.append(this.empty, this.shown, element('div', { className: 'actions' }, this.start, this.end, this.goOn, !isSmall && this.away));
    this.sizes = new ResizeObserver(() => this.#paint());
    this.sizes.observe(this.map);
    this.repaint = () => this.#paint();
    addEventListener('themechange', this.repaint);
    this.scheme = matchMedia('(prefers-color-scheme: dark)');
    this.scheme.addEventListener('change', this.repaint);
    follow('cardio_sessions', null, (sessions) => {
      this.#sessions = [...sessions].sort((one, other) => (one.start_time < other.start_time ? 1 : -1));
      sessions.forEach(({ id, is_running }) => is_running || this.recorder.ended(id));
      this.#draw();
    });
    follow('location_points', null, (points) => {
      this.#points = points;
      this.#draw();
    });
  }

  close() {
    this.sizes.disconnect();
    removeEventListener('themechange', this.repaint);
    this.scheme.removeEventListener('change', this.repaint);
  }

  /** The chosen run, else the newest. */
  get #session() {
    return this.#sessions.find(({ id }) => id === this.#chosen) ?? this.#sessions[0];
  }

  #choose(id) {
    this.#chosen = id === this.#sessions[0]?.id ? null : id;
    this.#draw();
  }

  #start() {
    this.#chosen = null;
    this.recorder.start();
    announce(t('run.started'));
    this.#draw();
    this.end.focus();
  }

  #end() {
    announce(t('run.ended', { summary: this.#summary() }));
    this.recorder.end(this.#session.id);
    this.start.hidden = false;
    this.start.focus();
  }

  #delete() {
    const { id } = this.#session;
    this.recorder.ended(id);
    this.device.remove('cardio_sessions', id);
    this.start.focus();
  }

  #draw() {
    const session = this.#session;
    this.#track = session ? travelled(this.#points.filter(({ cardio_session_id }) => cardio_session_id === session.id)) : [];
    const isRunning = Boolean(session?.is_running);
    const isHere = session && this.recorder.session === session.id;
    this.empty.hidden = Boolean(session);
    this.shown.hidden = !session;
    this.start.hidden = isRunning;
    this.end.hidden = !isRunning;
    this.goOn.hidden = !isRunning || isHere || this.device.state.state === 'stopped';
    this.away.hidden = !session;
    this.end.className = isHere ? 'primary' : '';
    if (!session) return this.total('–');
    this.head.dataset.row = session.id;
    say(this.state, t(isHere ? 'run.recording' : isRunning ? 'run.following' : 'run.done'));
    this.state.dataset.state = isHere ? 'here' : isRunning ? 'live' : 'done';
    say(this.count, t('run.points', { n: this.#track.length }));
    this.#drawChoice(session);
    const { metres, seconds, pace, recent, climb } = summary(this.#track);
    this.total(`${fixed(metres / 1000, 2)} km`);
    const paced = (value) => (value === null ? '–' : `${duration(value)} ${t('run.perkm')}`);
    const distance = `${fixed(metres / 1000, 2)} km`;
    const told = { distance, time: duration(seconds), pace: paced(pace), recent: paced(recent), climb: measure(climb, 'meter') };
    FIGURES.forEach((name) => say(this.figures[name], told[name]));
    this.map.ariaLabel = t('run.map', { summary: this.#summary() });
    this.#paint();
  }

  #drawChoice({ id }) {
    const key = this.#sessions.map((session) => session.id).join();
    if (this.which.dataset.of !== key) {
      this.which.replaceChildren(...this.#sessions.map((session) => element('option', { value: session.id }, moment(new Date(session.start_time)))));
      this.which.dataset.of = key;
    }
    this.which.hidden = this.#sessions.length < 2;
    this.which.value = id;
  }

  #summary() {
    const { metres, seconds } = summary(this.#track);
    return `${number(metres / 1000, 2)} km, ${duration(seconds)}`;
  }

  #paint() {
    const session = this.#session;
    if (!session) return;
    drawCourse(this.map, this.#track, session.is_running);
    drawProfile(this.hills, this.#track);
  }
}
