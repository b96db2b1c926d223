// What is known of the tables in use: with it an edit is held against its table before it is queued.

import { check } from './check.js';

/** @import { Online } from './online.js' */
/** @import { FieldError, Operation, Row } from './types.js' */

/** Tables are learnt so long after the line is live: what the person waits for comes first. */
const LEARN_MS = 1000;

export class Guard {
  #line;
  /** Null for no such table. @type {Map<string, any>} */
  #schemas = new Map();
  #isLearning = false;

  /** @param {Online} line */
  constructor(line) {
    this.#line = line;
  }

  /** Asks for the schemas that are not known yet. @param {Set<string>} tables */
  learn(tables) {
    const { platform } = this.#line.device.owner;
    const unknown = [...tables].filter((table) => this.#schemas.get(table) === undefined);
    if (this.#isLearning || !unknown.length) return;
    this.#isLearning = true;
    platform.setTimeout(async () => {
      for (const table of unknown) {
        const found = this.#line.call(`/tables/${encodeURIComponent(table)}/schema`);
        this.#schemas.set(table, await found.catch(({ status, isFromServer }) => (status === 404 && isFromServer ? null : undefined)));
      }
      this.#isLearning = false;
    }, LEARN_MS);
  }

  /** What is wrong with an edit, as far as that is known here. @param {string} table @param {Operation} operation @param {Row} data @returns {FieldError[]} */
  errors(table, operation, data) {
    const schema = this.#schemas.get(table);
    if (schema === null) return [{ field: 'table', code: 'unknown_table', message: `there is no table ${table}` }];
    return schema ? check(schema, operation, data) : [];
  }
}
