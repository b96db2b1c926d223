// Pages in Chromium with the client in them, and what befalls them: freezing, killing, a full disk, handles that are lost.
// `CHROMIUM` names the browser, else /usr/bin/chromium; `RYZED_CLIENT` another build of the client.

import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const PATIENCE_MS = 60_000;
const FLAGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync'];
const built = (name) => readFileSync(fileURLToPath(new URL(`../${name}`, import.meta.url)));
export const RELEASED = built('test-support/releases/0.1.0.js');
/** What the client loads later, by its path. */
export const BESIDE = Object.fromEntries(['/client-online.js', '/client-more.js', '/client-query.js', '/client-lazy.js', '/client-inspector.js'].map((file) => [file, built(`dist${file}`)]));
export const CURRENT = process.env.RYZED_CLIENT ? readFileSync(process.env.RYZED_CLIENT) : built('dist/client.js');

/** Answers with files by their path; a path that ends in `.js` is a script, others are pages. */
export async function served(files) {
  const server = createServer(({ url }, answer) => {
    const path = url.split('?')[0];
    const file = files[path] ?? BESIDE[path];
    // A sandboxed frame is of no origin.
    answer.setHeader('access-control-allow-origin', '*');
    answer.setHeader('content-type', path.endsWith('.js') ? 'text/javascript' : 'text/html');
    answer.end(file ?? '<!doctype html><title>test</title>');
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${server.address().port}`, close: () => server.close() };
}

export const launch = () => chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: FLAGS });

/** A browser of its own, as if it were the first time. */
export async function fresh(browser) {
  const context = await browser.newContext();
  context.setDefaultTimeout(PATIENCE_MS);
  return context;
}

/** A tab with the client in it as `client`. */
export async function tab(context, at, url, options, script = '/client.js') {
  const page = await context.newPage();
  page.faults = [];
  page.on('pageerror', (fault) => page.faults.push(fault.message));
  await page.goto(`${at}/`);
  await load(page, url, options, script);
  return page;
}

export const load = (page, url, options, script = '/client.js') => page.evaluate(async (given) => {
  const { RyzeRealtimeClient } = await import(given.script);
  const { token, ...rest } = typeof given.options === 'string' ? { token: given.options } : given.options;
  window.told = [];
  window.client = new RyzeRealtimeClient(given.url, { token, ...rest });
  client.on('error', ({ code, message }) => told.push(`${code}: ${message}`));
}, { url, options, script });

/** Ends a tab as the system does when memory runs out: without a word. */
export async function kill(page) {
  const gone = page.waitForEvent('crash');
  const session = await page.context().newCDPSession(page);
  session.send('Page.crash').catch(() => {});
  await gone;
  await page.close();
}

/** Freezes a tab as the browser does with those that nobody looks at; answers with how it thaws. */
export async function freeze(page) {
  const session = await page.context().newCDPSession(page);
  // Playwright has every page believe that somebody looks at it.
  await session.send('Emulation.setFocusEmulationEnabled', { enabled: false });
  await session.send('Page.setWebLifecycleState', { state: 'frozen' });
  return async () => {
    await session.send('Page.setWebLifecycleState', { state: 'active' });
    await session.detach();
  };
}

/** Waits in the page for as long as it may take, and answers with what came of it. */
export const ends = (page, run, given, ms = 30_000) => page.evaluate(async ([text, what, wait]) => {
  const late = new Promise((resolve) => setTimeout(() => resolve('never ends'), wait));
  const ran = (0, eval)(`(${text})`)(what);
  return Promise.race([ran.catch((fault) => `fails: ${fault.message}`), late]);
}, [String(run), given, ms]);

export const rowsOf = (page, table = 'food_entries') => page.evaluate((name) => client.table(name).all(), table);
export const isLive = (page) => page.waitForFunction(() => client.status.value.state === 'live' && client.pending.value === 0);
