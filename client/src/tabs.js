// One line a browser. Of all tabs with the same copy, the one that holds the lock leads: it has the line and the storage.
// The others follow: they hold a copy of its copy, and ask it to do what they can't. When it goes, or gives no sign of
// life, the next one leads. Storage takes nothing more from one that led before, should it wake up (`indexeddb.js`), and a tab
// believes only the leader whose copy it has: messages may come late.

import { attempt, uuid, within } from './platform.js';
import { Failure } from './server.js';

/** @import { Platform } from './types.js' */

/** The browser answers for a lock sooner, or never. */
const LOCK_MS = 3000;
/** While something is asked, how often a sign of life is looked for; a leader without one is not waited for a third time. */
const SIGN_MS = 1500;
/** Else. */
const LOOK_MS = 10_000;
/** How many looks a beat takes: as often as a leader beats itself. */
const BEAT_LOOKS = 3;

/**
 * @typedef {object} Tab
 * @property {(task: string, given: any[], sub?: string) => Promise<any>} run Does a task, as the leader, for that person
 * @property {(sub?: string) => boolean} yields Gives up leading if another tab should, for that person
 * @property {() => any} snapshot What a follower begins with
 * @property {(message: any, isOurs: boolean) => void} follow Takes what a leader tells: the one whose copy this tab has, or another one
 * @property {() => string | undefined} life Names the copy
 * @property {() => Promise<void>} lead Takes over
 * @property {() => void} rest Leads no more
 * @property {() => void} lost The tab that leads gives no sign of life
 */

export class Tabs {
  leads = false;
  /** The same in all tabs with one copy; may be set until `join`. */
  name;
  #begun = false;
  /** Whether the lock is this tab's, also while it takes over. */
  #holds = false;
  /** Counts what was wished of the lock: what an earlier wish brings is none of ours any more. */
  #turn = 0;
  #isFollowed = false;
  /** Whether this tab has a leader's copy, and knows of no later leader; else it asks nobody yet. */
  #isFollowing = false;
  /** The leader whose copy it has. Those of releases that don't name it are one. @type {string | undefined} */
  #leader = '';
  /** Whether a tab of a release follows that takes whole queues only. */
  #isPlain = false;
  #platform;
  #tab;
  #id = uuid();
  /** @type {BroadcastChannel | undefined} */
  #channel;
  /** Gives the lock back. */
  #release = (/** @type {unknown} */ _after) => {};
  /** Ends the wish for it. @type {AbortController | undefined} */
  #wish;
  /** Signs of life since the last look, and looks without one. */
  #signs = 0;
  #misses = 0;
  #looks = 0;
  /** @type {any} */
  #timer;
  /** Tasks that the leader is asked to do. @type {Map<string, {task: string, given: any[], sub?: string, resolve: (value: any) => void, reject: (fault: Error) => void}>} */
  #asked = new Map();

  /** @param {Platform} platform @param {string} name @param {Tab} tab */
  constructor(platform, name, tab) {
    this.#platform = platform;
    this.name = name;
    // Whoever follows goes on at once.
    platform.freezes?.(() => this.#isFollowed && this.depose());
    this.#tab = tab;
  }

  /** Finds out whether this tab leads. Where there are no tabs, or no locks, or none are answered for, it is alone and does. */
  async join() {
    const { locks, channel } = this.#platform;
    const leads = !locks || !channel ? null
      : await within(this.#platform, LOCK_MS, this.#take({ ifAvailable: true })).catch(() => null);
    this.leads = this.#holds = leads !== false;
    // Only now: before, it could take itself for the leader, or for none.
    this.#channel = leads === null ? undefined : attempt(() => channel?.(this.name));
    if (!this.#channel) return;
    this.#channel.onmessage = ({ data }) => this.#hear(data);
    if (!this.leads) this.#queue();
  }

  /** Once the tab is ready: the leader says so, a follower asks for the copy. */
  begin() {
    this.#begun = true;
    this.tell({ type: this.leads ? 'lead' : 'hello', from: this.#id, takes: 'changes' });
    if (!this.leads) this.#look();
  }

  /** Lets another tab lead, until `join`. @param {Promise<unknown>} stored What this one still does */
  leave(stored) {
    this.#turn++;
    this.leads = this.#begun = this.#holds = this.#isFollowed = this.#isFollowing = this.#isPlain = false;
    this.#platform.clearTimeout(this.#timer);
    this.#channel?.close();
    this.#channel = undefined;
    this.#wish?.abort();
    this.#release(stored);
    this.#asked.forEach(({ reject }) => reject(new Error('The copy was dropped.')));
    this.#asked.clear();
  }

  /** Another tab has taken over while this one slept: it follows. */
  depose() {
    if (!this.#holds) return;
    this.#turn++;
    this.leads = this.#holds = this.#isFollowed = this.#isFollowing = this.#isPlain = false;
    this.#misses = this.#signs = 0;
    this.#release(undefined);
    this.#tab.rest();
    this.#queue();
    this.begin();
  }

  /** @param {any} message To all other tabs */
  tell(message) {
    // A first download is costly to copy for nobody. Who follows has said so, and says so again to a new leader.
    if (this.leads && !this.#isFollowed && message.type !== 'lead') return;
    const { whole, ...told } = { ...message, by: this.#by, life: this.#tab.life() };
    this.#channel?.postMessage(whole && this.#isPlain ? { ...told, patch: whole } : told);
  }

  /** Names this time of leading. */
  get #by() {
    return this.#id + this.#turn;
  }

  /** @param {{task: string, given: any[], sub?: string}} asked @param {string} id */
  #send({ task, given, sub }, id) {
    this.tell({ type: 'ask', id, task, given, sub, of: this.#leader });
  }

  /** Has the leader do something. @param {string} task @param {any[]} given @param {string} [sub] For whom @returns {Promise<any>} */
  ask(task, given, sub) {
    const id = uuid();
    return new Promise((resolve, reject) => {
      const asked = { task, given, sub, resolve, reject };
      // First, since it may fail: then it was not asked.
      if (this.#isFollowing) this.#send(asked, id);
      this.#asked.set(id, asked);
      this.#look();
    });
  }

  /** Looks after the leader from now on. */
  #look() {
    if (this.leads) return;
    const { clearTimeout, setTimeout } = this.#platform;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      if (this.leads || !this.#begun) return;
      this.#misses = this.#signs ? 0 : this.#misses + 1;
      this.#signs = 0;
      if (this.#misses > 1) return void this.#steal();
      const isBeat = !this.#asked.size && ++this.#looks % BEAT_LOOKS === 0;
      // Nobody's: it makes no claim to the copy. Releases that don't know it say so, which is a sign too.
      this.tell({ type: 'ask', id: this.#id, task: isBeat ? 'beat' : 'here', given: [] });
      this.#look();
    }, this.#asked.size || this.#misses ? SIGN_MS : LOOK_MS);
  }

  /** @param {any} message */
  async #hear(message) {
    const { type, id, by, to } = message;
    if (/^(ask|hello)$/.test(type) && !(this.leads && this.#begun)) {
      // It has nothing to show yet, and it will say when it has; but it is no dead one, unless it is frozen.
      if (this.#holds) this.#platform.lives?.(() => this.#channel?.postMessage({ type: 'here' }));
      return;
    }
    if (this.leads) {
      // Another one has the lock by now, whether or not this one was told.
      if (/^lead/.test(type)) return this.depose();
      if (type === 'hello') {
        this.#isFollowed = true;
        this.#isPlain ||= !message.takes;
        this.tell({ to: message.from, ...this.#tab.snapshot() });
      }
      // Whoever leads next is asked again.
      const { task, given, sub, of } = message;
      if (type !== 'ask' || (of && of !== this.#by) || this.#tab.yields(sub)) return;
      this.#tab.run(task, given, sub).then(
        (value) => this.tell({ type: 'answer', id, value }),
        ({ message: text, status, errors }) => this.leads && this.tell({ type: 'answer', id, fault: { text, status, errors } }),
      );
      return;
    }
    this.#signs++;
    if (type === 'lead') {
      this.#isFollowing = false;
      this.begin();
    } else if (type === 'answer') {
      const { resolve, reject } = this.#asked.get(id) ?? {};
      this.#asked.delete(id);
      if (message.fault) reject?.(new Failure(message.fault.text, { ...message.fault, loss: { code: 1006 } }));
      else resolve?.(message.value);
    } else if (to ? to === this.#id : this.#isFollowing || by === this.#leader) {
      // The one before may have gone without an answer. What it knew comes first.
      const asked = new Map(to && !this.#isFollowing ? this.#asked : []);
      if (to) [this.#isFollowing, this.#leader] = [true, by];
      this.#tab.follow(message, by === this.#leader);
      asked.forEach((one, its) => this.#send(one, its));
    }
  }

  /** Waits for its turn. */
  #queue() {
    this.#wish = new AbortController();
    const turn = ++this.#turn;
    this.#take({ signal: this.#wish.signal }).then(() => this.#succeed(turn), () => {});
  }

  /** Takes the lock from a leader that is frozen or hangs. */
  #steal() {
    this.#wish?.abort();
    this.#tab.lost();
    const turn = ++this.#turn;
    this.#take({ steal: true }).then(() => this.#succeed(turn), () => {
      if (turn !== this.#turn) return;
      this.#misses = 0;
      this.#queue();
      this.#look();
    });
  }

  /** @param {number} turn */
  async #succeed(turn) {
    if (turn !== this.#turn) return;
    this.#holds = true;
    // A sign for the others.
    this.tell({ type: 'leading' });
    await this.#tab.lead();
    if (turn !== this.#turn) return;
    this.leads = true;
    this.begin();
    for (const { task, given, sub, resolve, reject } of this.#asked.values()) this.#tab.run(task, given, sub).then(resolve, reject);
    this.#asked.clear();
  }

  /** @param {LockOptions} options @returns {Promise<boolean>} */
  #take(options) {
    let isHeld = false;
    const turn = this.#turn;
    // Held until then, or until the tab ends; the browser gives it to the next.
    const held = new Promise((resolve) => (this.#release = resolve));
    return new Promise((resolve, reject) => {
      const asking = this.#platform.locks?.request(this.name, options, (lock) => {
        isHeld = Boolean(lock);
        resolve(isHeld);
        return lock ? held : undefined;
      });
      // It fails when it is not to be had, and when it is taken away.
      Promise.resolve(asking).catch((fault) => {
        reject(fault);
        if (isHeld && turn === this.#turn) this.depose();
      });
    });
  }
}
