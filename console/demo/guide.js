// The steps of a scene on the page: they tick themselves off, and each points at its control.

import { announce } from './announce.js';
import { button, element, say } from './element.js';
import { icon } from './icons.js';
import { read, write } from './local-storage.js';
import * as steps from './steps.js';
import { t } from './words.js';

const POINT_MS = 2400;
const CALM = matchMedia('(prefers-reduced-motion: reduce)');

export class Guide {
  #key;
  #done;
  #scene = null;
  #rows = [];

  /** `root` is the list, `person` whose progress is kept in this browser. */
  constructor(root, person) {
    this.root = root;
    this.#key = `demo-steps/${person}`;
    const kept = JSON.parse(read('localStorage', this.#key) ?? 'null');
    this.#done = Array.isArray(kept) ? kept : steps.NOTHING;
  }

  /** Shows the steps of a scene, in the language that is on. */
  show(scene) {
    this.#scene = scene;
    this.#rows = steps.STEPS[scene].map((_, step) => {
      const mark = element('span', { className: 'mark', ariaHidden: 'true' });
      const state = element('span', { className: 'hidden' });
      const go = button({ className: 'step', onclick: () => this.#point(step) }, mark, element('span', {}, t(`scene.${scene}.step${step + 1}`)), state);
      return { root: element('li', {}, go), mark, state };
    });
    this.root.replaceChildren(...this.#rows.map(({ root }) => root));
    this.#draw();
  }

  /** A device did something: `{does, by, isOff}`. */
  did(what) {
    const done = steps.after(this.#done, this.#scene, what);
    if (done === this.#done) return;
    const isTicked = (at) => (_, step) => steps.isDone(at, this.#scene, step);
    const before = this.#rows.map(isTicked(this.#done));
    this.#done = done;
    write('localStorage', this.#key, JSON.stringify(done));
    this.#rows.map(isTicked(done)).forEach((isDone, step) => isDone && !before[step] && announce(t('step.ticked', { n: step + 1 })));
    this.#draw();
  }

  #draw() {
    const next = this.#rows.findIndex((_, step) => !steps.isDone(this.#done, this.#scene, step));
    this.#rows.forEach(({ root, mark, state }, step) => {
      const isDone = steps.isDone(this.#done, this.#scene, step);
      root.dataset.state = isDone ? 'done' : step === next ? 'next' : 'later';
      mark.replaceChildren(isDone ? icon('check') : String(step + 1));
      say(state, isDone ? t('step.done') : '');
    });
  }

  /** Brings the control into view, with the keyboard, and lights it up for a moment. */
  #point(step) {
    const { device, at } = steps.placeOf(this.#done, this.#scene, step);
    const root = document.getElementById(device);
    const control = [...root.querySelectorAll(at)].find((one) => one.checkVisibility()) ?? root;
    control.scrollIntoView({ block: 'center', behavior: CALM.matches ? 'auto' : 'smooth' });
    control.focus({ preventScroll: true });
    control.classList.add('pointed');
    setTimeout(() => control.classList.remove('pointed'), POINT_MS);
  }
}
