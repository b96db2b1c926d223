// The line to the server: carries out what `state.js` decides, with its socket, token and timers.

import { attempt, claims, within } from './platform.js';
import { Failure } from './server.js';
import { IDLE, step } from './state.js';
import { Ways, WAYS } from './ways.js';

/** @import { Effect, Line, LineEvent, Loss, Message, Platform, Token, Way } from './types.js' */

const BEAT_MS = 30_000;
/** An answer that takes longer is not coming. */
const ANSWER_MS = 10_000;
/** A function that takes longer for a token has forgotten it. */
const TOKEN_MS = 30_000;
/** A token that ends sooner is not worth using. */
const TOKEN_SPARE_MS = 60_000;
/** Once in so long a line that another tab of this device took is taken back, after a wait. */
const TAKEN_MS = 60_000;
const TAKEN_WAIT_MS = 2000;
/** A function that gives the token at hand is not asked again for half of what is left of it, and at least this long. */
const TOKEN_AGAIN_MS = 5000;

/** Close codes that are no sign of something on the way. */
const SAID_BY_SERVER = [1011, 1012, 1013];
/** What the line ends with when it is to come back at once. */
const AT_ONCE = { code: 1012, reason: '{"reconnect_in_ms":0}' };

/**
 * @typedef {object} Owner
 * @property {Platform} platform
 * @property {() => string} address Of the socket
 * @property {(connecting: boolean) => Promise<unknown>} sync
 * @property {(message: Message) => void} heard
 * @property {(line: Line, before: Line) => void} changed
 * @property {() => number} pending How many edits wait
 * @property {(fault: Failure) => void} failed
 * @property {boolean} [isShared] Whether other tabs of this device may have led before
 * @property {(sub?: string) => void} whose Hears whose token it is, once that is known
 * @property {() => void} check Throws when the token is another person's
 * @property {() => {way: Way, at: number} | undefined} recall The way that worked before
 * @property {(way: Way) => void} works Hears which way works
 * @property {(way: Way) => Promise<any>} open Opens what stands for a socket
 */

export class Connection {
  line = IDLE;
  #owner;
  /** @type {Token | undefined} */
  #source;
  #token = '';
  /** @type {any} */
  #socket = null;
  #beatMs = BEAT_MS;
  /** @type {Record<string, any>} */
  #timers = {};
  #gone = new AbortController();
  /** Several calls may need a token at once. @type {Promise<string> | null} */
  #asking = null;
  /** When a function that gave the token at hand is asked again. */
  #againAt = 0;
  #takenAt = -Infinity;
  #ways = new Ways();
  #hasRecalled = false;
  /** Whether nothing has come since the greeting. */
  #isMute = true;

  /** @param {Owner} owner @param {Token} [source] */
  constructor(owner, source) {
    this.#owner = owner;
    this.#source = source;
  }

  /** Ends when whatever is under way has to stop. */
  get signal() {
    return this.#gone.signal;
  }

  /** @param {Omit<LineEvent, 'random'> & Record<string, any>} event The dice are thrown here */
  dispatch(event) {
    const before = this.line;
    const hasMoved = event.type === 'nudge';
    if (before.name === 'live' && (hasMoved || event.type === 'beat') && this.#ways.triesAgain(this.#owner.platform.now(), hasMoved)) return this.lose(AT_ONCE);
    const { line, effects } = step(before, /** @type {LineEvent} */ ({ random: this.#owner.platform.random(), ...event }));
    this.line = line;
    for (const effect of effects) this.#carryOut(effect);
    if (line !== before) this.#owner.changed(line, before);
  }

  /** @param {Loss} loss */
  lose(loss) {
    this.dispatch({ ...loss, type: 'lost' });
  }

  /** @param {Token} source */
  renew(source) {
    this.#source = source;
    this.#token = '';
    this.#asking = null;
    this.#againAt = 0;
    const { name } = this.line;
    if (name === 'live') this.#ask(false);
    else if (name === 'stopped' || name === 'waiting') this.dispatch({ type: 'connect' });
  }

  /** By which way it hears from the server. */
  get way() {
    return this.#ways.way;
  }

  /** Stops without telling anybody. */
  rest() {
    this.#carryOut('hang_up');
    this.line = IDLE;
  }

  /** Ends the requests that are under way. */
  cancel() {
    this.#gone.abort();
    this.#gone = new AbortController();
  }

  /** Whether a refused token may be followed by another one. */
  get canAsk() {
    return typeof this.#source === 'function';
  }

  /** A token that is good for a while, as far as the function has one.
   * @param {string} [refused] One that the server refused, or that ends @param {boolean} [mayRepeat] Whether it may be given again
   * @returns {Promise<string>}
   */
  async token(refused, mayRepeat = false) {
    const source = this.#source;
    if (typeof source === 'function') {
      const isGood = this.#token && refused !== this.#token && (this.#left() >= TOKEN_SPARE_MS || this.#owner.platform.now() < this.#againAt);
      if (!isGood) {
        const asking = (this.#asking ??= this.#askFor(source));
        const token = await asking.finally(() => asking === this.#asking && (this.#asking = null));
        // Another one was set meanwhile.
        if (source !== this.#source) return this.token();
        if (token === refused && !mayRepeat) throw new Error('it was refused before.');
        if (token === this.#token) this.#againAt = this.#owner.platform.now() + this.#pause();
        this.#token = token;
        this.#owner.whose(claims(token).sub);
      }
    } else if (!source || refused === source) {
      throw new Failure('The token is missing or was refused: set another one.', { loss: { code: 4401 } });
    } else this.#token = source;
    return this.#token;
  }

  /** How long the token at hand is good, in ms, by this device's clock. */
  #left() {
    return (claims(this.#token).exp ?? Infinity) * 1000 - this.#owner.platform.now();
  }

  #pause() {
    return Math.max(TOKEN_AGAIN_MS, Math.min(this.#left(), TOKEN_SPARE_MS) / 2);
  }

  /** @param {Message} message @returns {boolean} Whether there was a line to send it on */
  send(message) {
    if (this.#socket?.readyState !== 1) return false;
    return this.#socket.send(JSON.stringify(message)) !== false;
  }

  /** @param {Effect} effect */
  #carryOut(effect) {
    switch (effect) {
      case 'ask_token': return void this.#ask(false);
      case 'fresh_token': return void this.#ask(true);
      case 'sync': return void this.#sync();
      case 'open': return void this.#open();
      case 'wait': return this.#after('wait', this.line.wait, () => this.dispatch({ type: 'elapsed' }));
      case 'beat': return this.#after('beat', this.#beatMs, () => this.dispatch({ type: 'beat' }));
      case 'auth': return void this.send({ type: 'auth', token: this.#token });
      case 'ping':
        this.send({ type: 'ping', pending_uploads: this.#owner.pending(), timestamp: new Date(this.#owner.platform.now()).toISOString() });
        return this.#expect();
      case 'hang_up':
        Object.keys(this.#timers).forEach((name) => this.#clear(name));
        this.cancel();
        this.#socket?.close(1000);
        this.#socket = null;
    }
  }

  /** @param {boolean} fresh */
  async #ask(fresh) {
    const { signal } = this;
    const old = this.#token;
    const isRenewal = fresh && this.line.name === 'live';
    const again = () => isRenewal && this.#after('renew', this.#pause(), () => this.dispatch({ type: 'expiring' }));
    try {
      // At once only another one helps; later, what refused it may have changed its mind.
      await this.token(fresh ? old : undefined, isRenewal || this.line.attempt > 0);
      if (signal.aborted) return;
      if (isRenewal && this.#token === old) return void again();
      this.#owner.check();
      this.dispatch({ type: 'token' });
    } catch (fault) {
      if (signal.aborted) return;
      const failure = fault instanceof Failure ? fault : null;
      const why = failure?.message ?? `No token could be had: ${/** @type {Error} */ (fault).message}`;
      if (this.line.name === 'live') this.#owner.failed(failure ?? new Failure(why, { loss: { code: 4401 } }));
      this.dispatch({ type: 'no_token', again: !failure, why });
      again();
    }
  }

  async #sync() {
    const { signal } = this;
    try {
      await this.#owner.sync(this.line.name === 'syncing');
      if (!signal.aborted) this.dispatch({ type: 'synced' });
    } catch (fault) {
      if (!signal.aborted) this.lose(fault instanceof Failure ? fault.loss : { code: 1011, why: /** @type {Error} */ (fault).message });
    }
  }

  async #open() {
    const { platform, address, recall } = this.#owner;
    const { signal } = this;
    if (!this.#hasRecalled) this.#ways.recall(recall(), platform.now());
    this.#hasRecalled = true;
    const { way } = this.#ways;
    const Socket = platform.WebSocket;
    // Where there is none, or where it is forbidden, the next way is gone at once.
    if (way === WAYS[0]) this.#attach(attempt(() => Socket && new Socket(address(), ['ryzed.v1', `bearer.${this.#token}`])));
    else {
      this.#expect();
      const socket = await this.#owner.open(way).catch(() => null);
      if (signal.aborted) socket?.close();
      else this.#attach(socket);
    }
  }

  /** The way does not work: the next one is tried. False if there is none. */
  #another() {
    const socket = this.#socket;
    this.#socket = null;
    socket?.close(1000);
    const isLeft = this.#ways.next();
    if (isLeft) this.#open();
    return isLeft;
  }

  /** No answer came. */
  #silent() {
    if (this.line.name === 'opening' && this.#another()) return;
    if (this.line.name === 'live') this.#ways.broke(this.#owner.platform.now(), this.#isMute);
    this.dispatch({ type: 'silent' });
  }

  /** @param {any} socket Or what stands for one */
  #attach(socket) {
    const { heard } = this.#owner;
    this.#socket = socket;
    this.#expect();
    if (!socket) return void queueMicrotask(() => this.line.name === 'opening' && !this.#socket && this.#silent());
    socket.onerror = () => {};
    socket.onclose = (/** @type {Loss} */ { code, reason, ms, why }) => {
      if (this.#socket !== socket) return;
      const now = this.#owner.platform.now();
      const isOfTheWay = code < 4000 && !SAID_BY_SERVER.includes(code);
      // Of an answer it is not known whether the server gave it.
      const isInDoubt = code === 1013 && this.way !== WAYS[0];
      if ((isOfTheWay || isInDoubt) && this.line.name === 'opening' && this.#another()) return;
      if (isOfTheWay && this.line.name === 'live') this.#ways.broke(now, false);
      // A tab that led before may have woken up, and finds out only now that it does not.
      const isTaken = code === 4409 && this.#owner.isShared && !(Math.abs(now - this.#takenAt) < TAKEN_MS);
      if (code === 4409) this.#takenAt = now;
      this.lose(isTaken ? { code: 1013, ms: TAKEN_WAIT_MS } : { code, reason, ms, why });
    };
    socket.onmessage = (/** @type {{data: string}} */ { data }) => {
      if (this.#socket !== socket) return;
      this.#clear('answer');
      this.#isMute = this.line.name === 'opening';
      const message = attempt(() => JSON.parse(data)) ?? {};
      if (message.type === 'connection_established') {
        this.#beatMs = Math.min(BEAT_MS, (message.heartbeat_seconds ?? Infinity) * 1000);
        this.#ways.works(this.#owner.platform.now());
        this.#owner.works(this.way);
        this.dispatch({ type: 'greeted' });
      } else if (message.type === 'token_expiring') this.dispatch({ type: 'expiring' });
      heard(message);
    };
  }

  /** @param {() => string | Promise<string>} source */
  async #askFor(source) {
    const token = await within(this.#owner.platform, TOKEN_MS, Promise.resolve(source()), 'the function gave none in time.');
    if (token) return token;
    throw new Error('the function gave none.');
  }

  #expect() {
    this.#after('answer', ANSWER_MS, () => this.#silent());
  }

  /** @param {string} name @param {number} ms @param {() => void} run */
  #after(name, ms, run) {
    this.#clear(name);
    this.#timers[name] = this.#owner.platform.setTimeout(run, ms);
  }

  /** @param {string} name */
  #clear(name) {
    this.#owner.platform.clearTimeout(this.#timers[name]);
  }
}
