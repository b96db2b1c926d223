// A copy in a store of texts by key, such as React Native's AsyncStorage. Each commit is appended, as one or more entries,
// and counts once all of them are there; now and then the whole copy is appended and what lies before it removed. So an
// app killed between any two entries goes on from a state that once was whole.

import { memoryStorage } from './memory.js';

/** @import { Patch, Storage } from '../types.js' */

/** Characters in one entry: Android's AsyncStorage reads none over 2 MB. */
const ENTRY_MOST = 250_000;
/** The log grows by as much as the copy holds, and this, before the whole copy takes its place. */
const LOG_LEAST = 100;

/**
 * @typedef {object} KeyValueStore AsyncStorage, or what does the same.
 * @property {() => Promise<readonly string[]>} getAllKeys
 * @property {(key: string) => Promise<string | null>} getItem
 * @property {(key: string, value: string) => Promise<unknown>} setItem
 * @property {(key: string) => Promise<unknown>} removeItem
 */

/**
 * @param {KeyValueStore} store
 * @param {string} [name] What the keys begin with; two copies need two
 * @returns {Storage}
 */
export function keyValueStorage(store, name = 'ryzed') {
  const memory = memoryStorage();
  let last = 0;
  let logged = 0;

  return {
    async load() {
      await memory.clear();
      const commits = group(await keys());
      last = commits[commits.length - 1]?.number ?? 0;
      for (const { entries, size } of commits) {
        if (entries.length !== size) continue;
        const texts = await Promise.all(entries.map((key) => store.getItem(key)));
        await remember(JSON.parse(texts.join('')));
      }
      return memory.load();
    },

    async commit(patches) {
      await append(patches);
      await remember(patches);
      // The commit is stored, whatever becomes of this; the next one tries again.
      await compact().catch(() => {});
    },

    async clear() {
      for (const key of await keys()) await store.removeItem(key);
      await memory.clear();
      logged = 0;
    },
  };

  async function keys() {
    return (await store.getAllKeys()).filter((key) => key.startsWith(`${name}/`));
  }

  /** @param {Patch[]} patches */
  async function append(patches) {
    last += 1;
    const texts = pieces(JSON.stringify(patches));
    for (const [at, text] of texts.entries()) await store.setItem(`${name}/${last}/${at}/${texts.length}`, text);
  }

  /** @param {Patch[]} patches */
  async function remember(patches) {
    await memory.commit(patches);
    logged += patches.reduce((sum, { rows = [] }) => sum + 1 + rows.length, 0);
  }

  async function compact() {
    const kept = await memory.load();
    if (!kept || logged < LOG_LEAST + kept.rows.length) return;
    const { rows, queue, cursor, meta } = kept;
    await append([{ clear: true, rows: rows.map(([table, row]) => [table, row.id, row]), queue, cursor, meta }]);
    logged = 0;
    const whole = last;
    for (const { number, entries } of group(await keys())) if (number < whole) for (const key of entries) await store.removeItem(key);
  }
}

/** Keys by commit, all in their order. @param {readonly string[]} keys */
function group(keys) {
  /** @type {Map<number, {number: number, size: number, entries: string[]}>} */
  const commits = new Map();
  const parts = keys.map((key) => ({ key, numbers: key.split('/').slice(-3).map(Number) }));
  parts.sort(({ numbers: [one, at] }, { numbers: [other, too] }) => one - other || at - too);
  for (const { key, numbers: [number, , size] } of parts) {
    const commit = commits.get(number) ?? { number, size, entries: [] };
    commits.set(number, { ...commit, entries: [...commit.entries, key] });
  }
  return [...commits.values()];
}

/** @param {string} text */
function pieces(text) {
  const found = [];
  for (let from = 0; from < text.length; ) {
    // Half a character outside the basic plane would not survive UTF-8.
    const splits = /[\ud800-\udbff]/.test(text.charAt(from + ENTRY_MOST - 1));
    const to = from + ENTRY_MOST + Number(splits);
    found.push(text.slice(from, to));
    from = to;
  }
  return found;
}
