// The file that browsers load first: the client, and what the files that are loaded later share with it.

export * from './index.js';
export { joined } from './keeper.js';
export { more } from './later.js';
export { canonical } from './plain.js';
export { attempt, claims, soon, uuid, within } from './platform.js';
export { behind, keyOf } from './queue.js';
export { applyPatch, open, returned, see, seeAll, wholeOf } from './replica.js';
