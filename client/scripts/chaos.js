// Runs of random faults in two tabs: `npm run chaos -- --runs 1000 --seed 1`. Each run follows from its seed; one that fails
// names it, and `--runs 1 --seed <it>` repeats it. With `--lazy` the table stays in storage.

import { parseArgs } from 'node:util';
import { World } from '../test-support/chaos.js';

const { values } = parseArgs({ options: { runs: { type: 'string', default: '1000' }, seed: { type: 'string', default: '1' }, lazy: { type: 'boolean' } } });
const [first, runs] = [Number(values.seed), Number(values.runs)];
const began = Date.now();
let failed = 0;
for (let seed = first; seed < first + runs; seed++) {
  try {
    await new World(seed, values.lazy ? { notes: 'lazy' } : undefined).run();
  } catch (fault) {
    failed += 1;
    console.error(`seed ${seed}: ${fault.message}`);
  }
}
console.log(`${runs} runs from seed ${first}, ${failed} failed, ${Math.round((Date.now() - began) / 1000)} s`);
process.exit(failed ? 1 : 0);
