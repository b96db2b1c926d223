// A copy in SQLite on a phone, by `expo-sqlite` or `op-sqlite`. Both are handed in, so that an app has the one that it uses.

import { sqlStorage } from './sql.js';

/** @import { Storage } from '../types.js' */
/** @import { Statement } from './sql.js' */

/**
 * @typedef {object} ExpoDatabase
 * @property {(text: string) => Promise<unknown>} execAsync
 * @property {(text: string, given: any) => Promise<unknown>} runAsync
 * @property {(text: string) => Promise<any[]>} getAllAsync
 * @property {(work: () => Promise<void>) => Promise<void>} withTransactionAsync
 */
/** @typedef {{openDatabaseAsync: (name: string, how?: {useNewConnection?: boolean}) => Promise<ExpoDatabase>}} ExpoSqlite */
/** @typedef {{execute: (text: string, given?: any) => Promise<{rows: any[]}>, executeBatch: (statements: any) => Promise<unknown>}} OpDatabase */

/** Settings by which what is said to be stored survives a phone that goes off. */
const SETTINGS = ['PRAGMA journal_mode = WAL', 'PRAGMA synchronous = FULL'];

/** `import * as SQLite from 'expo-sqlite'`. @param {ExpoSqlite} sqlite @param {string} [name] Of the database, which is the copy's alone @returns {Storage} */
export function expoStorage(sqlite, name = 'ryzed.db') {
  const opened = once(async () => {
    // One of its own: nothing else of the app gets into its transactions.
    const database = await sqlite.openDatabaseAsync(name, { useNewConnection: true });
    await database.execAsync(`${SETTINGS.join('; ')};`);
    return database;
  });
  return sqlStorage({
    all: async (text) => (await opened()).getAllAsync(text),
    batch: one(async (statements) => {
      const database = await opened();
      await database.withTransactionAsync(async () => {
        for (const [text, given = []] of statements) await database.runAsync(text, given);
      });
    }),
  });
}

/** `import { open } from '@op-engineering/op-sqlite'`. @param {(how: {name: string}) => OpDatabase} open @param {string} [name] Of the database, which is the copy's alone @returns {Storage} */
export function opStorage(open, name = 'ryzed.db') {
  const opened = once(async () => {
    const database = open({ name });
    for (const text of SETTINGS) await database.execute(text);
    return database;
  });
  return sqlStorage({
    all: async (text) => (await (await opened()).execute(text)).rows,
    batch: one(async (statements) => (await opened()).executeBatch(statements.map(([text, given = []]) => [text, given]))),
  });
}

/** Opens once; what failed is tried again. @template T @param {() => Promise<T>} open */
function once(open) {
  /** @type {Promise<T> | undefined} */
  let opening;
  return () => (opening ??= open().catch((fault) => {
    opening = undefined;
    throw fault;
  }));
}

/** One at a time: there is one connection. @param {(statements: Statement[]) => Promise<unknown>} batch */
function one(batch) {
  /** @type {Promise<unknown>} */
  let last = Promise.resolve();
  return (/** @type {Statement[]} */ statements) => (last = last.catch(() => {}).then(() => batch(statements)));
}
