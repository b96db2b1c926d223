// The edits that the server refused, for the person to mend or give up.

import { Watched } from './watched.js';

/** @import { Edited, Refused } from './types.js' */

/** @extends {Watched<Refused[]>} */
export class Refusals extends Watched {
  #again;
  #discard;

  /** @param {(task: string, ...given: any[]) => Edited<any>} again @param {(id?: string) => Promise<void>} discard */
  constructor(again, discard) {
    super(/** @type {Refused[]} */ ([]));
    this.#again = again;
    this.#discard = discard;
  }

  /** Oldest first. */
  list() {
    return this.value;
  }

  /** Makes the edit again, perhaps mended. @param {string} id Its `mutation_id` @param {Record<string, any>} [changes] @returns {Edited<any>} */
  retry(id, changes = {}) {
    return this.#again('retry', id, changes);
  }

  /** @param {string} [id] The `mutation_id`; all without one @returns {Promise<void>} */
  discard(id) {
    return this.#discard(...(id ? [id] : []));
  }
}
