// Makes what browsers load from the source: `dist/client.js`, and the files beside it, which it loads when it needs them.

import { build } from 'esbuild';
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { minify } from 'terser';

const path = (name) => fileURLToPath(new URL(`../${name}`, import.meta.url));
/** File → the module it begins with. The first is the one that pages name. */
export const FILES = { 'client.js': 'src/served.js', 'client-online.js': 'src/online.js', 'client-more.js': 'src/more.js', 'client-query.js': 'src/query.js', 'client-lazy.js': 'src/lazy.js', 'client-inspector.js': 'src/inspector.js' };
const [CORE] = Object.keys(FILES);
/** Names that stay within these files: neither the app's, nor the server's, nor another tab's, nor in storage. */
const INTERNAL = /^(persister|dispatch|canAsk|isShared|isForeign|isResting|isRedirect|admit|replay|collided|isCurrent|seeAll|snapshot|yields|depose|fenced|storing|renew|cancel|effects|heard|isElsewhere|isQueued|worst|address|attempt|refusal|passes|consider|unstored|isLast|staged|behind|held|aside|follow|leads|leave|tell|ask|rest|lost|lead|begin|line|isFromServer|settle|failed|learn|drop|look|isOurs|copy|device|owner|keep|connection|emit|note|guard|source|used|loss|judge|isReplay|owePull|hasDatabase|findOut|lose|pending_|isRevoked|whose|isMarked|changed_|noted|isSame|shownOf|putRows|size_|passed|whole|ready|opened|loaded|options|was|log)$/;

/** A module that is loaded later is a file beside it, and has what the first file has from there. @param {string[]} core The modules of the first file */
const apart = (core) => ({
  name: 'apart',
  setup: (making) => making.onResolve({ filter: /^\./ }, ({ path: module, resolveDir }) => {
    const file = resolve(resolveDir, module === './later.js' ? './parts.js' : module);
    return core.includes(file) ? { path: `./${CORE}`, external: true } : { path: file };
  }),
});

/** @param {string} entry @param {string} made Names the build @param {string[]} [core] */
const packed = (entry, made, core = []) => build({
  entryPoints: [path(entry)], bundle: true, format: 'esm', target: 'es2022', minify: true, write: false, metafile: true, plugins: [apart(core)], absWorkingDir: path('.'),
  define: { 'globalThis.RYZED_BUILD': JSON.stringify(made) },
});

/** @returns {Promise<Record<string, string>>} Each file's text, as small as it gets */
export async function bundled() {
  const made = await named();
  const files = {};
  /** One name for each, in all of them. */
  const nameCache = {};
  let core = [];
  for (const [file, entry] of Object.entries(FILES)) {
    const { outputFiles: [{ text }], metafile } = await packed(entry, made, core);
    if (file === CORE) core = Object.keys(metafile.inputs).map(path);
    const { code } = await minify(text, {
      module: true, ecma: 2022, nameCache, compress: { passes: 3, reduce_funcs: false, booleans: false, sequences: false, conditionals: false, unsafe: true, unsafe_arrows: true, pure_getters: true }, mangle: { module: true, properties: { regex: INTERNAL, builtins: true } },
    });
    // Only the names of properties: each file has variables of its own.
    delete nameCache.vars;
    files[file] = file === CORE ? `${code}\n` : `${code}export const build=${JSON.stringify(made)};\n`;
  }
  return files;
}

/** A name that differs once any module does. */
async function named() {
  const texts = await Promise.all(Object.values(FILES).map((entry) => packed(entry, '')));
  return texts.reduce((hash, { outputFiles: [{ text }] }) => hash.update(text), createHash('sha256')).digest('hex').slice(0, 8);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const [file, text] of Object.entries(await bundled())) writeFileSync(path(`dist/${file}`), text);
}
