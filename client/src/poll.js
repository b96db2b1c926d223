// What stands for a WebSocket where none gets through: requests that are answered once there is something (`GET /changes` with
// `wait`). Whoever uses it need not know.

import { within } from './platform.js';
import { Failure } from './server.js';

/** @import { Online } from './online.js' */
/** @import { Page } from './types.js' */

/** How long the server is asked to wait, in seconds; less where something on the way cuts it sooner. */
const WAIT_S = 25;
const WAIT_LEAST_S = 1;
/** An answer that is so much later than asked for is not coming. */
const LATE_MS = 10_000;
/** An answer that brings nothing and comes sooner was not held by the server: pauses keep it from being asked without end. */
const HELD_MS = 900;
const PAUSE_MS = 1000;
const PAUSE_MOST_MS = 30_000;
const OPEN = 1;
const CLOSED = 3;

export class Poll {
  readyState = 0;
  /** @type {(message: {data: string}) => void} */
  onmessage = () => {};
  /** @type {(loss: import('./types.js').Loss) => void} */
  onclose = () => {};
  #line;
  #asked = new AbortController();

  /** @param {Online} line */
  constructor(line) {
    this.#line = line;
    // Whoever made it listens first.
    Promise.resolve().then(() => this.#run());
  }

  /** @param {string} text @returns {boolean} Whether it could be said */
  send(text) {
    const { type } = JSON.parse(text);
    // What waits may be dead without knowing: another request finds out.
    if (type === 'ping') this.#asked.abort();
    return type !== 'broadcast';
  }

  close() {
    this.readyState = CLOSED;
    this.#asked.abort();
  }

  async #run() {
    const { platform } = this.#line.device.owner;
    // The first answer, and one that is asked for by a ping, comes at once.
    for (let wait = 0, longest = WAIT_S, early = 0; this.readyState !== CLOSED; ) {
      const asked = (this.#asked = new AbortController());
      const [began, cursor] = [platform.now(), this.#line.stand()];
      try {
        const page = await this.#line.poll(wait, wait * 1000 + LATE_MS, asked.signal);
        if (this.readyState === CLOSED) return;
        this.#say(this.readyState === OPEN ? 'pong' : 'connection_established');
        const isNew = await this.#take(page, cursor);
        early = isNew || !wait || platform.now() - began >= HELD_MS ? 0 : early + 1;
        if (early) await this.#pause(Math.min(PAUSE_MS * 2 ** (early - 1), PAUSE_MOST_MS));
        wait = longest;
      } catch (fault) {
        const isPinged = asked.signal.aborted && this.readyState !== CLOSED;
        const isCut = !isPinged && wait > WAIT_LEAST_S && fault instanceof Failure && !fault.status && platform.now() - began >= WAIT_LEAST_S * 1000;
        if (isCut) longest = Math.max(WAIT_LEAST_S, Math.floor(Math.min(wait, (platform.now() - began) / 1000) / 2));
        else if (!isPinged) return this.#end(fault);
        wait = isCut ? longest : 0;
      }
    }
  }

  /** Has the device take what there is. @param {Page} page @param {string} cursor The one that was asked with @returns {Promise<boolean>} Whether it took anything */
  async #take(page, cursor) {
    if (!page.total_changes && !page.has_more && !page.reset) return false;
    await this.#line.offer(cursor, page);
    return this.#line.stand() !== cursor;
  }

  /** @param {string} type */
  #say(type) {
    this.readyState = OPEN;
    this.onmessage({ data: JSON.stringify({ type }) });
  }

  /** @param {number} ms */
  #pause(ms) {
    const { platform } = this.#line.device.owner;
    const pinged = new Promise((_, reject) => this.#asked.signal.addEventListener('abort', reject));
    return within(platform, ms, pinged).catch(() => {});
  }

  /** @param {unknown} fault */
  #end(fault) {
    if (this.readyState === CLOSED) return;
    this.readyState = CLOSED;
    this.onclose(fault instanceof Failure ? fault.loss : { code: 1011, why: /** @type {Error} */ (fault).message });
  }
}
