// The tables of SPEC.md, so that tests can walk them.

import { readFileSync } from 'node:fs';

/** The table under a heading: its head, and its rows as arrays of cells. */
export function table(heading) {
  const text = readFileSync(new URL('../SPEC.md', import.meta.url), 'utf8');
  const section = text.split('\n## ').find((part) => part.startsWith(`${heading}\n`));
  const [head, , ...rows] = section.split('\n').filter((line) => line.startsWith('|'))
    .map((line) => line.slice(1, -1).split('|').map((cell) => cell.trim()));
  return { head, rows };
}
