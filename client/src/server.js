// The server's HTTP side: a call in, its body or a `Failure` out.

/** @import { FieldError, Loss, Platform } from './types.js' */

/** A hung call is given up after this long. */
const PATIENCE_MS = 60_000;
const AT_FAULT = [400, 413, 422];

/** A call that failed; `loss` is what it means for the line, in close codes. */
export class Failure extends Error {
  /** @param {string} message @param {{status?: number, errors?: FieldError[], loss: Loss}} what */
  constructor(message, { status = 0, errors = [], loss }) {
    super(message);
    this.status = status;
    this.errors = errors;
    this.loss = { why: message, ...loss };
  }

  /** Whether the request itself is at fault, so that the same again would fail again. */
  get isRefusal() {
    return AT_FAULT.includes(this.status);
  }
}

/**
 * @param {Platform} platform
 * @param {string} address
 * @param {{token: string, method?: string, body?: object, signal?: AbortSignal}} how
 */
export async function call({ fetch, setTimeout, clearTimeout }, address, { token, body, method = body ? 'POST' : 'GET', signal }) {
  const given = new AbortController();
  const stop = () => given.abort();
  const timer = setTimeout(stop, PATIENCE_MS);
  signal?.addEventListener('abort', stop);
  if (signal?.aborted) stop();
  try {
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
    const answer = await fetch(address, { method, headers, body: body && JSON.stringify(body), signal: given.signal });
    if (answer.ok) return await answer.json();
    throw failure(answer, await answer.json().catch(() => ({})));
  } catch (fault) {
    if (fault instanceof Failure) throw fault;
    throw new Failure(`The server can’t be reached: ${/** @type {Error} */ (fault).message}`, { loss: { code: 1006 } });
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', stop);
  }
}

/** @param {Response} answer @param {any} problem */
function failure({ status, headers }, { type, title, detail, errors }) {
  const ms = Number(headers.get('retry-after')) * 1000 || 0;
  const revoked = type?.endsWith('/device-revoked');
  // Without a type it is not the server’s own answer: something in between has none for now.
  const later = status >= 500 || status === 408 || !type;
  const code = status === 401 ? 4401 : revoked ? 4403 : status === 429 ? 4429 : later ? 1013 : 4400;
  return new Failure(detail ?? title ?? `The server answered ${status}.`, { status, errors, loss: { code, ms } });
}
