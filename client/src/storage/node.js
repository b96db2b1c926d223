// A copy in a file, by the SQLite that Node.js has since 22.13. One process has it: another one works in memory, is told so, and takes over once the first has ended.

// @ts-ignore: the types of Node.js are not those of a browser, and everything else here is for both.
import { closeSync, openSync } from 'node:fs';
// @ts-ignore
import { DatabaseSync } from 'node:sqlite';
import { sqlStorage } from './sql.js';

/** @import { Storage } from '../types.js' */
/** @import { Statement } from './sql.js' */

/** Settings by which what is said to be stored survives a power cut; the lock is held until the process ends, however it does. */
const SETTINGS = 'PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; BEGIN IMMEDIATE; COMMIT';

/** @param {string} file Made if there is none, for its owner alone @returns {Storage & {close: () => void}} */
export function sqliteStorage(file) {
  /** @type {any} */
  let database;
  return {
    ...sqlStorage({
      all: async (text) => open().prepare(text).all(),
      batch: async (statements) => transaction(open(), statements),
    }),
    /** Leaves the file to another one. */
    close() {
      database?.close();
      database = undefined;
    },
  };

  function open() {
    if (database) return database;
    closeSync(openSync(file, 'a', 0o600));
    const opening = new DatabaseSync(file);
    try {
      opening.exec(SETTINGS);
    } catch (fault) {
      opening.close();
      throw /locked|busy/.test(/** @type {Error} */ (fault).message) ? new Error(`Another process uses ${file}. Give this one a file of its own, or end that one.`) : fault;
    }
    return (database = opening);
  }
}

/** @param {any} database @param {Statement[]} statements */
function transaction(database, statements) {
  database.exec('BEGIN IMMEDIATE');
  try {
    for (const [text, given = []] of statements) database.prepare(text).run(...given);
    database.exec('COMMIT');
  } catch (fault) {
    // A full disk may have ended it already.
    if (database.isTransaction) database.exec('ROLLBACK');
    throw fault;
  }
}
