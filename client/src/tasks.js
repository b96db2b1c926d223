// What the app asks of the server now and then.

/** @import { Online } from './online.js' */
/** @import { Conflict } from './types.js' */

/** @type {Record<string, (line: Online, ...given: any[]) => Promise<any>>} */
export const TASKS = {
  /** @param {Online} line */
  async getSyncStatus(line) {
    const { queue, cursor, meta } = line.device.copy;
    const theirs = await line.call(`/sync-status?device_id=${line.device.id}`).catch(() => ({ is_online: false, last_sync: meta.lastSync ?? null }));
    return { ...theirs, device_id: line.device.id, pending_uploads: queue.length, cursor };
  },

  /** The server's list, or without a line the last one known. @param {Online} line @returns {Promise<Conflict[]>} */
  async conflicts(line) {
    const { conflicts } = await line.call('/conflicts').catch(() => ({ conflicts: line.open() }));
    line.device.note({ conflicts });
    return conflicts;
  },

  /** @param {Online} line @param {string} id @param {string | Record<string, any>} choice */
  async resolve(line, id, choice) {
    const body = typeof choice === 'string' ? { resolution: choice } : { resolution: 'fields', data: choice };
    const result = await line.call(`/conflicts/${id}/resolve`, { body });
    line.device.note({ conflicts: line.open(id) });
    line.owePull();
    return result;
  },

  /** @param {Online} line @param {string} path @param {{method?: string, body?: object}} [how] */
  request: (line, path, how) => line.call(path, how),

  /** @param {Online} line @param {string} id Another device's */
  async revoke(line, id) {
    await line.call(`/devices/${id}`, { method: 'DELETE' });
    // It may have been one too many.
    if (id !== line.device.id && line.connection.line.name === 'stopped') line.connection.dispatch({ type: 'connect' });
  },
};
