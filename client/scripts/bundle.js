// Makes what browsers load from the source: `dist/client.js`, and `dist/client-more.js`, which it loads when it needs it.

import { build } from 'esbuild';
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { minify } from 'terser';

const path = (name) => fileURLToPath(new URL(`../${name}`, import.meta.url));
/** File → the module it begins with. */
export const FILES = { 'client.js': 'src/index.js', 'client-more.js': 'src/more.js' };
/** Names that stay within one file: neither the app's, nor the server's, nor another tab's, nor in storage. */
const INTERNAL = /^(keeper|dispatch|canAsk|isShared|isForeign|isResting|isRefusal|isRedirect|admit|replay|collided|isCurrent|seeAll|snapshot|yields|depose|fenced|storing|renew|cancel|effects|heard|isElsewhere|isQueued|worst|address|attempt|refusal|passes|consider|unstored|isLast|staged|behind|held|aside|follow|leads|leave|tell|ask|rest|lost|lead|begin|line|isFromServer|settle|failed|learn|drop|look|isOurs)$/;
/** A module that is loaded later is a file beside it. */
const later = { name: 'later', setup: (making) => making.onResolve({ filter: /./ }, ({ kind, path: module }) =>
  (kind === 'dynamic-import' ? { path: module.replace('./', './client-'), external: true } : undefined)) };

/** @returns {Promise<string>} The file's text, as small as it gets */
export async function bundled(entry) {
  const { outputFiles: [{ text }] } = await build({ entryPoints: [path(entry)], bundle: true, format: 'esm', target: 'es2022', minify: true, write: false, plugins: [later] });
  const { code } = await minify(text, { module: true, ecma: 2022, compress: { passes: 3, unsafe_arrows: true, pure_getters: true }, mangle: { module: true, properties: { regex: INTERNAL } } });
  return `${code}\n`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const [file, entry] of Object.entries(FILES)) writeFileSync(path(`dist/${file}`), await bundled(entry));
}
