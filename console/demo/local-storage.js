// What this browser keeps for the page itself: settings and ids. The devices' rows are kept by the client.

/** The kept text, or null: also where the browser forbids storage. `area` is localStorage or sessionStorage. */
export function read(area, key) {
  try {
    return globalThis[area].getItem(key);
  } catch {
    return null;
  }
}

/** Keeps a text; false where the browser forbids storage or has none left. */
export function write(area, key, text) {
  try {
    globalThis[area].setItem(key, text);
    return true;
  } catch {
    return false;
  }
}
