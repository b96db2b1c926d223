// Lazy tables wherever the package is used: in SQLite beside IndexedDB. What browsers load from the daemon has the latter alone.

import { prepare as prepared } from '../lazy.js';
import { inSql } from './sql.js';

/** @import { Options, Storage } from '../types.js' */

export { made } from '../lazy.js';

/** @param {Options} options @param {Storage} storage */
export const prepare = (options, storage) => prepared(options, storage, inSql);
