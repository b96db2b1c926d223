// An app on a phone with bad luck: its answers get lost, its sockets break, and it is killed without a word.

import WebSocket from 'ws';
import { memoryStorage, RyzeRealtimeClient } from '../src/index.js';

/** Waits between attempts are short, so that a test needs no patience. */
const DICE = 0.02;

export class Phone {
  /** Ids of the rows whose edits were rejected. */
  rejected = new Set();
  /** Decides whether the next answer gets lost. */
  isUnlucky = () => false;
  #storage = memoryStorage();
  #given;
  #sockets = new Set();
  #kill = () => {};

  /** @param {string} url @param {object} options Of the client */
  constructor(url, options) {
    this.#given = { url, options };
    this.start();
  }

  /** The app starts, from what the last one stored. */
  start() {
    let isDead = false;
    const sockets = new Set();
    const timers = new Set();
    class Socket extends WebSocket {
      constructor(...given) {
        super(...given);
        sockets.add(this);
      }
    }
    const storage = { ...this.#storage, commit: (patches) => (isDead ? new Promise(() => {}) : this.#storage.commit(patches)) };
    const platform = {
      WebSocket: Socket,
      random: () => DICE,
      setTimeout: (run, ms) => {
        const timer = isDead ? undefined : setTimeout(run, ms);
        timers.add(timer);
        return timer;
      },
      fetch: async (...call) => {
        if (isDead) return new Promise(() => {});
        const answer = await fetch(...call);
        if (this.isUnlucky()) throw new Error('the answer got lost');
        return isDead ? new Promise(() => {}) : answer;
      },
    };
    this.client = new RyzeRealtimeClient(this.#given.url, { ...this.#given.options, storage, platform });
    this.client.on('error', ({ code, edit }) => code === 'rejected' && this.rejected.add(edit.data.id));
    this.#sockets = sockets;
    this.#kill = () => {
      isDead = true;
      timers.forEach((timer) => clearTimeout(timer));
      this.breakLine();
    };
  }

  /** The line breaks, and the app learns of it late. */
  breakLine() {
    this.#sockets.forEach((socket) => socket.terminate());
    this.#sockets.clear();
  }

  /** The system ends the app between two steps and starts it anew. */
  killAndStart() {
    this.#kill();
    this.start();
  }
}
