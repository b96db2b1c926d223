// A query that the app follows. It looks at the rows that changed, never at the whole table again.

import { see, seeAll } from './replica.js';

/** @import { Changed, Copy, Info } from './types.js' */

export class Watch {
  #table;
  #passes;
  #callback;
  /** What was told last. @type {Map<string, any>} */
  #rows = new Map();
  /** @type {boolean | undefined} */
  #wasReady;
  /** A test that threw has left rows unseen. */
  #isWhole = false;

  /** @param {string} table @param {(row: any) => boolean} passes @param {(rows: any[], info: Info) => void} callback */
  constructor(table, passes, callback) {
    this.#table = table;
    this.#passes = passes;
    this.#callback = callback;
  }

  /** @param {Copy} copy @param {Changed | null} changed Null is everything @param {boolean} isStale @param {() => boolean} isWanted */
  look(copy, changed, isStale, isWanted) {
    const ids = changed && this.#isWhole ? changed.get(this.#table) : null;
    const isReady = Boolean(copy.cursor);
    let differs = isReady !== this.#wasReady;
    if (ids === undefined && !differs) return;
    const consider = (/** @type {string} */ id, /** @type {any} */ row) => {
      const had = this.#rows.get(id);
      const has = row && this.#passes(row) ? row : undefined;
      if (has) this.#rows.set(id, has);
      else this.#rows.delete(id);
      differs ||= !isSame(had, has);
    };
    this.#isWhole = false;
    if (ids) ids.forEach((id) => consider(id, see(copy, this.#table, id)));
    else if (ids === null) {
      const rows = new Map(seeAll(copy, this.#table).map((row) => [row.id, row]));
      [...this.#rows.keys()].forEach((id) => rows.has(id) || consider(id, undefined));
      rows.forEach((row, id) => consider(id, row));
    }
    this.#isWhole = true;
    if (!differs) return;
    this.#wasReady = isReady;
    const shown = [...this.#rows.values()];
    // Later, so that a callback that throws keeps nothing from the others.
    queueMicrotask(() => isWanted() && this.#callback(shown, { isReady, isStale }));
  }
}

/** @param {any} one @param {any} other */
const isSame = (one, other) => one === other || JSON.stringify(one) === JSON.stringify(other);
