// The end of a sync, for those who wait for it.

/** @typedef {import('./types.js').Status} Status */

/**
 * Ends once these verdicts are there and the copy is as new as now. Waits for a line; fails when that makes no sense.
 * @param {import('./index.js').RyzeRealtimeClient} client @param {Promise<unknown>[]} verdicts @returns {Promise<void>}
 */
export async function synced(client, verdicts) {
  while (!(await client.performSync().then(() => true, () => false))) {
    const { state, why } = await new Promise((/** @type {(status: Status) => void} */ resolve) => {
      const stop = client.status.subscribe((status) => /^(live|stopped)$/.test(status.state) && (resolve(status), queueMicrotask(() => stop())));
    });
    if (state === 'stopped') throw new Error(why);
  }
  await Promise.all(verdicts);
}
