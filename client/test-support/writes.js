// A process that stores commit after commit, each a row and a cursor that says how many there are, and tells of each once it is stored. `node writes.js <file>`

import { writeSync } from 'node:fs';
import { sqliteStorage } from '../src/storage/node.js';

const storage = sqliteStorage(process.argv[2]);
const { rows } = await storage.load(true);
for (let at = rows.length + 1; ; at++) {
  await storage.commit([{ rows: [['meals', `${at}`, { id: `${at}`, text: 'x'.repeat(2000) }]] }, { cursor: { user: at }, queue: [{ mutation_id: `${at}`, table: 'meals', operation: 'INSERT', data: { id: `${at}` } }] }]);
  writeSync(1, `${at}\n`);
}
