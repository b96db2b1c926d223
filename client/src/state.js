// What the line to the server does next. Pure: (line, event) → line and effects. `connection.js` carries them out;
// every cell is written down in SPEC.md.

/** @import { Effect, Line, LineEvent, Loss, StateName } from './types.js' */

export const QUICK_ATTEMPTS = 5;
const FIRST_WAIT_MS = 1_000;
const SLOW_WAIT_MS = 60_000;
const RATE_LIMIT_WAIT_MS = 10_000;
const LONGEST_ORDERED_WAIT_MS = 60_000;
const BAD_TOKEN = 4401;
/** @type {Record<number, string>} */
const FINAL = {
  4400: 'The server refused this device’s id, tables or messages.',
  4403: 'This device was revoked: allow it again, or drop the copy and sign in anew.',
  4409: 'Another connection took over this device id. Connect again to take it back.',
};

/** @type {Line} */
export const IDLE = { name: 'off', attempt: 0, refused: false, wait: 0, why: '' };

/**
 * @param {Line} line
 * @param {LineEvent} event
 * @returns {{line: Line, effects: Effect[]}}
 */
export function step(line, event) {
  const { name } = line;
  const online = name === 'syncing' || name === 'opening' || name === 'live';
  switch (event.type) {
    case 'connect':
      if (name === 'off' || name === 'stopped') return become('token', IDLE, 'ask_token');
      return name === 'waiting' ? become('token', IDLE, 'hang_up', 'ask_token') : { line, effects: [] };
    case 'disconnect':
      return name === 'off' ? { line, effects: [] } : become('off', IDLE, 'hang_up');
    case 'token':
      if (name === 'token') return become('syncing', line, 'sync');
      return { line, effects: name === 'live' ? ['auth'] : [] };
    case 'no_token':
      if (name !== 'token') break;
      if (event.again) return wait(line, backoff(line.attempt, event.random), event.why);
      return become('stopped', { ...line, why: event.why ?? '' }, 'hang_up');
    case 'synced':
      if (name === 'syncing') return become('opening', line, 'open');
      break;
    case 'greeted':
      // Only here do the failures count no more: a line that never worked must keep backing off.
      if (name === 'opening') return become('live', IDLE, 'beat', 'sync');
      break;
    case 'lost':
      if (online) return lost(line, event, event.random);
      break;
    case 'silent':
      if (online) return lost(line, { code: 1006 }, event.random);
      break;
    case 'beat':
      // An edit that the server could not take may be due.
      if (name === 'live') return { line, effects: ['ping', 'beat', 'sync'] };
      break;
    case 'nudge':
      // What hangs on a network that is gone would hang for a minute.
      if (name === 'waiting' || name === 'syncing') return become('token', { ...line, attempt: 0 }, 'hang_up', asking(line));
      // A line that slept may be dead without knowing.
      return { line, effects: name === 'live' ? ['ping'] : [] };
    case 'elapsed':
      if (name === 'waiting') return become('token', line, asking(line));
      break;
    case 'expiring':
      if (name === 'live') return { line, effects: ['fresh_token'] };
      break;
    case 'changed':
      if (name === 'live') return { line, effects: ['sync'] };
      break;
  }
  return { line, effects: [] };
}

/** How long to wait after a loss, in ms. `attempt` counts failures in a row, `random` is in [0, 1).
 * @param {Loss} loss
 * @param {number} attempt
 * @param {number} random
 */
export function delay({ code, reason, ms }, attempt, random) {
  const own = backoff(attempt, random);
  if (code === 1012) return orderedWait(reason) ?? own;
  if (code === 4429) return Math.max(RATE_LIMIT_WAIT_MS, ordered(ms)) + own;
  return ordered(ms) + own;
}

/** Full jitter, doubling for the quick attempts; then slowly, so that a server that is away is left in peace.
 * @param {number} attempt
 * @param {number} random
 */
export function backoff(attempt, random) {
  if (attempt < QUICK_ATTEMPTS) return Math.round(random * FIRST_WAIT_MS * 2 ** attempt);
  return Math.round((SLOW_WAIT_MS / 2) * (1 + random));
}

/**
 * @param {Line} line
 * @param {Loss} loss
 * @param {number} random
 */
function lost(line, loss, random) {
  const why = loss.why ?? FINAL[loss.code] ?? '';
  if (FINAL[loss.code]) return become('stopped', { ...line, why }, 'hang_up');
  // Once at once; a second refusal in a row means that asking alone does not help.
  if (loss.code === BAD_TOKEN && !line.refused) return become('token', { ...line, refused: true }, 'hang_up', 'fresh_token');
  return wait(line, delay(loss, line.attempt, random), why);
}

/**
 * @param {Line} line
 * @param {number} ms
 * @param {string} [why]
 */
const wait = (line, ms, why = '') => become('waiting', { ...line, attempt: line.attempt + 1, wait: ms, why }, 'hang_up', 'wait');

/** @param {Line} line @returns {Effect} */
const asking = ({ refused }) => (refused ? 'fresh_token' : 'ask_token');

/**
 * @param {StateName} name
 * @param {Line} line
 * @param {Effect[]} effects
 */
const become = (name, line, ...effects) => ({ line: { ...line, name }, effects });

/** @param {number} [ms] */
const ordered = (ms) => Math.min(Math.max(ms || 0, 0), LONGEST_ORDERED_WAIT_MS);

/** @param {string} [reason] */
function orderedWait(reason) {
  try {
    const ms = JSON.parse(reason ?? '').reconnect_in_ms;
    return ms >= 0 ? ordered(ms) : null;
  } catch {
    return null;
  }
}
