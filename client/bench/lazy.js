// `npm run bench:lazy`: a table that stays in storage, in Chromium. 50,000 rows: a page is loaded again → its first list. 500,000
// rows: what the page's heap holds. Beside the same rows in a table that is loaded whole (with `--whole` also 500,000). Other counts as arguments.

import { CURRENT, launch, served } from '../test-support/pages.js';

const ROUNDS = 5;
const LIST = { where: { kind: 'a' }, orderBy: { recorded_at: 'desc' }, limit: 50 };
const COUNTS = process.argv.slice(2).map(Number).filter(Boolean);
const pages = await served({ '/client.js': CURRENT });
const browser = await launch();

/** A page whose copy holds so many points. */
async function filled(context, count) {
  const page = await context.newPage();
  await page.goto(`${pages.url}/`);
  await page.evaluate(async (total) => {
    const { indexedDbStorage } = await import('/client.js');
    const storage = indexedDbStorage('ryzed');
    await storage.load();
    for (let from = 0; from < total; from += 10_000) {
      const rows = Array.from({ length: Math.min(10_000, total - from) }, (_, nth) => {
        const at = from + nth;
        return { id: `00000000-0000-4000-8000-${String(at).padStart(12, '0')}`, session_id: `00000000-0000-4000-8100-${String(at % 100).padStart(12, '0')}`, kind: 'abc'[at % 3],
          latitude: 48 + at / 1e6, longitude: 2 + at / 1e6, elevation: at % 300, recorded_at: new Date(1_700_000_000_000 + at * 1000).toISOString(), _version: at + 1 };
      });
      await storage.commit([{ rows: rows.map((row) => ['location_points', row.id, row]), cursor: { epoch: 'e', user: from + rows.length } }]);
    }
  }, count);
  await page.close();
}

/** A page is loaded and asks for its list: how long that takes from the navigation, and what the heap holds then. */
async function opened(context, tables) {
  const page = await context.newPage();
  await page.goto(`${pages.url}/`);
  const ms = await page.evaluate(async ([how, spec]) => {
    const began = performance.now();
    const { RyzeRealtimeClient } = await import('/client.js');
    window.client = new RyzeRealtimeClient('http://127.0.0.1:9', { token: 'token', tables: how });
    const rows = await new Promise((resolve) => client.table('location_points').query(spec).subscribe((some) => some.length && resolve(some)));
    if (rows.length !== spec.limit) throw new Error(`${rows.length} rows`);
    return performance.now() - began;
  }, [tables, LIST]);
  const session = await context.newCDPSession(page);
  await session.send('HeapProfiler.collectGarbage');
  const { usedSize } = await session.send('Runtime.getHeapUsage');
  return { page, ms, heap: usedSize / 1e6 };
}

const median = (all) => all.sort((one, other) => one - other)[all.length >> 1];

try {
  for (const count of COUNTS.length ? COUNTS : [50_000, 500_000]) {
    const context = await browser.newContext();
    context.setDefaultTimeout(600_000);
    await filled(context, count);
    for (const [kind, tables] of [['lazy', { location_points: 'lazy' }], ['whole', undefined]]) {
      if (kind === 'whole' && count > 50_000 && !process.argv.includes('--whole')) continue;
      const first = await opened(context, tables);
      console.log(`${count} rows, ${kind}: the very first list after ${Math.round(first.ms)} ms`);
      // Its index is made.
      if (kind === 'lazy') await first.page.waitForFunction(async () => {
        const open = indexedDB.open('ryzed');
        const database = await new Promise((resolve) => (open.onsuccess = () => resolve(open.result)));
        const asked = database.transaction('state').objectStore('state').get('lazy');
        const kept = await new Promise((resolve) => (asked.onsuccess = () => resolve(asked.result)));
        database.close();
        return Object.values(kept?.indexes.location_points ?? {}).some(({ upTo }) => upTo === true);
      }, null, { polling: 200 });
      await first.page.close();
      const [times, heaps] = [[], []];
      for (let round = 0; round < ROUNDS; round++) {
        const { page, ms, heap } = await opened(context, tables);
        times.push(ms);
        heaps.push(heap);
        await page.close();
      }
      console.log(`${count} rows, ${kind}: loaded again → first list ${Math.round(median(times))} ms (${times.map(Math.round).join(', ')}), heap ${median(heaps).toFixed(1)} MB`);
    }
    await context.close();
  }
} finally {
  await browser.close();
  pages.close();
}
