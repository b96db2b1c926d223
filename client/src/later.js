// What is loaded behind the first rows, so that it is there when it is needed: by then the network may be gone.

/** What is done with the server. */
export const online = () => import('./online.js');
/** Mending, checking, taking over. */
export const more = () => import('./more.js');
/** Reports, and their panel: loaded only when asked for. */
export const inspector = () => import('./inspector.js');
/** Tables that are not loaded whole, and queries with them: only for who has such. */
export const lazily = () => import('./lazy/anywhere.js');
/** Queries. */
export const queries = () => import('./query.js');

/** Loads it all, for later; what could not be had is asked for again when it is needed. */
export const preload = () => [online, more, queries].forEach((load) => load().catch(() => {}));
