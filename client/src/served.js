// The file that browsers load first: the client, and what the files that are loaded later share with it.

// In the order in which they compress best.
import './storage/memory.js';
import './queue.js';
import './storage/indexeddb.js';
import './plain.js';
import './later.js';
import './table.js';
import './naming.js';
import './persister.js';
import './platform.js';
import './replica.js';
import './server.js';
import './watch.js';
import './device.js';
import './tabs.js';
import './observable.js';

export * from './index.js';
export { more } from './later.js';
export { canonical } from './plain.js';
export { attempt, claims, uuid, within } from './platform.js';
export { behind, keyOf, missing } from './queue.js';
export { applyPatch, open, returned, see, seeAll, wholeOf } from './replica.js';
