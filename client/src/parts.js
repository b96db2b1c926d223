// What stands for `later.js` in the files that the daemon serves: they lie beside one another, each fetched by its address.

/** Names the build: files of two releases don't fit together, and a daemon may be renewed while a page is open. */
const build = /** @type {any} */ (globalThis).RYZED_BUILD;

/** @param {string} name @returns {() => Promise<any>} */
function part(name) {
  let tries = 0;
  /** @type {Promise<any> | undefined} */
  let loading;
  const load = async () => {
    // Some browsers never fetch an address again that failed once.
    const address = `./client-${name}.js${tries++ ? `?${tries}` : ''}`;
    const loaded = await import(address);
    if (loaded.build !== build) throw new Error('it is of another release. Reload the page.');
    return loaded;
  };
  return () => (loading ??= load().catch((fault) => {
    loading = undefined;
    throw fault;
  }));
}

export const online = part('online');
export const more = part('more');
export const queries = part('query');
export const lazily = part('lazy');
export const inspector = part('inspector');
export const preload = () => [online, more, queries].forEach((load) => load().catch(() => {}));
