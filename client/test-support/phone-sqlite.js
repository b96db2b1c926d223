// Stand-ins for `expo-sqlite` and `op-sqlite`, on the SQLite of Node.js. Each call is answered later, as across a phone's bridge.

import { DatabaseSync } from 'node:sqlite';

const later = () => new Promise((resolve) => setImmediate(resolve));

/** `expo-sqlite`; `writesLeft` may run out. */
export function expoSqlite(path) {
  const phone = {
    writesLeft: Infinity,
    openDatabaseAsync: async (name, { useNewConnection } = {}) => {
      await later();
      if (!useNewConnection) throw new Error('the app has its own transactions on the shared connection');
      const database = new DatabaseSync(path(name));
      return {
        execAsync: async (text) => (await later(), database.exec(text)),
        getAllAsync: async (text, ...given) => (await later(), database.prepare(text).all(...given.flat())),
        runAsync: async (text, ...given) => {
          await later();
          if (phone.writesLeft-- <= 0) throw new Error('database or disk is full');
          return database.prepare(text).run(...given.flat());
        },
        withTransactionAsync: async (work) => {
          database.exec('BEGIN');
          try {
            await work();
            database.exec('COMMIT');
          } catch (fault) {
            database.exec('ROLLBACK');
            throw fault;
          }
        },
      };
    },
  };
  return phone;
}

/** `open` of `op-sqlite`. */
export const opSqlite = (path) => ({ name }) => {
  const database = new DatabaseSync(path(name));
  const execute = (text, given = []) => {
    const rows = database.prepare(text).all(...given);
    return { rows };
  };
  return {
    execute: async (text, given) => (await later(), execute(text, given)),
    executeBatch: async (statements) => {
      await later();
      database.exec('BEGIN EXCLUSIVE');
      try {
        for (const [text, given] of statements) execute(text, given);
        database.exec('COMMIT');
      } catch (fault) {
        database.exec('ROLLBACK');
        throw fault;
      }
    },
  };
};
