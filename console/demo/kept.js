// What a device keeps in this browser, so that a reload loses nothing. The queue is the person's own work and is written
// at every step; the rows are the server's too, so they wait for a quiet moment.

import { emptyReplica } from './replica.js';

const QUIET_MS = 300;

/** The kept text, or null: also where the browser forbids storage. `area` is localStorage or sessionStorage. */
export function read(area, key) {
  try {
    return globalThis[area].getItem(key);
  } catch {
    return null;
  }
}

/** Keeps a text; false where the browser forbids storage or has none left. */
export function write(area, key, text) {
  try {
    globalThis[area].setItem(key, text);
    return true;
  } catch {
    return false;
  }
}

/** The place of one device of one person, named by `key`. Two tabs share it, and neither drops the other's edits. */
export class Kept {
  /** Every edit that this tab made or took over; any other one in the kept queue is another tab's. */
  #known = new Set();
  #copy = null;
  #timer = null;

  constructor(key) {
    this.key = key;
  }

  /** The copy as it was kept. A pull is owed: the world went on meanwhile. */
  load() {
    const { rows, cursor } = this.#parsed('copy') ?? {};
    const queue = this.#parsed('queue') ?? [];
    queue.forEach(({ mutation_id }) => this.#known.add(mutation_id));
    const maps = Object.fromEntries((rows ?? []).map(([table, entries]) => [table, new Map(entries)]));
    return { ...emptyReplica(), rows: maps, cursor: cursor ?? null, queue };
  }

  /** Keeps a step of the copy; false when the queue could not be kept. */
  save(copy) {
    const before = this.#copy;
    this.#copy = copy;
    if (copy.rows !== before?.rows || copy.cursor !== before?.cursor) this.#timer ??= setTimeout(() => this.flush(), QUIET_MS);
    if (copy.queue === before?.queue) return true;
    copy.queue.forEach(({ mutation_id }) => this.#known.add(mutation_id));
    const others = (this.#parsed('queue') ?? []).filter(({ mutation_id }) => !this.#known.has(mutation_id));
    return this.#write('queue', [...others, ...copy.queue]);
  }

  /** Writes the rows that still wait to be kept. */
  flush() {
    clearTimeout(this.#timer);
    if (this.#timer) this.#write('copy', { rows: Object.entries(this.#copy.rows).map(([table, rows]) => [table, [...rows]]), cursor: this.#copy.cursor });
    this.#timer = null;
  }

  /** Whether the person switched the line off. */
  get isOff() {
    return this.#parsed('off') ?? false;
  }

  set isOff(off) {
    this.#write('off', off);
  }

  /** The conflicts that wait for the person's choice. */
  get open() {
    return this.#parsed('open') ?? [];
  }

  set open(conflicts) {
    this.#write('open', conflicts);
  }

  #parsed(what) {
    try {
      return JSON.parse(read('localStorage', `${this.key}/${what}`));
    } catch {
      return null;
    }
  }

  #write(what, value) {
    return write('localStorage', `${this.key}/${what}`, JSON.stringify(value));
  }
}
