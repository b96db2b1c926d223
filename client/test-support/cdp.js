// Pages driven by the DevTools protocol alone: Playwright has every page believe that somebody looks at it, and a page
// that is looked at can't be frozen.

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import WebSocket from 'ws';

const FLAGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--remote-debugging-port=0'];

export class Chromium {
  #folder = mkdtempSync(join(tmpdir(), 'ryzed-chromium-'));
  #child;
  #socket;
  #last = 0;
  #waiting = new Map();

  static async start() {
    const browser = new Chromium();
    browser.#child = spawn(process.env.CHROMIUM ?? '/usr/bin/chromium', [...FLAGS, `--user-data-dir=${browser.#folder}`, 'about:blank'], { stdio: ['ignore', 'ignore', 'pipe'], detached: true });
    const address = await new Promise((resolve, reject) => {
      let told = '';
      browser.#child.stderr.on('data', (text) => {
        told += text;
        const found = /ws:\/\/\S+/.exec(told);
        if (found) resolve(found[0]);
      });
      browser.#child.once('exit', () => reject(new Error(`Chromium did not start: ${told}`)));
    });
    browser.#socket = new WebSocket(address, { perMessageDeflate: false });
    await new Promise((resolve, reject) => browser.#socket.once('open', resolve).once('error', reject));
    browser.#socket.on('message', (text) => {
      const { id, result, error } = JSON.parse(text);
      const { resolve, reject } = browser.#waiting.get(id) ?? {};
      browser.#waiting.delete(id);
      if (error) reject?.(new Error(error.message));
      else resolve?.(result);
    });
    return browser;
  }

  send(method, params = {}, sessionId) {
    const id = ++this.#last;
    this.#socket.send(JSON.stringify({ id, method, params, sessionId }));
    return new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
  }

  /** A storage of its own, as if it were the first time. */
  async fresh() {
    return (await this.send('Target.createBrowserContext')).browserContextId;
  }

  async page(url, browserContextId) {
    const { targetId } = await this.send('Target.createTarget', { url, browserContextId, newWindow: true });
    const { sessionId } = await this.send('Target.attachToTarget', { targetId, flatten: true });
    const page = new Page(this, targetId, sessionId);
    await page.loaded();
    return page;
  }

  async close() {
    const gone = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#socket.terminate();
    // With its children, which write into the folder.
    process.kill(-this.#child.pid, 'SIGKILL');
    await gone;
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  }
}

class Page {
  #browser;
  #target;
  #session;

  constructor(browser, target, session) {
    this.#browser = browser;
    this.#target = target;
    this.#session = session;
  }

  #send(method, params) {
    return this.#browser.send(method, params, this.#session);
  }

  /** As Playwright's. */
  async evaluate(run, given) {
    const { result, exceptionDetails } = await this.#send('Runtime.evaluate', {
      expression: `(${run})(${JSON.stringify(given)})`, awaitPromise: true, returnByValue: true,
    });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  }

  async loaded() {
    while (!(await this.evaluate(() => document.readyState === 'complete' && location.href !== 'about:blank').catch(() => false))) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  async reload() {
    await this.evaluate(() => (window.isOld = true));
    await this.#send('Page.reload');
    while (await this.evaluate(() => window.isOld || document.readyState !== 'complete').catch(() => true)) await new Promise((resolve) => setTimeout(resolve, 20));
  }

  /** What the browser does to a page that nobody looks at: its script stands still. */
  async freeze() {
    await this.#send('Page.setWebLifecycleState', { state: 'frozen' });
  }

  async thaw() {
    await this.#send('Page.setWebLifecycleState', { state: 'active' });
  }

  /** What a debugger does, or a script that does not end. */
  async hang() {
    await this.#send('Debugger.enable');
    await this.#send('Debugger.pause');
    // It stops at the next statement.
    this.#send('Runtime.evaluate', { expression: '1' }).catch(() => {});
  }

  async goOn() {
    await this.#send('Debugger.resume');
    await this.#send('Debugger.disable');
  }

  async close() {
    await this.#browser.send('Target.closeTarget', { targetId: this.#target });
  }
}
