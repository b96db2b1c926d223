// Holds the copy and brings every patch of it to storage.

import { more } from './later.js';
import { uuid, within } from './platform.js';
import { applyPatch, open, wholeOf } from './replica.js';

/** @import { Changed, Patch, Platform, Storage } from './types.js' */

/** Patches that wait for a storage that is slow or fails. Once there are more, the whole copy is stored in their stead. */
const UNSTORED_MOST = 1000;
/** How many copies that were dropped are known as such. */
const DROPPED_MOST = 20;
/** For a whole copy. */
const LOAD_MS = 60_000;
const LATE = 'The storage does not answer.';
/** A storage that takes longer is not waited for: the app goes on in memory, and is told. */
const PATIENCE_MS = 10_000;
/** A storage that fails is tried again after this, then after twice as long each time. */
const AGAIN_MS = 1000;
const AGAIN_MOST_MS = 60_000;

/**
 * @typedef {object} Owner
 * @property {Platform} platform
 * @property {(patch: Patch, changed: Changed) => void} changed Hears what is stored of each patch
 * @property {(isStored: boolean, message: string) => void} storing Hears when storage begins to fail, and when it works again
 * @property {() => void} fenced Hears that another tab has taken the storage
 */

export class Persister {
  copy = open();
  #storage;
  #owner;
  /** Whether the storage is this one's to write. */
  #writes = false;
  /** The storage could not be read: what is in it must not be written over. */
  #isUnread = false;
  #isFailing = false;
  /** A transaction takes longer than anybody waits. */
  #isStuck = false;
  /** Failures in a row. */
  #failures = 0;
  /** @type {any} */
  #timer;
  /** Patches that storage does not have yet. @type {Patch[]} */
  #unstored = [];
  /** The one of them that has the queue. @type {Patch | null} */
  #queued = null;
  /** Answers whether it is stored. @type {Promise<boolean>} */
  #storing = Promise.resolve(true);
  /** The next transaction, until it begins. @type {Promise<boolean> | null} */
  #next = null;

  /** @param {Storage} storage @param {Owner} owner */
  constructor(storage, owner) {
    this.#storage = storage;
    this.#owner = owner;
  }

  /** The copy as it is stored. A storage that can't be read leaves the copy as it is, and is tried again.
   * @param {boolean} leads Whether it is this tab's to write from now on
   */
  async load(leads) {
    this.rest();
    this.#writes = leads;
    await this.#read(leads);
  }

  /** Whether the storage is another tab's to write. */
  get isResting() {
    return !this.#writes;
  }

  /** Begins anew, with nothing. */
  reset() {
    this.rest();
    this.copy = open();
  }

  /** Leaves the storage to another tab. */
  rest() {
    this.#writes = this.#isUnread = this.#isFailing = false;
    this.#unstored = [];
    this.#queued = null;
    this.#owner.platform.clearTimeout(this.#timer);
  }

  /** Memory has a patch at once. What piles up while storage is busy goes in one transaction.
   * @param {Patch} patch @returns {Promise<boolean>} Whether it is stored, once that is known, or took too long
   */
  keep(patch) {
    const { behind, held, staged, ...stored } = patch;
    const changed = applyPatch(this.copy, patch);
    if (!Object.keys(stored).length) return Promise.resolve(true);
    this.#owner.changed(stored, changed);
    if (!this.#writes || this.#isUnread) return Promise.resolve(false);
    // Only the newest queue counts, and each is whole.
    if (stored.queue) {
      delete this.#queued?.queue;
      this.#queued = stored;
    }
    this.#unstored.push(stored);
    const storing = this.#begin();
    return this.#isStuck ? Promise.resolve(false) : this.#patient(storing);
  }

  /** Ends when what was kept by now is stored, or could not be; answers whether it is. */
  stored() {
    return this.#patient(this.#storing);
  }

  /** Drops everything that is kept but the device's id. */
  async drop() {
    await this.stored();
    this.#unstored = [];
    this.#queued = null;
    const { deviceId, life, dropped = [] } = this.copy.meta;
    const clearing = within(this.#owner.platform, PATIENCE_MS, this.#writes ? this.#storage.clear() : Promise.resolve(), LATE);
    clearing.catch(() => {});
    this.#isUnread = false;
    await this.keep({ clear: true, queue: [], cursor: null, meta: { deviceId, life: uuid(), dropped: [...dropped, ...(life ? [life] : [])].slice(-DROPPED_MOST) }, behind: true, held: [], staged: null });
    await clearing;
  }

  /** Whether it ended well, or false if it takes too long. @param {Promise<boolean>} storing */
  #patient(storing) {
    return within(this.#owner.platform, PATIENCE_MS, storing, LATE).catch((fault) => {
      this.#isStuck = true;
      this.#failed(fault);
      return false;
    });
  }

  /** @param {boolean} leads @param {boolean} [isLate] The copy has been in use meanwhile */
  async #read(leads, isLate = false) {
    try {
      const loading = within(this.#owner.platform, LOAD_MS, this.#storage.load(leads), LATE);
      const [kept, merged] = [await loading, isLate && (await more()).merged];
      if (this.#writes !== leads) return;
      if (merged) {
        const patch = merged(this.copy, kept);
        this.#isUnread = false;
        this.keep(patch);
      } else this.copy = open(kept);
      // It may have failed another tab.
      this.#isFailing = leads;
      this.#works();
    } catch (fault) {
      if (this.#writes !== leads) return;
      this.#isUnread = leads;
      this.#failed(/** @type {Error} */ (fault));
    }
  }

  #begin() {
    this.#next ??= this.#storing = this.#storing.then(() => this.#store());
    return this.#next;
  }

  async #store() {
    this.#next = null;
    const unstored = this.#unstored;
    const waiting = unstored.splice(0);
    const patches = waiting.length > UNSTORED_MOST ? [wholeOf(this.copy)] : waiting;
    this.#queued = null;
    if (!patches.length || !this.#writes) return this.#writes;
    try {
      await this.#storage.commit(patches);
      this.#works();
      return this.#writes;
    } catch (fault) {
      // The copy was given up, or loaded anew, meanwhile: they are none of its patches.
      if (unstored !== this.#unstored) return false;
      // They go first the next time: a cursor must never be stored without the rows before it.
      unstored.unshift(...patches);
      this.#queued ??= patches.findLast(({ queue }) => queue) ?? null;
      if (/** @type {Error} */ (fault).name === 'Fenced') this.#owner.fenced();
      else this.#failed(/** @type {Error} */ (fault));
      return false;
    }
  }

  #works() {
    this.#isStuck = false;
    if (this.#isFailing) this.#owner.storing(true, '');
    this.#isFailing = false;
    this.#failures = 0;
  }

  /** @param {Error} fault */
  #failed({ message }) {
    if (!this.#writes) return;
    const { setTimeout, clearTimeout } = this.#owner.platform;
    if (!this.#isFailing) this.#owner.storing(false, message);
    this.#isFailing = true;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => (this.#isUnread ? this.#read(true, true) : this.#begin()), Math.min(AGAIN_MOST_MS, AGAIN_MS * 2 ** this.#failures++));
  }
}
