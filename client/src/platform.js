// What the client takes from its surroundings: browser, Node or React Native.

/** @import { Platform } from './types.js' */

/** What a look finds, or nothing where the very look at it throws, as in a sandboxed frame. @template T @param {() => T} look */
export const attempt = (look) => {
  try {
    return look();
  } catch {}
};

/** @returns {Platform} */
export const surroundings = () => {
  // A service worker or Node.js has one without the other, and no tabs.
  const locks = attempt(() => globalThis.document && navigator.locks);
  return {
    fetch: (...call) => fetch(...call),
    WebSocket: /** @type {any} */ (globalThis).WebSocket,
    now: Date.now,
    random: Math.random,
    setTimeout: (run, ms) => setTimeout(run, ms),
    clearTimeout: (timer) => clearTimeout(timer),
    ...(locks && attempt(() => new BroadcastChannel('ryzed').close() ?? {
      locks,
      channel: (/** @type {string} */ name) => new BroadcastChannel(name),
      // A frozen page goes on hearing from other tabs, but its timers stand still.
      lives: (/** @type {() => void} */ run) => void setTimeout(run),
      freezes: (/** @type {() => void} */ run) => document.addEventListener('freeze', run),
    })),
    wakes(nudge) {
      // Going offline counts too: it is how a line that died silently is found out.
      /** @type {[any, string][]} */
      const signs = [[globalThis, 'online'], [globalThis, 'offline'], [globalThis.document, 'visibilitychange']];
      const heed = (/** @type {Event} */ { type }) => {
        if (type !== 'visibilitychange' || document.visibilityState === 'visible') nudge();
      };
      signs.forEach(([where, sign]) => where?.addEventListener?.(sign, heed));
      return () => signs.forEach(([where, sign]) => where?.removeEventListener?.(sign, heed));
    },
  };
};

/** Ends as `promise` does, or fails after `ms`: nothing is waited for without an end.
 * @template T @param {Pick<Platform, 'setTimeout' | 'clearTimeout'>} platform @param {number} ms @param {Promise<T>} promise @param {string} [late]
 * @returns {Promise<T>}
 */
export function within({ setTimeout, clearTimeout }, ms, promise, late = 'no answer came in time') {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(late)), ms);
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

/** A random UUID. Not `crypto.randomUUID`, which pages over plain HTTP and React Native lack. */
export function uuid() {
  const bytes = new Uint8Array(16);
  const { crypto } = /** @type {any} */ (globalThis);
  if (crypto?.getRandomValues) crypto.getRandomValues(bytes);
  else bytes.forEach((_, at) => (bytes[at] = Math.random() * 256));
  bytes[6] = (bytes[6] & 15) | 64;
  bytes[8] = (bytes[8] & 63) | 128;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

/** What a token says of itself, as far as it is ASCII, and without `atob`, which React Native may lack; nothing when it can't be read, since judging it is the server's business.
 * @param {string} token @returns {{sub?: string, exp?: number}}
 */
export function claims(token) {
  try {
    const bits = [...token.split('.')[1]].map((sign) => (64 + sixBits(sign.charCodeAt(0))).toString(2).slice(1)).join('');
    return JSON.parse((bits.match(/.{8}/g) ?? []).map((byte) => String.fromCharCode(parseInt(byte, 2))).join(''));
  } catch {
    return {};
  }
}

/** A–Z, a–z, 0–9, - and _, as base64url counts them. @param {number} sign */
const sixBits = (sign) => (sign > 96 ? sign - 71 : sign === 95 ? 63 : sign > 64 ? sign - 65 : sign > 47 ? sign + 4 : 62);
