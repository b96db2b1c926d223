// What not every page needs, in a file of its own that `client.js` loads when it does.

export { check } from './check.js';
