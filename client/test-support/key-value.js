// What React Native's AsyncStorage is to the client, and writes that fail when a test says so.

export class KeyValueStore {
  entries = new Map();
  writesLeft = Infinity;

  async getAllKeys() {
    return [...this.entries.keys()].reverse();
  }

  async getItem(key) {
    return this.entries.get(key) ?? null;
  }

  async setItem(key, value) {
    this.#write();
    // As text in UTF-8, as the phone's database has it.
    this.entries.set(key, new TextDecoder().decode(new TextEncoder().encode(value)));
  }

  async removeItem(key) {
    this.#write();
    this.entries.delete(key);
  }

  #write() {
    if (this.writesLeft <= 0) throw new Error('disk full');
    this.writesLeft -= 1;
  }
}
