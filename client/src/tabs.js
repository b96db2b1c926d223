// One line a browser. Of all tabs with the same copy, the one that holds the lock leads: it has the line and the storage.
// The others follow: they hold a copy of its copy, and ask it to do what they can't. When it goes, the next one leads.

import { uuid } from './platform.js';
import { Failure } from './server.js';

/** @import { Platform } from './types.js' */

/**
 * @typedef {object} Tab
 * @property {(task: string, given: any[], sub?: string) => Promise<any>} run Does a task, as the leader, for that person
 * @property {(sub?: string) => boolean} yields Gives up leading if another tab should, for that person
 * @property {() => any} snapshot What a follower begins with
 * @property {(message: any) => void} follow Takes what the leader tells
 * @property {() => Promise<void>} lead Takes over
 */

export class Tabs {
  leads = false;
  #begun = false;
  #isFollowed = false;
  #platform;
  #name;
  #tab;
  #id = uuid();
  /** @type {BroadcastChannel | undefined} */
  #channel;
  /** Gives the lock back, or the wish for it. */
  #release = (/** @type {unknown} */ _after) => {};
  /** Tasks that the leader was asked to do. @type {Map<string, {task: string, given: any[], sub?: string, resolve: (value: any) => void, reject: (fault: Error) => void}>} */
  #asked = new Map();

  /** @param {Platform} platform @param {string} name The same in all tabs with one copy @param {Tab} tab */
  constructor(platform, name, tab) {
    this.#platform = platform;
    this.#name = name;
    this.#tab = tab;
  }

  /** Finds out whether this tab leads. Where there are no tabs, or no locks, it is alone and does. */
  async join() {
    const { locks, channel } = this.#platform;
    this.leads = !locks || !channel || await this.#take({ ifAvailable: true });
    if (!locks || !channel) return;
    // Only now: before, it could take itself for the leader, or for none.
    this.#channel = channel(this.#name);
    this.#channel.onmessage = ({ data }) => this.#hear(data);
    const joined = this.#channel;
    if (!this.leads) this.#take({}).then(() => void (joined === this.#channel && this.#succeed()));
  }

  /** Once the tab is ready: the leader says so, a follower asks for the copy. */
  begin() {
    this.#begun = true;
    this.tell({ type: this.leads ? 'lead' : 'hello', from: this.#id });
  }

  /** Lets another tab lead, until `join`. @param {Promise<void>} stored What this one still does */
  leave(stored) {
    this.leads = this.#begun = this.#isFollowed = false;
    this.#channel?.close();
    this.#channel = undefined;
    this.#release(stored);
    this.#asked.forEach(({ reject }) => reject(new Error('The copy was dropped.')));
    this.#asked.clear();
  }

  /** @param {any} message To all other tabs */
  tell(message) {
    // A first download is costly to copy for nobody. Who follows has said so, and says so again to a new leader.
    if (this.leads && !this.#isFollowed && message.type !== 'lead') return;
    this.#channel?.postMessage(message);
  }

  /** Has the leader do something. @param {string} task @param {any[]} given @param {string} [sub] For whom @returns {Promise<any>} */
  ask(task, given, sub) {
    const id = uuid();
    return new Promise((resolve, reject) => {
      // First, since it may fail: then it was not asked.
      this.tell({ type: 'ask', id, task, given, sub });
      this.#asked.set(id, { task, given, sub, resolve, reject });
    });
  }

  /** @param {any} message */
  async #hear(message) {
    const { type, id } = message;
    // Before, it has nothing to show, and it will say when it has.
    if (this.leads && !this.#begun) return;
    if (this.leads) {
      if (type === 'hello') {
        this.#isFollowed = true;
        this.tell({ to: message.from, ...this.#tab.snapshot() });
      }
      // Whoever leads next is asked again.
      if (type !== 'ask' || this.#tab.yields(message.sub)) return;
      const { task, given, sub } = message;
      this.#tab.run(task, given, sub).then(
        (value) => this.tell({ type: 'answer', id, value }),
        ({ message: text, status, errors }) => this.tell({ type: 'answer', id, fault: { text, status, errors } }),
      );
    } else if (type === 'lead') {
      this.begin();
      // The one before may have gone without an answer.
      this.#asked.forEach(({ task, given, sub }, asked) => this.tell({ type: 'ask', id: asked, task, given, sub }));
    } else if (type === 'answer') {
      const { resolve, reject } = this.#asked.get(id) ?? {};
      this.#asked.delete(id);
      if (message.fault) reject?.(new Failure(message.fault.text, { ...message.fault, loss: { code: 1006 } }));
      else resolve?.(message.value);
    } else if (!message.to || message.to === this.#id) this.#tab.follow(message);
  }

  async #succeed() {
    await this.#tab.lead();
    this.leads = true;
    this.begin();
    for (const { task, given, sub, resolve, reject } of this.#asked.values()) this.#tab.run(task, given, sub).then(resolve, reject);
    this.#asked.clear();
  }

  /** @param {LockOptions} options @returns {Promise<boolean>} */
  #take(options) {
    // Held until then, or until the tab ends; the browser gives it to the next.
    const held = new Promise((resolve) => (this.#release = resolve));
    return new Promise((resolve) => {
      this.#platform.locks?.request(this.#name, options, (lock) => {
        resolve(Boolean(lock));
        return lock ? held : undefined;
      });
    });
  }
}
