// What a device does when its line breaks. Pure: the dice are handed in; `device.js` keeps the timers.

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 30_000;
const RATE_LIMIT_WAIT_MS = 10_000;
const LONGEST_ORDERED_WAIT_MS = 60_000;
const FINAL = {
  4400: 'The server refused this device’s id or messages.',
  4403: 'This device was revoked: the server takes nothing from it until it is allowed again.',
  4409: 'Another tab took over this device. Switch the line on to take it back.',
};

/** After a close: {do: 'token'}, {do: 'stop', why, revoked?} or {do: 'wait', ms}. `attempt` counts failures in a row. */
export function afterClose({ code, reason }, attempt, random) {
  if (code === 4401) return { do: 'token' };
  if (FINAL[code]) return { do: 'stop', why: FINAL[code], ...(code === 4403 && { revoked: true }) };
  const ms = backoff(attempt, random);
  if (code === 4429) return { do: 'wait', ms: RATE_LIMIT_WAIT_MS + ms };
  return { do: 'wait', ms: (code === 1012 ? orderedWait(reason) : null) ?? ms };
}

/** The same for an HTTP answer that is no success. */
export function afterStatus({ status, retryAfter, detail, type }, attempt, random) {
  if (status === 401) return { do: 'token' };
  if (type?.endsWith('/device-revoked')) return afterClose({ code: 4403 });
  if (status < 500 && status !== 429 && status !== 408) return { do: 'stop', why: detail || `The server answered ${status}.` };
  const asked = Math.min(Number(retryAfter) * 1000 || 0, LONGEST_ORDERED_WAIT_MS);
  return { do: 'wait', ms: asked + backoff(attempt, random) };
}

/** Doubles with every failure; the dice spread devices that lost the line together. */
export function backoff(attempt, random) {
  const ceiling = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** Math.min(attempt, 10));
  return Math.round(ceiling / 2 + (ceiling / 2) * random);
}

function orderedWait(reason) {
  try {
    const ms = JSON.parse(reason).reconnect_in_ms;
    return ms >= 0 ? Math.min(ms, LONGEST_ORDERED_WAIT_MS) : null;
  } catch {
    return null;
  }
}
