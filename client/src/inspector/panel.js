// A panel on any page: what waits, why, and how to go on. It has a tree and a style of its own, and takes the page's colours for light and dark.

/** @import { Diagnosis } from '../types.js' */
/** @typedef {import('../index.js').RyzeRealtimeClient<any, any>} Client */

/** Changes that come together are shown together. */
const SHOW_MS = 100;
/** Looks again by itself, since time passes too. */
const LOOK_MS = 5000;
const SURE_MS = 4000;

const STYLE = `
:host { all: initial; }
section { color-scheme: light dark; position: fixed; z-index: 2147483647; inset: auto 0 0 auto; box-sizing: border-box; width: min(36rem, 100vw); max-height: min(80vh, 44rem); overflow: auto;
  padding: 1rem; font: 14px/1.45 system-ui, sans-serif; color: CanvasText; background: Canvas; border: 1px solid GrayText; border-radius: 8px 0 0 0; overflow-wrap: anywhere; }
header { display: flex; gap: .5rem; align-items: center; flex-wrap: wrap; }
h2 { font-size: 1.1em; margin: 0; flex: 1; } h3 { font-size: 1em; margin: 1rem 0 .25rem; }
p { margin: .25rem 0; } ul { margin: 0; padding-left: 1.2rem; } li { margin: .25rem 0; }
button { font: inherit; min-height: 2rem; padding: 0 .6rem; cursor: pointer; } button:focus-visible { outline: 3px solid Highlight; outline-offset: 1px; }
code { font: .95em ui-monospace, monospace; } small { opacity: .85; }
[role=status] { min-height: 1.4em; }
`;

/** Opens the panel, or the one that is open for this client. @param {Client} client @param {{within?: HTMLElement}} [how] @returns {{close: () => void}} */
export function open(client, { within = document.body } = {}) {
  const before = panels.get(client);
  if (before) return before.focus(), before;
  const panel = draw(client, within, () => panels.delete(client));
  panels.set(client, panel);
  return panel;
}

/** @type {Map<Client, {close: () => void, focus: () => void}>} */
const panels = new Map();

/** @param {Client} client @param {HTMLElement} within @param {() => void} closed */
function draw(client, within, closed) {
  const host = document.createElement('div');
  const root = host.attachShadow({ mode: 'open' });
  style(root);
  const said = element('p', { role: 'status' });
  const say = (/** @type {string} */ text) => (said.textContent = text);
  const [summary, advice, waiting, refused, exchanges] = ['div', 'div', 'div', 'div', 'div'].map((name) => element(name));
  const title = element('h2', { id: 'title', tabindex: '-1' }, 'What this device has to send');
  let text = '';
  const frame = element('section', { role: 'dialog', 'aria-labelledby': 'title' },
    element('header', {}, title,
      button('Connect', () => does(say, client.connect(), (isLive) => (isLive ? 'Connected.' : 'Not connected yet; it goes on trying.'))),
      button('Copy report', () => does(say, copied(text, root), () => 'Copied. It holds no token and nothing of what rows contain.')),
      button('Close', () => close())),
    said, summary, advice, waiting, refused, exchanges);
  root.append(frame);
  within.append(host);
  const focused = document.activeElement;
  title.focus();

  let isOver = false;
  /** @type {any} */
  let timer;
  const look = async () => {
    clearTimeout(timer);
    const found = await client.diagnose().catch((/** @type {Error} */ { message }) => void say(`It can’t be told: ${message}`));
    if (isOver) return;
    if (found) {
      text = found.text;
      show(found);
    }
    timer = setTimeout(look, LOOK_MS);
  };
  const soon = () => {
    if (isOver) return;
    clearTimeout(timer);
    timer = setTimeout(look, SHOW_MS);
  };
  const show = (/** @type {Diagnosis} */ found) => {
    const had = root.activeElement;
    fill(summary, summaryOf(found));
    fill(advice, [element('h3', {}, 'How to go on'), list(found.advice)]);
    const more = found.waiting - found.edits.length;
    fill(waiting, found.waiting ? [element('h3', {}, `Waiting: ${found.waiting}`), list([...found.edits.map((edit) => [nameOf(edit), element('br'), element('small', {}, edit.why)]), ...(more > 0 ? [`and ${more} more`] : [])])] : []);
    fill(refused, found.refused.length ? [element('h3', {}, `Refused: ${found.refused.length}`), list(found.refused.map((edit) => refusedOf(edit, client, say)))] : []);
    fill(exchanges, found.exchanges.length ? [element('h3', {}, 'Last exchanges'), list(found.exchanges.slice(-10).reverse().map(({ at, call, ms, sent, got, fault }) => [element('code', {}, `${at.slice(11, 19)} ${call}`), ` ${ms} ms${sent ? `, ${sent} sent` : ''}${got ? `, ${got} received` : ''}${fault ? `, failed: ${fault}` : ''}`]))] : []);
    // Who was on a button that is gone goes on from the top.
    if (had && !root.activeElement) title.focus();
  };
  const stops = [client.status, client.pending, client.refused].map((watched) => /** @type {any} */ (watched).subscribe(soon));
  root.addEventListener('keydown', (event) => {
    if (/** @type {KeyboardEvent} */ (event).key === 'Escape') close();
  });
  look();

  function close() {
    if (isOver) return;
    isOver = true;
    clearTimeout(timer);
    stops.forEach((stop) => stop());
    host.remove();
    closed();
    /** @type {HTMLElement | null} */ (focused)?.focus?.();
  }
  return { close, focus: () => title.focus() };
}

/** @param {Diagnosis} found */
function summaryOf({ status: { state, why }, isLeader, disk, clock, deviceId, lastSync }) {
  return [
    element('p', {}, element('strong', {}, `Line: ${state}`), why ? ` – ${why}` : ''),
    element('p', {}, `Storage: ${disk.kind}, ${disk.works ? 'works' : 'does not work'}. ${isLeader ? 'This tab has the line.' : 'Another tab has the line.'}`),
    element('p', {}, element('small', {}, `Device ${deviceId}, last synced ${lastSync ?? 'never'}${clock ? `, clock ${clock.aheadMs} ms ahead` : ''}`)),
  ];
}

/** @param {Diagnosis['edits'][0] | Diagnosis['refused'][0]} edit */
const nameOf = ({ operation, table, id, fields }) => element('code', {}, `${operation} ${table} ${id}${fields.length ? ` (${fields.join(', ')})` : ''}`);

/** @param {Diagnosis['refused'][0]} edit @param {Client} client @param {(text: string) => void} say */
function refusedOf(edit, client, say) {
  const name = `${edit.operation} ${edit.table}`;
  const discard = button('Discard', () => {
    if (discard.dataset.sure) return does(say, client.refused.discard(edit.mutation_id), () => 'Discarded.');
    discard.dataset.sure = 'yes';
    discard.textContent = 'Discard for good?';
    setTimeout(() => {
      delete discard.dataset.sure;
      discard.textContent = 'Discard';
    }, SURE_MS);
  });
  const again = button('Try again', () => does(say, client.refused.retry(edit.mutation_id), () => 'It goes out again.'));
  [again, discard].forEach((one) => one.setAttribute('aria-description', name));
  return [nameOf(edit), element('br'), edit.errors.map(({ field, message }) => `${field} ${message}`.trim()).join('; '), element('br'), again, ' ', discard];
}

/** @param {(text: string) => void} say @param {Promise<any>} doing @param {(done: any) => string} done */
const does = (say, doing, done) => void doing.then((value) => say(done(value)), ({ message }) => say(message));

/** @param {string} text @param {ShadowRoot} root */
async function copied(text, root) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Over plain HTTP, or where it is forbidden: as it was done before.
    const area = /** @type {HTMLTextAreaElement} */ (element('textarea', { 'aria-label': 'The report' }));
    area.value = text;
    root.querySelector('section')?.append(area);
    area.select();
    if (document.execCommand('copy')) area.remove();
    else throw new Error('Copy the text below.');
  }
}

/** A sheet made by script: a page's policy on styles does not forbid it. @param {ShadowRoot} root */
function style(root) {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(STYLE);
  root.adoptedStyleSheets = [sheet];
}

/** Draws anew only what is another text, so that who is on a button stays there. @param {Element} place @param {(Node | string)[]} parts */
function fill(place, parts) {
  const made = element('div', {}, ...parts);
  if (made.textContent?.replace(/ for good\?/g, '') === place.textContent?.replace(/ for good\?/g, '')) return;
  place.replaceChildren(...made.childNodes);
}

/** @param {(string | (Node | string)[])[]} items */
const list = (items) => element('ul', {}, ...items.map((item) => element('li', {}, ...[item].flat())));

/** @param {string} text @param {() => void} run */
function button(text, run) {
  const made = element('button', { type: 'button' }, text);
  made.addEventListener('click', run);
  return made;
}

/** @param {string} name @param {Record<string, string>} [given] @param {(Node | string)[]} parts */
function element(name, given = {}, ...parts) {
  const made = document.createElement(name);
  Object.entries(given).forEach(([key, value]) => made.setAttribute(key, value));
  made.append(...parts);
  return made;
}
