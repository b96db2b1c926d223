// What tabs of one browser share: locks and channels.

export class Browser {
  #held = new Map();
  #channels = new Set();
  /** Locks are asked for, and answered once this is over. */
  answering = Promise.resolve();

  /** The platform of one tab, and how it is killed. */
  tab() {
    const mine = [];
    let isDead = false;
    let isFrozen = null;
    /** What happens to a frozen tab happens once it thaws. */
    const later = (happens) => (isFrozen ? isFrozen.then(happens) : queueMicrotask(happens));
    let thaw;
    const freeze = () => (isFrozen = new Promise((resolve) => (thaw = () => ((isFrozen = null), resolve()))));
    const browser = this;
    const channel = (name) => {
      const self = {
        name,
        onmessage: null,
        hear: (data) => later(() => self.onmessage?.({ data })),
        close: () => browser.#channels.delete(self),
        postMessage: (data) => {
          if (isDead) return;
          const copy = structuredClone(data);
          for (const other of browser.#channels) if (other !== self && other.name === name) other.hear(copy);
        },
      };
      browser.#channels.add(self);
      mine.push(() => browser.#channels.delete(self));
      return self;
    };
    const request = async (name, { ifAvailable, steal, signal }, run) => {
      await browser.answering;
      if (isFrozen) await isFrozen;
      const line = browser.#held.get(name) ?? [];
      if (isDead || signal?.aborted || (ifAvailable && line.length)) return isDead ? undefined : run(null);
      return new Promise((resolve, reject) => {
        const wish = { run: () => Promise.resolve(run({ name })).then((value) => (release(), resolve(value))), lost: () => later(() => reject(new Error('AbortError'))) };
        const release = () => browser.#release(name, wish);
        const abort = () => (release(), reject(new Error('aborted')));
        signal?.addEventListener('abort', abort);
        mine.push(release);
        if (steal && line.length) line[0].lost();
        browser.#held.set(name, steal ? [wish, ...line.slice(1)] : [...line, wish]);
        if (steal || !line.length) wish.run();
      });
    };
    const kill = () => {
      isDead = true;
      mine.forEach((end) => end());
    };
    return { platform: { locks: { request }, channel }, kill, freeze, thaw: () => thaw() };
  }

  #release(name, wish) {
    const line = this.#held.get(name);
    if (!line.includes(wish)) return;
    const left = line.filter((other) => other !== wish);
    this.#held.set(name, left);
    if (line[0] === wish && left[0]) queueMicrotask(() => left[0].run());
  }
}
