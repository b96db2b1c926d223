// `npm run bench`: one edit in a sorted, filtered 100,000 with a join → callback, in Chromium, beside TanStack DB and Dexie, in
// one run. The contestants take turns, so that a busy machine is as busy for all.

import { build } from 'esbuild';
import { fileURLToPath } from 'node:url';
import { launch, served } from '../test-support/pages.js';

const EDITS = 200;
const ROUNDS = 4;
const path = (name) => fileURLToPath(new URL(name, import.meta.url));
const { outputFiles } = await build({
  entryPoints: [path('./contestants.js')], bundle: true, format: 'esm', splitting: true, outdir: '/', target: 'es2022', write: false,
  alias: { 'ryzed-client': path('../src/index.js') }, define: { 'process.env.NODE_ENV': '"production"' },
});
const files = Object.fromEntries(outputFiles.map(({ path: file, contents }) => [file, Buffer.from(contents)]));
const pages = await served(files);
const browser = await launch();
const times = {};
try {
  const names = ['ryzed', 'tanstack', 'dexie'];
  const tabs = {};
  for (const name of names) {
    const context = await browser.newContext();
    context.setDefaultTimeout(180_000);
    tabs[name] = await context.newPage();
    await tabs[name].goto(`${pages.url}/`);
    await tabs[name].evaluate(async (which) => {
      window.edit = await (await import('/contestants.js'))[which]();
      for (let n = 0; n < 20; n++) await edit(n);
    }, name);
    times[name] = [];
  }
  for (let round = 0; round < ROUNDS; round++) {
    for (const name of names) {
      times[name].push(...await tabs[name].evaluate(async ([from, count]) => {
        const took = [];
        for (let n = from; n < from + count; n++) {
          const began = performance.now();
          await edit(n);
          took.push(performance.now() - began);
          await new Promise((resolve) => setTimeout(resolve, 2));
        }
        return took;
      }, [20 + (round * EDITS) / ROUNDS, EDITS / ROUNDS]));
    }
  }
} finally {
  await browser.close();
  pages.close();
}
for (const [name, took] of Object.entries(times)) {
  const sorted = took.sort((one, other) => one - other);
  const at = (share) => sorted[Math.floor((sorted.length - 1) * share)].toFixed(2);
  console.log(`${name.padEnd(9)} median ${at(0.5)} ms, p95 ${at(0.95)} ms, of ${sorted.length} edits`);
}
