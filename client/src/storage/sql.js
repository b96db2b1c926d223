// A copy in SQLite, whatever it is reached by. Rows, queue and cursor change in one transaction, so an app killed at any moment
// goes on from a state that once was whole. The newest that leads writes: an older one in another part of the app fails.

import { uuid } from '../platform.js';
import { difference } from '../queue.js';

/** @import { Edit, Patch, Row, Storage } from '../types.js' */
/** @typedef {[text: string, given?: (string | number)[]]} Statement */
/**
 * @typedef {object} Driver
 * @property {(text: string) => Promise<any[]>} all The rows that a SELECT finds
 * @property {(statements: Statement[]) => Promise<unknown>} batch Does all of them or none
 */

/** Of the tables below. A later one puts into `state` under `least` which release can live with it. */
const SCHEMA = 1;
const TABLES = [
  'CREATE TABLE IF NOT EXISTS ryzed_rows (of_table TEXT NOT NULL, id TEXT NOT NULL, row TEXT NOT NULL, PRIMARY KEY (of_table, id)) WITHOUT ROWID',
  'CREATE TABLE IF NOT EXISTS ryzed_queue (at INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, edit TEXT NOT NULL)',
  'CREATE TABLE IF NOT EXISTS ryzed_state (name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL)',
];
const PUT_STATE = 'INSERT OR REPLACE INTO ryzed_state (name, value) VALUES (?, ?)';
/** One text for many rows: each call costs on a phone. */
const PUT_ROWS = "INSERT OR REPLACE INTO ryzed_rows (of_table, id, row) SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]') FROM json_each(?)";
const DROP_ROWS = "DELETE FROM ryzed_rows WHERE (of_table, id) IN (SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(?))";
const PUT_EDITS = "INSERT INTO ryzed_queue (id, edit) SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(?) WHERE true ORDER BY key ON CONFLICT (id) DO UPDATE SET edit = excluded.edit";
const DROP_EDITS = 'DELETE FROM ryzed_queue WHERE id IN (SELECT value FROM json_each(?))';
/** Fails unless the term is the given one: a name is never null. */
const FENCE = "INSERT INTO ryzed_state (name, value) SELECT NULL, '' WHERE ? <> (SELECT value FROM ryzed_state WHERE name = 'term')";
/** Rows in one text. */
const CHUNK = 500;

/** @param {Driver} driver @returns {Storage} */
export function sqlStorage(driver) {
  const { all, batch } = inTurn(driver);
  /** The queue as its table holds it; null once that is not certain. @type {Edit[] | null} */
  let stored = null;
  /** Names the one that leads. */
  let term = '';
  /** Tables that are not loaded whole. @type {ReturnType<ReturnType<typeof import('../lazy/sql.js').inSql>> | undefined} */
  let lazy;

  return {
    lazy: (_, make) => (lazy = make?.({ all, batch })),

    async load(leads = false) {
      await batch(TABLES.map((text) => [text]));
      const before = await state();
      if (before.least > SCHEMA) throw new Error('A newer release stored it: update the app.');
      // From here on an older one stores nothing any more.
      if (leads) await batch([[PUT_STATE, ['term', JSON.stringify(term = uuid())]]]);
      const [{ cursor, meta }, rows, edits] = [await state(), await (lazy?.loaded() ?? all('SELECT of_table, row FROM ryzed_rows')), await all('SELECT edit FROM ryzed_queue ORDER BY at')];
      stored = edits.map(({ edit }) => JSON.parse(edit));
      return { rows: rows.map(({ of_table: table, row }) => [table, JSON.parse(row)]), queue: stored, cursor: cursor ?? null, meta: meta ?? {}, lazy: lazy?.opened() };
    },

    async commit(patches) {
      const last = (/** @type {'queue' | 'cursor' | 'meta'} */ part) => patches.findLast((patch) => patch[part] !== undefined)?.[part];
      const queue = /** @type {Edit[] | undefined} */ (last('queue'));
      const kept = (/** @type {Statement[]} */ ([['cursor', last('cursor')], ['meta', last('meta')]]).flatMap(([name, value]) => (value === undefined ? [] : [[PUT_STATE, [name, JSON.stringify(value)]]])));
      lazy?.storing();
      await write([...patches.flatMap(rowsOf), ...(queue ? putQueue(queue) : []), .../** @type {Statement[]} */ (kept)], queue ?? stored);
      lazy?.stored(patches);
    },

    clear: () => write([['DELETE FROM ryzed_rows'], ['DELETE FROM ryzed_queue'], ["DELETE FROM ryzed_state WHERE name IN ('cursor', 'meta')"]], []),
  };

  /** @returns {Promise<Record<string, any>>} */
  async function state() {
    return Object.fromEntries((await all('SELECT name, value FROM ryzed_state')).map(({ name, value }) => [name, JSON.parse(value)]));
  }

  /** @param {Statement[]} statements @param {Edit[] | null} queue As it is then */
  async function write(statements, queue) {
    try {
      await batch([...(term ? [/** @type {Statement} */ ([FENCE, [JSON.stringify(term)]])] : []), ...statements]);
      stored = queue;
    } catch (fault) {
      // What was given up may be stored all the same.
      stored = null;
      throw /ryzed_state\.name/.test(/** @type {Error} */ (fault).message) ? new Error('Another part of the app uses this copy by now.') : fault;
    }
  }

  /** Writes what is new in the queue and drops what left it. @param {Edit[]} queue @returns {Statement[]} */
  function putQueue(queue) {
    if (!stored) return [['DELETE FROM ryzed_queue'], ...chunked(PUT_EDITS, queue.map((edit) => [edit.mutation_id, JSON.stringify(edit)]))];
    const { gone, come } = difference(stored, queue);
    const stay = new Set(come.map(({ mutation_id }) => mutation_id));
    const leave = gone.map(({ mutation_id }) => mutation_id).filter((id) => !stay.has(id));
    return [...chunked(DROP_EDITS, leave), ...chunked(PUT_EDITS, come.map((edit) => [edit.mutation_id, JSON.stringify(edit)]))];
  }
}

/** @param {Patch} patch @returns {Statement[]} */
function rowsOf({ clear, rows = [] }) {
  /** @type {Map<string, [string, string, Row | null]>} */
  const last = new Map(rows.map((one) => [`${one[0]} ${one[1]}`, one]));
  const [put, drop] = [[...last.values()].filter(([, , row]) => row), [...last.values()].filter(([, , row]) => !row)];
  return [
    ...(clear === true ? [/** @type {Statement} */ (['DELETE FROM ryzed_rows'])] : (clear ?? []).map((table) => /** @type {Statement} */ (['DELETE FROM ryzed_rows WHERE of_table = ?', [table]]))),
    ...chunked(DROP_ROWS, drop.map(([table, id]) => [table, id])),
    ...chunked(PUT_ROWS, put.map(([table, id, row]) => [table, id, JSON.stringify(row)])),
  ];
}

/** @param {string} text @param {any[]} all @returns {Statement[]} */
const chunked = (text, all) => Array.from({ length: Math.ceil(all.length / CHUNK) }, (_, at) => [text, [JSON.stringify(all.slice(at * CHUNK, (at + 1) * CHUNK))]]);

/** One call at a time: a read sees no half of a transaction. @param {Driver} driver @returns {Driver} */
function inTurn({ all, batch }) {
  /** @type {Promise<any>} */
  let last = Promise.resolve();
  const turn = (/** @type {() => Promise<any>} */ run) => (last = last.catch(() => {}).then(run));
  return { all: (text) => turn(() => all(text)), batch: (statements) => turn(() => batch(statements)) };
}
