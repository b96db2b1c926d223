// An example of the README as an app would have it: bundled for a browser, drawn into a document.

import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { compile } from 'svelte/compiler';

const path = (name) => fileURLToPath(new URL(`../${name}`, import.meta.url));
let count = 0;

/** The blocks of code under a heading. @param {string} heading @param {string} [language] */
export function blocks(heading, language = 'js') {
  const section = readFileSync(path('README.md'), 'utf8').split(/^#+ (?=.+$)/m).find((text) => text.startsWith(`${heading}\n`));
  return [...section.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)\`\`\``, 'gm'))].map(([, text]) => text);
}

/** The exports of a module, made for a browser or a server. `components`: Svelte's, by their path as it is imported. */
export async function made(text, { isServer = false, components = {} } = {}) {
  const svelte = { name: 'svelte', setup: (making) => {
    making.onResolve({ filter: /\.svelte$/ }, ({ path: module }) => ({ path: module, namespace: 'svelte' }));
    making.onLoad({ filter: /./, namespace: 'svelte' }, ({ path: module }) => ({
      contents: compile(components[module], { generate: isServer ? 'server' : 'client', filename: module, dev: !isServer }).js.code, resolveDir: path('.'),
    }));
  } };
  // The package by its own name, as an app has it.
  const { outputFiles: [{ text: code }] } = await build({
    stdin: { contents: text, resolveDir: path('.') }, bundle: true, format: 'esm', write: false, plugins: [svelte], platform: isServer ? 'node' : 'browser',
    conditions: isServer ? ['node'] : ['browser', 'development'], define: { 'process.env.NODE_ENV': '"development"', __VUE_OPTIONS_API__: 'false', __VUE_PROD_DEVTOOLS__: 'false', __VUE_PROD_HYDRATION_MISMATCH_DETAILS__: 'true' },
    ...(isServer && { banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" } }), logLevel: 'error',
  });
  const file = join(tmpdir(), `ryzed-made-${process.pid}-${++count}.mjs`);
  writeFileSync(file, code);
  try {
    return await import(file);
  } finally {
    rmSync(file);
  }
}
