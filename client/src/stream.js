// What stands for a WebSocket where answers get through as they come: `GET /changes` as server-sent events. It only listens.

import { attempt } from './platform.js';

/** @import { Online } from './online.js' */
/** @import { Loss } from './types.js' */

/** The server shows twice in this time that the stream is there. */
const ALIVE_MS = 30_000;
const OPEN = 1;
const CLOSED = 3;
/** Opens anew at once, with the token at hand. */
const ANEW = { code: 1012, reason: '{"reconnect_in_ms":0}' };

export class Stream {
  readyState = 0;
  /** @type {(message: {data: string}) => void} */
  onmessage = () => {};
  /** @type {(loss: Loss) => void} */
  onclose = () => {};
  #line;
  #gone = new AbortController();
  #heardAt = -Infinity;

  /** @param {Online} line */
  constructor(line) {
    this.#line = line;
    // Whoever made it listens first.
    Promise.resolve().then(() => this.#run()).then((loss) => this.#end(loss), () => this.#end({ code: 1006 }));
  }

  /** @param {string} text @returns {boolean} Whether it could be said */
  send(text) {
    const { type } = JSON.parse(text);
    // It can't ask: what came lately is the answer.
    const isAlive = this.#line.device.owner.platform.now() - this.#heardAt < ALIVE_MS;
    if (type === 'ping' && isAlive) queueMicrotask(() => this.readyState === OPEN && this.onmessage({ data: '{"type":"pong"}' }));
    if (type === 'auth') queueMicrotask(() => this.#end(ANEW));
    return type !== 'broadcast';
  }

  close() {
    this.readyState = CLOSED;
    this.#gone.abort();
  }

  /** @returns {Promise<Loss>} Why it ended */
  async #run() {
    const { platform } = this.#line.device.owner;
    const parts = await this.#line.stream(this.#gone.signal);
    const decoder = new TextDecoder();
    for (let rest = ''; ; ) {
      const { done, value } = await parts.read();
      if (done || this.readyState === CLOSED) return { code: 1006 };
      this.readyState = OPEN;
      this.#heardAt = platform.now();
      const events = (rest + decoder.decode(value, { stream: true })).split('\n\n');
      rest = events.pop() ?? '';
      for (const event of events) {
        const data = event.split('\n').filter((line) => line.startsWith('data: ')).map((line) => line.slice(6)).join('\n');
        const { type, code, reason } = attempt(() => JSON.parse(data)) ?? {};
        if (type === 'closed') return { code, reason };
        if (type) this.onmessage({ data });
      }
    }
  }

  /** @param {Loss} loss */
  #end(loss) {
    if (this.readyState === CLOSED) return;
    this.close();
    this.onclose(loss);
  }
}
