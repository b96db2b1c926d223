// The collection by a name of its own; it comes with the client.

export { persist, ryzedCollectionOptions } from 'ryzed-client/tanstack-db';
