// What not every page needs, in a file of its own that `client.js` loads when it does.

export { giveBack } from './give-back.js';
export { Guard } from './guard.js';
export { repair, retable, Search } from './mend.js';
export { moved } from './moved.js';
export { Poll } from './poll.js';
export { Stream } from './stream.js';
export { synced } from './synced.js';
export { merged, takeOver } from './take-over.js';
export { TASKS } from './tasks.js';
