// The interval timer of one device: a ring to be read across a room, and the buttons that every other device follows.

import { announce } from './announce.js';
import { button, element, say, shape } from './element.js';
import { duration } from './formats.js';
import { icon } from './icons.js';
import { lengthOf } from './timer.js';
import { nameOf, t } from './words.js';

const QUICK = { id: '', work_duration: 10, rest_duration: 5, total_rounds: 3 };
const CALM = matchMedia('(prefers-reduced-motion: reduce)');
const CALM_MS = 250;

export class Intervals {
  #workouts = [QUICK];
  #frame = 0;
  #timer = 0;
  #said = '';

  constructor(root, { device, page, follow, total, isSmall }) {
    Object.assign(this, { root, device, page, isSmall, sum: total, mirror: device.mirror });
    this.arc = shape('circle', { cx: 60, cy: 60, r: 54, pathLength: 100, class: 'arc' });
    const track = shape('circle', { cx: 60, cy: 60, r: 54, class: 'track' });
    const ring = shape('svg', { viewBox: '0 0 120 120', class: 'ring', 'aria-hidden': 'true' }, track, this.arc);
    [this.phase, this.left, this.round] = ['phase', 'left', 'round'].map((className) => element('p', { className }));
    this.total = element('p', { className: 'dim total' });
    this.from = element('p', { className: 'dim from' });
    this.plan = element('select', { onchange: () => this.#draw() });
    const start = button({ className: 'primary', onclick: () => this.#start() }, icon('play'), t('timer.start'));
    this.idle = element('div', { className: 'begin' }, !isSmall && element('label', {}, t('timer.plan'), this.plan), start);
    this.pause = button({ className: 'primary', onclick: () => (this.mirror.state.isRunning ? this.mirror.pause() : this.mirror.resume()) });
    this.stop = button({ onclick: () => this.#stop(start) }, icon('stop'), t('timer.stop'));
    this.busy = element('div', { className: 'actions' }, this.pause, this.stop);
    this.history = element('p', { className: 'dim history' });
    const face = element('div', { className: 'face' }, this.phase, this.left, this.round);
    root.append(element('div', { className: 'dial', role: 'timer', 'aria-live': 'off', 'aria-label': t('scene.timer') }, ring, face), this.total,
       this.from, this.idle, this.busy, this.history);
    follow('hiit_workouts', null, (workouts) => this.#offer(workouts));
    follow('hiit_sessions', { is_completed: true }, ({ length: n }) => say(this.history, n ? t('timer.sessions', { n }) : ''));
    this.ends = [this.mirror.watch(() => this.#draw()), device.on('changed', () => this.#drawFrom())];
  }

  close() {
    this.#rest();
    this.ends.forEach((end) => end());
  }

  #offer(workouts) {
    const { value } = this.plan;
    this.#workouts = [QUICK, ...workouts];
    this.plan.replaceChildren(...this.#workouts.map((workout) => element('option', { value: workout.id }, t('timer.shape', {
      name: nameOf(workout) || t('timer.quick'), rounds: workout.total_rounds, work: workout.work_duration, rest: workout.rest_duration,
    }))));
    this.plan.value = this.#workouts.some(({ id }) => id === value) ? value : '';
    this.#draw();
  }

  get #chosen() {
    const workout = this.#workouts.find(({ id }) => id === this.plan.value) ?? QUICK;
    return { id: workout.id, work: workout.work_duration, rest: workout.rest_duration, rounds: workout.total_rounds };
  }

  #start() {
    const { id, ...plan } = this.#chosen;
    this.mirror.start(plan, id || null);
    this.pause.focus();
  }

  #stop(next) {
    this.mirror.stop();
    next.focus();
  }

  #draw() {
    this.#rest();
    const { isRunning } = this.mirror.state;
    const shown = this.mirror.shown();
    const { phase, round, rounds, left, part, total } = shown;
    const isBusy = !['idle', 'finished'].includes(phase);
    this.root.dataset.phase = phase;
    this.root.classList.toggle('held', isBusy && !isRunning);
    const named = this.isSmall && !isBusy ? t(`timer.short.${phase}`) : t(`timer.phase.${phase}`);
    say(this.phase, isBusy && !isRunning ? t('timer.paused') : named);
    const seconds = Math.ceil(left / 1000);
    const counted = seconds < 60 ? String(seconds) : duration(seconds);
    say(this.left, isBusy ? counted : phase === 'finished' ? '✓' : duration(lengthOf(this.#chosen) / 1000));
    this.sum(isBusy ? `${t(`timer.phase.${phase}`)} ${counted}` : t(`timer.short.${phase}`));
    say(this.round, isBusy ? t('timer.round', { round, rounds }) : '');
    say(this.total, isBusy ? t('timer.total', { time: duration(Math.ceil(total / 1000)) }) : '');
    this.arc.style.strokeDashoffset = 100 * (isBusy ? part : phase === 'finished' ? 0 : 1);
    const hadFocus = this.busy.contains(document.activeElement);
    this.idle.hidden = isBusy;
    this.busy.hidden = !isBusy;
    if (hadFocus && !isBusy) this.idle.querySelector('button').focus();
    const label = isRunning ? t('timer.pause') : t('timer.resume');
    if (this.pause.textContent !== label) this.pause.replaceChildren(icon(isRunning ? 'pause' : 'play'), label);
    this.#drawFrom();
    this.#announce(shown, isBusy);
    if (isBusy && isRunning) this.#wait();
  }

  /** Until it is drawn again: at once, or a few times a second where little is to move. */
  #wait() {
    const draw = () => { this.#frame = requestAnimationFrame(() => this.#draw()); };
    if (CALM.matches) this.#timer = setTimeout(draw, CALM_MS);
    else draw();
  }

  #rest() {
    cancelAnimationFrame(this.#frame);
    clearTimeout(this.#timer);
  }

  #drawFrom() {
    const { by, plan } = this.mirror.state;
    const isLive = this.device.state.state === 'live';
    const told = by === this.device.id ? t('timer.from') : t('timer.mirrored', { device: this.page.nameOfDevice(by) });
    say(this.from, !plan ? '' : isLive ? told : t('timer.alone'));
  }

  /** Each new phase, once. */
  #announce({ phase, round, rounds }, isBusy) {
    const name = isBusy && !this.mirror.state.isRunning ? t('timer.paused') : t(`timer.phase.${phase}`);
    const text = isBusy ? t('timer.said', { phase: name, round: t('timer.round', { round, rounds }) }) : name;
    if (text === this.#said) return;
    if (this.#said && phase !== 'idle') announce(text);
    this.#said = text;
  }
}
