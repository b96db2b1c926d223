// Who said what: the edits that this browser's devices made lately, so that a conflict can name its sides.

import { read, write } from './local-storage.js';

/** Of older edits nobody is asked any more. */
const MOST = 200;

export class Said {
  #key;

  constructor(person) {
    this.#key = `demo-said/${person}`;
  }

  /** A device set fields of a row, or deleted it: then `values` is null. Tabs of one browser share what is known. */
  note(by, row, values) {
    const said = [...this.#all(), { by, row, values }];
    write('localStorage', this.#key, JSON.stringify(said.slice(-MOST)));
  }

  /** The device that last gave a field this value; with no field, the one that deleted the row. Null when none here did. */
  who(row, field, value) {
    const fits = ({ row: id, values }) => id === row && (field ? values && field in values && isSame(values[field], value) : values === null);
    return this.#all().findLast(fits)?.by ?? null;
  }

  #all() {
    const kept = JSON.parse(read('localStorage', this.#key) ?? 'null');
    return Array.isArray(kept) ? kept : [];
  }
}

const isSame = (one, other) => JSON.stringify(one ?? null) === JSON.stringify(other ?? null);
