// What the app asks for now and then.

import { see } from './replica.js';

/** @import { Done } from './device.js' */
/** @import { Online } from './online.js' */
/** @import { Conflict, Copy, Operation, Row } from './types.js' */

/** A report asks for the server's digest once in so long. */
const DIGEST_EVERY_MS = 10_000;

/** @type {Record<string, (line: Online, ...given: any[]) => any>} */
export const TASKS = {
  /** @param {Online} line */
  async getSyncStatus(line) {
    const { queue, cursor, meta } = line.device.copy;
    const theirs = await line.call(`/sync-status?device_id=${line.device.id}`).catch(() => ({ is_online: false, last_sync: meta.lastSync ?? null }));
    return { ...theirs, device_id: line.device.id, pending_uploads: queue.length, cursor };
  },

  /** Tells of itself what no other tab can. @param {Online} line */
  async diagnose(line) {
    const { connection, device: { owner: { options, platform } } } = line;
    const { calls } = line;
    // Not with every look of a panel; and what asks is no news.
    const isDue = !(Math.abs(platform.now() - line.digest.at) < DIGEST_EVERY_MS);
    if (isDue && connection.line.name === 'live') {
      line.digest = { at: platform.now(), told: await line.call(`/digest?tables=${options.tables ?? ''}`).catch(() => null) };
      line.calls = calls;
    }
    return { calls, digest: line.digest.told };
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

  /** Queues a refused edit again. @param {Online} line @param {string} id Its `mutation_id` @param {Record<string, any>} changes @param {string} [ask] @param {string} [life] */
  async retry(line, id, changes, ask, life) {
    const { device } = line;
    const { table, operation, data } = device.refused().find(({ mutation_id }) => mutation_id === id) ?? {};
    if (!table || !operation) throw new Error('There is no such edit.');
    const written = device.write(table, operation, { ...data, ...changes }, ask, life);
    TASKS.discard(line, id);
    return written;
  },

  /** @param {Online} line @param {string} [id] All without one */
  discard: ({ device }, id) => device.note({ refused: device.refused().filter(({ mutation_id }) => id && mutation_id !== id) }),

  /** Takes a call back. @param {Online} line @param {string} made The call @param {string} [ask] @param {string} [life] */
  async undo({ device }, made, ask, life) {
    const done = device.log.get(made) ?? [];
    device.log.delete(made);
    const isDeposed = await device.copy.lazy?.want(done.map(({ table, operation, data }) => [table, operation, data]), device);
    if (isDeposed) return device.writeAll([]);
    // A deletion that has not left does not leave; made anew, the row would come without what belonged to it.
    const { copy, owner } = device;
    const kept = copy.queue.filter((edit) => edit.operation === 'DELETE' && !edit.sent && edit.asks?.includes(made));
    if (kept.length) device.keep({ queue: copy.queue.filter((edit) => !kept.includes(edit)) });
    const undone = device.writeAll([...done].reverse().flatMap((one) => takenBack(device.copy, one)), ask, life);
    owner.emit('settled', kept.map(({ asks = [] }) => ({ asks, status: 'withdrawn' })));
    return undone;
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

/** What takes a write back, as far as nobody else has changed it since. @param {Copy} copy @param {Done} done
 * @returns {[table: string, operation: Operation, row: any][]}
 */
function takenBack(copy, { table, operation, data, was }) {
  const { id } = data;
  const now = see(copy, table, id);
  if (!now) return was && operation === 'DELETE' ? [[table, 'INSERT', was]] : [];
  if (!was) return [[table, 'DELETE', { id }]];
  const fields = Object.keys(operation === 'DELETE' ? was : data).filter((field) => !/^(id|updated_at|_.*)$/.test(field)
    && (operation === 'DELETE' || isSame(now[field], data[field])) && !isSame(now[field], was[field]));
  return fields.length ? [[table, 'UPDATE', Object.fromEntries([['id', id], ...fields.map((field) => [field, was[field] ?? null])])]] : [];
}

/** Whether two values say the same: the server writes times in its own way. @param {any} one @param {any} other */
const isSame = (one, other) => JSON.stringify(one ?? null) === JSON.stringify(other ?? null)
  || (typeof one === 'string' && typeof other === 'string' && /^\d{4}-/.test(one) && Date.parse(one) === Date.parse(other));
