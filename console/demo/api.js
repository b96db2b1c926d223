// The server's HTTP side: a call in, its body or what to do about the failure out.

import { afterClose, afterStatus } from './link.js';

export const API = '/api/realtime';

/** Answers `{body}` or `{failure}`, a plan as `link.js` makes them. With `send` it is a POST, or another `method`. */
export async function call(path, { token, send, method = 'POST', signal, attempt }) {
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
  const sent = send && { method, body: JSON.stringify(send) };
  try {
    const answer = await fetch(API + path, { ...sent, headers, signal });
    if (answer.ok) return { body: await answer.json() };
    const problem = await answer.json().catch(() => ({}));
    const detail = [problem.detail ?? problem.title, faults(problem.errors)].filter(Boolean).join(' – ');
    const { status } = answer;
    const told = { status, retryAfter: answer.headers.get('retry-after'), detail, type: problem.type };
    return { failure: { ...afterStatus(told, attempt, Math.random()), status } };
  } catch {
    return { failure: afterClose({ code: 1006 }, attempt, Math.random()) };
  }
}

/** What is wrong with which field, in one line. */
export function faults(errors = []) {
  return errors.map(({ field, message }) => `${field} ${message}`.trim()).join('; ');
}
