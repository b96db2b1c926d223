// The real daemon for tests: in a folder of its own, on a free port, and gone afterwards.

import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const START_MS = 20_000;

export class Daemon {
  #binary = process.env.RYZED_BIN || fileURLToPath(new URL('../../target/debug/ryzed', import.meta.url));
  #folder = mkdtempSync(join(tmpdir(), 'ryzed-client-'));
  #child = null;

  static async start() {
    const daemon = new Daemon();
    if (!existsSync(daemon.#binary)) throw new Error(`There is no daemon at ${daemon.#binary}: build it, or name it in RYZED_BIN.`);
    daemon.port = await freePort();
    daemon.url = `http://127.0.0.1:${daemon.port}`;
    await daemon.up();
    return daemon;
  }

  async up() {
    const flags = ['serve', '--data-dir', this.#folder, '--listen', `127.0.0.1:${this.port}`, '--log-level', 'error'];
    this.#child = spawn(this.#binary, flags, { stdio: ['ignore', 'ignore', 'inherit'], cwd: this.#folder });
    const since = Date.now();
    for (;;) {
      if (await fetch(`${this.url}/readyz`).then(({ ok }) => ok, () => false)) return;
      if (this.#child.exitCode !== null || Date.now() - since > START_MS) throw new Error('The daemon did not start.');
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** As a power cut would end it. */
  async kill() {
    const ended = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill('SIGKILL');
    await ended;
  }

  async end() {
    if (this.#child.exitCode === null && this.#child.signalCode === null) await this.kill();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  token(user, ...flags) {
    return execFileSync(this.#binary, ['token', '--data-dir', this.#folder, '--user', user, ...flags], { cwd: this.#folder, encoding: 'utf8' }).trim();
  }

  /** Makes the database one that was restored from a backup: the daemon begins a new life of it when it starts. */
  restored() {
    rmSync(join(this.#folder, 'ryzed.db.life'));
  }

  /** Writes beside the daemon. @returns {string} What sqlite3 printed */
  sql(statement) {
    return execFileSync('sqlite3', ['-cmd', '.timeout 10000', join(this.#folder, 'ryzed.db'), statement], { encoding: 'utf8' });
  }

  async get(path, token) {
    const answer = await fetch(`${this.url}/api/realtime${path}`, { headers: { authorization: `Bearer ${token}` } });
    return answer.json();
  }

  /** All that the daemon holds for a person: table → id → row. */
  async rows(token) {
    const held = {};
    for (let page = { has_more: true }; page.has_more; ) {
      const { epoch, ...parts } = page.cursor ?? {};
      const cursor = epoch ? [epoch, ...Object.entries(parts).map(([part, version]) => `${part}:${version}`)].join() : '';
      page = await this.get(`/changes?cursor=${cursor}`, token);
      for (const [table, rows] of Object.entries(page.changes)) for (const row of rows) (held[table] ??= {})[row.id] = row;
    }
    return held;
  }
}

function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}
