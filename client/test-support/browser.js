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
    const browser = this;
    const channel = (name) => {
      const self = {
        name,
        onmessage: null,
        close: () => browser.#channels.delete(self),
        postMessage: (data) => {
          if (isDead) return;
          const copy = structuredClone(data);
          for (const other of browser.#channels) if (other !== self && other.name === name) queueMicrotask(() => other.onmessage?.({ data: copy }));
        },
      };
      browser.#channels.add(self);
      mine.push(() => browser.#channels.delete(self));
      return self;
    };
    const request = async (name, { ifAvailable }, run) => {
      await browser.answering;
      const line = browser.#held.get(name) ?? [];
      if (isDead || (ifAvailable && line.length)) return isDead ? undefined : run(null);
      const release = () => browser.#release(name, wish);
      const wish = { run: () => Promise.resolve(run({ name })).then(release) };
      browser.#held.set(name, [...line, wish]);
      mine.push(release);
      if (!line.length) wish.run();
    };
    const kill = () => {
      isDead = true;
      mine.forEach((end) => end());
    };
    return { platform: { locks: { request }, channel }, kill };
  }

  #release(name, wish) {
    const line = this.#held.get(name);
    if (!line.includes(wish)) return;
    const left = line.filter((other) => other !== wish);
    this.#held.set(name, left);
    if (line[0] === wish && left[0]) queueMicrotask(() => left[0].run());
  }
}
