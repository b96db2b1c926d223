// Holds the copy and brings every patch of it to storage.

import { applyPatch, open, wholeOf } from './replica.js';
import { memoryStorage } from './storage/memory.js';

/** @import { Patch, Storage } from './types.js' */

/** Patches that wait for a storage that is slow or fails. Once there are more, the whole copy is stored in their stead. */
const UNSTORED_MOST = 1000;

export class Keeper {
  copy = open();
  #storage;
  #changed;
  #failed;
  /** Patches that storage does not have yet. @type {Patch[]} */
  #unstored = [];
  /** The one of them that has the queue. @type {Patch | null} */
  #queued = null;
  /** @type {Promise<void>} */
  #storing = Promise.resolve();
  /** The next transaction, until it begins. @type {Promise<void> | null} */
  #next = null;

  /**
   * @param {Storage} storage
   * @param {(patch: Patch) => void} changed Hears what is stored of each patch
   * @param {(message: string) => void} failed
   */
  constructor(storage, changed, failed) {
    this.#storage = storage;
    this.#changed = changed;
    this.#failed = failed;
  }

  async load() {
    try {
      this.copy = open(await this.#storage.load());
    } catch (fault) {
      this.#storage = memoryStorage();
      this.#failed(`Nothing can be stored here: ${/** @type {Error} */ (fault).message}`);
    }
  }

  /** Memory has a patch at once. Storage has it when the promise ends; what piles up meanwhile goes in one transaction.
   * @param {Patch} patch @returns {Promise<void>}
   */
  keep(patch) {
    const { behind, held, staged, ...stored } = patch;
    applyPatch(this.copy, patch);
    if (!Object.keys(stored).length) return Promise.resolve();
    this.#changed(stored);
    // Only the newest queue counts, and each is whole.
    if (stored.queue) {
      delete this.#queued?.queue;
      this.#queued = stored;
    }
    this.#unstored.push(stored);
    if (this.#next) return this.#next;
    this.#storing = this.#next = this.#storing.catch(() => {}).then(() => this.#store());
    this.#storing.catch((fault) => this.#failed(`This device could not store a change: ${fault.message}`));
    return this.#storing;
  }

  /** Ends when what was kept by now is stored, or could not be. */
  async stored() {
    await this.#storing.catch(() => {});
  }

  /** Drops everything that is kept but the device's id. */
  async drop() {
    await this.stored();
    this.#unstored = [];
    this.#queued = null;
    await this.#storage.clear();
    const { deviceId } = this.copy.meta;
    await this.keep({ clear: true, queue: [], cursor: null, meta: { deviceId }, behind: true, held: [], staged: null });
  }

  async #store() {
    this.#next = null;
    const waiting = this.#unstored.splice(0);
    const patches = waiting.length > UNSTORED_MOST ? [wholeOf(this.copy)] : waiting;
    this.#queued = null;
    try {
      await this.#storage.commit(patches);
    } catch (fault) {
      // They go first the next time: a cursor must never be stored without the rows before it.
      this.#unstored.unshift(...patches);
      throw fault;
    }
  }
}
