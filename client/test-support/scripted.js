// A server that follows a script, and a clock that goes when it is told to.

import { RyzeRealtimeClient } from '../src/index.js';
// Loaded later by the client; here the clock stands still meanwhile.
import '../src/more.js';
import '../src/online.js';
import '../src/query.js';
import '../src/lazy/anywhere.js';

/** Lets everything run that needs no time. */
export async function settled() {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
}

export class Clock {
  now = 1_750_000_000_000;
  #timers = new Map();
  #last = 0;

  platform = {
    now: () => this.now,
    random: () => 0.5,
    setTimeout: (run, ms) => {
      this.#timers.set(++this.#last, { at: this.now + ms, run });
      return this.#last;
    },
    clearTimeout: (timer) => this.#timers.delete(timer),
  };

  async forward(ms) {
    const end = this.now + ms;
    for (;;) {
      const [id, due] = [...this.#timers].filter(([, { at }]) => at <= end).sort(([, one], [, other]) => one.at - other.at)[0] ?? [];
      if (!due) break;
      this.#timers.delete(id);
      this.now = due.at;
      due.run();
      await settled();
    }
    this.now = end;
    await settled();
  }
}

/** An answer of `POST /sync` with what a test leaves out. */
export const page = (parts = {}) => ({
  changes: {}, deletions: {}, conflicts: [], results: [], total_changes: 0, has_more: false, reset: false,
  cursor: { epoch: 'e', user: 1, global: 1 }, sync_timestamp: '2025-05-01T00:00:00.000000Z', ...parts,
});

/** What a server says that takes everything. */
export const applied = ({ changes }, version = 1) =>
  changes.map(({ mutation_id, table, data }) => ({ mutation_id, table, id: data.id, status: 'applied', version }));

/** A client on a scripted server. `answer(path, body)` makes a body, or a Response, or throws for a broken line. */
export function scripted(options = {}, answer = (path, body) => page({ results: applied(body) }), tab = {}) {
  const clock = new Clock();
  const script = { clock, answer, asked: [], sockets: [], nudge: () => {} };
  class Socket {
    sent = [];
    readyState = 0;
    constructor(url, protocols) {
      Object.assign(this, { url, protocols });
      script.sockets.push(this);
    }
    send(text) {
      this.sent.push(JSON.parse(text));
    }
    close() {
      this.readyState = 3;
    }
    greet() {
      this.readyState = 1;
      this.hear({ type: 'connection_established', heartbeat_seconds: 30 });
    }
    hear(message) {
      this.onmessage({ data: JSON.stringify(message) });
    }
    end(code, reason = '') {
      this.readyState = 3;
      this.onclose({ code, reason });
    }
  }
  const platform = {
    ...clock.platform,
    ...tab,
    WebSocket: Socket,
    wakes: (nudge) => {
      script.nudge = nudge;
      return () => {};
    },
    fetch: async (address, { body, headers, method, signal }) => {
      if (signal.aborted) throw new Error('aborted');
      const path = address.replace(/^.*\/api\/realtime/, '');
      const request = body ? JSON.parse(body) : undefined;
      script.asked.push({ path, body: request, token: headers.authorization.slice(7), method });
      const told = await script.answer(path, request, signal);
      return told instanceof Response ? told : Response.json(told);
    },
  };
  const given = Object.defineProperties({ token: 'token', deviceId: 'phone' }, Object.getOwnPropertyDescriptors(options));
  script.client = new RyzeRealtimeClient('http://server', Object.assign(given, { platform }));
  script.socket = () => script.sockets.at(-1);
  /** Connects, and greets. */
  script.live = async () => {
    const connecting = script.client.connect();
    await settled();
    script.socket().greet();
    await connecting;
    await settled();
  };
  return script;
}

/** A refusal, as the server words it. */
export const problem = (status, body = {}, headers = {}) => Response.json({ type: '/problems/invalid-fields', ...body }, { status, headers });

/** A token with these claims. */
export const jwt = (claims) => `h.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.s`;
