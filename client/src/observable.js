// A value whose changes can be observed.

/** @template T */
export class Observable {
  /** @type {Set<(value: T) => void>} */
  #watchers = new Set();

  /** @param {T} value */
  constructor(value) {
    this.value = value;
  }

  /** Calls back now and whenever the value changes. @param {(value: T) => void} watcher @returns {() => void} Ends it */
  subscribe(watcher) {
    this.#watchers.add(watcher);
    watcher(this.value);
    return () => void this.#watchers.delete(watcher);
  }

  /** @param {T} value */
  set(value) {
    if (value === this.value || JSON.stringify(value) === JSON.stringify(this.value)) return;
    this.value = value;
    // Later, so that a watcher that throws breaks nothing here.
    this.#watchers.forEach((watcher) => queueMicrotask(() => this.#watchers.has(watcher) && watcher(value)));
  }
}
