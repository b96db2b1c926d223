// What tabs of one browser share: locks and channels.

export class Browser {
  #held = new Map();
  #channels = new Set();

  /** The platform of one tab, and how it is killed. */
  tab() {
    const mine = [];
    let isDead = false;
    const browser = this;
    const channel = (name) => {
      const self = {
        name,
        onmessage: null,
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
    const request = (name, { ifAvailable }, run) => {
      const line = browser.#held.get(name) ?? [];
      if (ifAvailable && line.length) return run(null);
      const wish = { run };
      browser.#held.set(name, [...line, wish]);
      mine.push(() => browser.#release(name, wish));
      if (!line.length) run({ name });
    };
    const kill = () => {
      isDead = true;
      mine.forEach((end) => end());
    };
    return { platform: { locks: { request }, channel }, kill };
  }

  #release(name, wish) {
    const [first, ...rest] = this.#held.get(name);
    const left = first === wish ? rest : [first, ...rest.filter((other) => other !== wish)];
    this.#held.set(name, left);
    if (first === wish && left[0]) queueMicrotask(() => left[0].run({ name }));
  }
}
