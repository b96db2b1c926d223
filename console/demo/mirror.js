// Keeps the interval timers of a person's devices alike: each command goes to the others with `broadcast`, and whoever comes
// late asks. Nothing of it is stored but the session's row, which the device writes that started it.

import { read, write } from './local-storage.js';
import * as timer from './timer.js';

const STATE = 'demo_timer';
const ASK = 'demo_timer_ask';

export class Mirror {
  state = timer.NONE;
  #device;
  #watchers = new Set();
  /** Tabs of one browser are one device: what it tells the others, they do not hear. */
  #tabs;
  /** What the row of a session that began here was last told. */
  #own = null;
  #next = null;

  constructor(device) {
    this.#device = device;
    const { client, id } = device;
    client.on('broadcast', ({ event, payload }) => this.#heard(event, payload));
    client.on('connected', () => this.#tell(ASK, {}));
    this.#tabs = new BroadcastChannel(`demo-timer/${id}`);
    this.#tabs.onmessage = ({ data: { event, payload } }) => this.#heard(event, payload);
    this.#tabs.postMessage({ event: ASK });
    addEventListener('pagehide', () => this.#save());
    this.#restore();
  }

  /** What is shown now. */
  shown() {
    return timer.shownAt(this.state, performance.now());
  }

  /** Calls back now and after every command, here or elsewhere, and at each new phase. */
  watch(watcher) {
    this.#watchers.add(watcher);
    watcher();
    return () => this.#watchers.delete(watcher);
  }

  start(plan, workoutId) {
    const start_time = new Date().toISOString();
    const row = { workout_id: workoutId, start_time, current_phase: 'warmup', current_round: 1, is_completed: false };
    const session = this.#device.insert('hiit_sessions', row);
    this.#own = { session, phase: 'warmup', round: 1 };
    this.#device.did('start');
    this.#command(timer.started(this.state, plan, session, this.#device.id, performance.now()));
  }

  pause() {
    // Another device than the one that began it.
    if (this.state.by !== this.#device.id) this.#device.did('hold');
    this.#command(timer.paused(this.state, this.#device.id, performance.now()));
  }

  resume() {
    this.#command(timer.resumed(this.state, this.#device.id, performance.now()));
  }

  stop() {
    this.#command(timer.stopped(this.state, this.#device.id, performance.now()));
  }

  #command(state) {
    this.#take(state);
    this.#tell(STATE, timer.told(state, performance.now()));
  }

  #tell(event, payload) {
    this.#tabs.postMessage({ event, payload });
    this.#device.client.broadcast(event, payload).catch(() => {});
  }

  #heard(event, payload) {
    if (event === ASK && this.state.revision) this.#tell(STATE, timer.told(this.state, performance.now()));
    if (event !== STATE) return;
    const state = timer.heard(this.state, payload, performance.now());
    if (state !== this.state) this.#take(state);
  }

  #take(state) {
    this.state = state;
    this.#step();
  }

  /** A reload ends no timer. This clock is only compared with itself. */
  #save() {
    write('sessionStorage', this.#key, JSON.stringify({ message: timer.told(this.state, performance.now()), own: this.#own, at: Date.now() }));
  }

  #restore() {
    const { message, own = null, at } = JSON.parse(read('sessionStorage', this.#key) ?? '{}');
    if (!message?.revision) return;
    this.#own = own;
    const since = message.is_running ? Math.max(0, Date.now() - at) : 0;
    this.#take(timer.heard(timer.NONE, { ...message, elapsed_ms: message.elapsed_ms + since }, performance.now()));
  }

  get #key() {
    return `${this.#device.id}/timer`;
  }

  /** Shows the phase, keeps it in the session's row if that is ours, and waits for the next one. */
  #step() {
    clearTimeout(this.#next);
    const shown = this.shown();
    this.#keep(shown);
    this.#watchers.forEach((watcher) => watcher());
    if (this.state.isRunning && shown.left > 0) this.#next = setTimeout(() => this.#step(), shown.left + 1);
  }

  #keep({ phase, round }) {
    const own = this.#own;
    if (!own) return;
    const isOver = phase === 'finished' || this.state.session !== own.session;
    if (isOver) {
      this.#own = null;
      const end = { end_time: new Date().toISOString(), current_phase: 'finished', is_completed: phase === 'finished' };
      this.#device.update('hiit_sessions', own.session, end);
    } else if (phase !== own.phase || round !== own.round) {
      this.#own = { ...own, phase, round };
      this.#device.update('hiit_sessions', own.session, { current_phase: phase, current_round: round });
    }
  }
}
