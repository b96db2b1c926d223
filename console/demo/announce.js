// What screen readers are told aloud. One place for the whole page: several devices that learn the same say it once, and what is
// said at the same moment is said together.

const SAME_MS = 1500;
let last = { text: '', at: 0 };
let waiting = [];

export function announce(text) {
  const now = performance.now();
  if (text === last.text && now - last.at < SAME_MS) return;
  last = { text, at: now };
  waiting.push(text);
  if (waiting.length > 1) return;
  const live = document.getElementById('live');
  // Emptied first, so that the same words are told again.
  live.textContent = '';
  requestAnimationFrame(() => {
    live.textContent = waiting.join(' ');
    waiting = [];
  });
}
