// What need not be done at once.

/** Runs soon, behind what has arrived already. Not a timer where that can be: those of hidden pages sleep. @param {() => void} run */
export function soon(run) {
  const { setImmediate, MessageChannel } = /** @type {any} */ (globalThis);
  if (setImmediate || !MessageChannel) return (setImmediate ?? setTimeout)(run);
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = () => (port1.close(), run());
  port2.postMessage(0);
}
