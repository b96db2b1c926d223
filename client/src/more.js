// What not every page needs, in a file of its own that `client.js` loads when it does.

export { check } from './check.js';
export { giveBack } from './give-back.js';
export { moved } from './moved.js';
export { takeOver } from './take-over.js';
export { Query } from './query.js';
