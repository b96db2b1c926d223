// Makes what browsers load from the source: `dist/client.js`. Other files of the client join it here.

import { buildSync } from 'esbuild';
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { minify } from 'terser';

const path = (name) => fileURLToPath(new URL(`../${name}`, import.meta.url));
/** File → the module it begins with. */
export const FILES = { 'client.js': 'src/index.js' };

/** @returns {Promise<string>} The file's text, as small as it gets */
export async function bundled(entry) {
  const { outputFiles: [{ text }] } = buildSync({ entryPoints: [path(entry)], bundle: true, format: 'esm', target: 'es2022', minify: true, write: false });
  const { code } = await minify(text, { module: true, ecma: 2022, compress: { passes: 3, unsafe_arrows: true, pure_getters: true }, mangle: { module: true } });
  return `${code}\n`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const [file, entry] of Object.entries(FILES)) writeFileSync(path(`dist/${file}`), await bundled(entry));
}
