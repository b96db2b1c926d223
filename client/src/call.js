// The server's HTTP side: a call in, its body or a `Failure` out.

import { attempt, within } from './platform.js';
import { Failure } from './server.js';

/** @import { Platform } from './types.js' */

/** The header of the server's own answers. Releases before it are told by the form of what they say. */
export const MARK = 'ryzed-release';
/** A hung call is given up after this long. */
export const PATIENCE_MS = 60_000;

/**
 * @param {Platform} platform
 * @param {string} address
 * @param {{token: string, method?: string, body?: object, signal?: AbortSignal, patience?: number}} how
 */
export async function call(platform, address, { token, body, method = body ? 'POST' : 'GET', signal, patience = PATIENCE_MS }) {
  const given = new AbortController();
  const stop = () => given.abort();
  const stopped = new Promise((_, reject) => given.signal.addEventListener('abort', () => reject(new Error('it was called off'))));
  stopped.catch(() => {});
  signal?.addEventListener('abort', stop);
  if (signal?.aborted) stop();
  const ask = async () => {
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
    // A redirect that the platform followed would lose the method or the token, or hand both to somebody else.
    const answer = await platform.fetch(address, { method, headers, body: body && JSON.stringify(body), signal: given.signal, redirect: 'manual', cache: 'no-store' });
    const text = await textOf(answer);
    return judged(answer, attempt(() => JSON.parse(text)), /\/(sync|changes\?.*)$/.test(address), platform.now());
  };
  try {
    return await within(platform, patience, Promise.race([ask(), stopped]));
  } catch (fault) {
    if (fault instanceof Failure) throw fault;
    throw new Failure(`The server can’t be reached: ${/** @type {Error} */ (fault).message}`, { loss: { code: 1006 } });
  } finally {
    signal?.removeEventListener('abort', stop);
    stop();
  }
}

/** The body, unpacked once more where something on the way has packed it without a word. @param {Response} answer */
async function textOf(answer) {
  const { DecompressionStream: Unpacking, TextDecoder: Text } = globalThis;
  if (!Unpacking || !Text || !answer.arrayBuffer) return answer.text();
  let bytes = new Uint8Array(await answer.arrayBuffer());
  if (bytes[0] === 0x1f && bytes[1] === 0x8b) bytes = new Uint8Array(await new Response(new Blob([bytes]).stream().pipeThrough(new Unpacking('gzip'))).arrayBuffer());
  return new Text().decode(bytes);
}

/** @param {Response} answer @param {any} body @param {boolean} isSync @param {number} now */
function judged({ ok, status, headers }, body, isSync, now) {
  const { type, title, detail, errors } = Object(body);
  const isMarked = headers.has(MARK);
  if (ok && (isMarked ? status === 204 || body !== undefined : isSync ? body?.results : status === 204 || Object(body) === body)) return body;
  // What bears the server’s mark and can’t be read was changed on the way.
  const isOurs = isMarked ? !ok : !ok && String(type).includes('/problems/');
  const wait = headers.get('retry-after') ?? '';
  const ms = Math.max(0, Number(wait) * 1000 || Date.parse(wait) - now || 0);
  const later = status >= 500 || status === 408 || !isOurs;
  const isRevoked = isOurs && type?.endsWith('/device-revoked');
  const code = status === 429 ? 4429 : later ? 1013 : status === 401 ? 4401 : isRevoked ? 4403 : 4400;
  const why = isOurs ? detail ?? title ?? `The server answered ${status}.` : `Something on the way answers in the server’s place, with ${status || 'a redirect'}.`;
  // In a browser all that shows of a redirect is a status of 0.
  throw new Failure(why, { status, errors, type, isOurs, isRedirect: !isOurs && !ok && status < 400, loss: { code, ms } });
}
