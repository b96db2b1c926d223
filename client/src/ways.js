// By which way this device hears from its server: the best one that works. No I/O.

/** Best first. A network that lets the first through lets all through. @type {Way[]} */
export const WAYS = ['websocket', 'stream', 'poll'];

/** @typedef {import('./types.js').Way} Way */

/** A line that ends sooner is cut by something on the way, if that happens again and again. */
const SHORT_MS = 60_000;
const SHORTS_MOST = 3;
/** When a better way is tried again; twice as long after each time that it still does not work. */
const AGAIN_MS = 600_000;
const AGAIN_MOST_MS = 4 * 3_600_000;
/** When it may be tried again because the network has changed. */
const NUDGED_MS = 60_000;
/** What was found out is forgotten after this. */
const KEPT_MS = 24 * 3_600_000;

export class Ways {
  #at = 0;
  #shorts = 0;
  #since = 0;
  #againMs = AGAIN_MS;
  #againAt = Infinity;

  get way() {
    return WAYS[this.#at];
  }

  /** Begins with what worked before. @param {{way: Way, at: number} | undefined} kept @param {number} now */
  recall(kept, now) {
    if (kept && Math.abs(now - kept.at) < KEPT_MS) this.#at = Math.max(0, WAYS.indexOf(kept.way));
  }

  /** The way does not work: on to the next one. False if there is none; then it begins anew. */
  next() {
    this.#at = (this.#at + 1) % WAYS.length;
    return this.#at > 0;
  }

  /** The way works. @param {number} now */
  works(now) {
    this.#since = now;
    this.#againAt = this.#at ? now + this.#againMs : Infinity;
    this.#againMs = this.#at ? Math.min(this.#againMs * 2, AGAIN_MOST_MS) : AGAIN_MS;
  }

  /** A way that worked has broken. @param {number} now @param {boolean} isMute Whether nothing was ever heard on it */
  broke(now, isMute) {
    this.#shorts = now - this.#since < SHORT_MS ? this.#shorts + 1 : 0;
    if (!isMute && this.#shorts < SHORTS_MOST) return;
    this.#shorts = 0;
    this.#at = Math.min(this.#at + 1, WAYS.length - 1);
  }

  /** Whether to try the best way again; if so, it is the next. @param {number} now @param {boolean} hasMoved Whether the network may have changed */
  triesAgain(now, hasMoved) {
    const isDue = this.#at > 0 && (now >= this.#againAt || (hasMoved && now - this.#since >= NUDGED_MS));
    if (isDue) this.#at = 0;
    return isDue;
  }
}
