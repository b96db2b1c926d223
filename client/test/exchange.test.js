// Exchanges with a scripted server: pages, gaps, repairs, starting over.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { live } from '../src/answers.js';
import { exchange } from '../src/exchange.js';
import { memoryStorage } from '../src/index.js';
import { applyPatch, open } from '../src/replica.js';
import { applied, page, scripted, settled } from '../test-support/scripted.js';

test('what is live during an exchange waits for its end, and a jump is pulled', async () => {
  const script = scripted();
  await script.live();
  const hear = (version, q) => script.socket().hear({ type: 'data_updated', table: 'meals', operation: 'UPDATE', scope: 'user:u', version, data: { id: 'a', q } });
  let answer;
  script.answer = () => new Promise((resolve) => (answer = resolve));
  hear(4, 'four');
  await settled();
  assert.equal(await script.client.table('meals').get('a'), undefined);
  hear(5, 'five');
  answer(page({ changes: { meals: [{ id: 'a', q: 'four', _version: 4 }] }, cursor: { epoch: 'e', user: 4, global: 1 } }));
  await settled();
  assert.deepEqual(await script.client.table('meals').get('a'), { id: 'a', q: 'five', _version: 5 });
});

test('sync_required pulls from the own cursor', async () => {
  const script = scripted();
  await script.live();
  script.socket().hear({ type: 'sync_required', reason: 'cursor_too_old', cursor: {} });
  await settled();
  assert.deepEqual(script.asked.at(-1).body.cursor, { epoch: 'e', user: 1, global: 1 });
});

test('a digest that differs repairs just that table, once an hour', async () => {
  const script = scripted({}, (path, body) => body.digest
    ? page({ digest: { meals: { rows: 1, version_sum: 3 }, foods: { rows: 0, version_sum: 0 } } })
    : page(body.cursor ? {} : { changes: { meals: [{ id: 'a', _version: 3, q: 'whole' }] } }));
  await script.live();
  assert.deepEqual(script.asked.map(({ body }) => body.tables), [[], ['meals']]);
  assert.equal((await script.client.table('meals').get('a')).q, 'whole');
});

test('a reset judges what was edited on the old copy by the old cursor, then starts over', async () => {
  const script = scripted({}, () => page({ changes: { meals: [{ id: 'a', _version: 1 }, { id: 'b', _version: 2 }] } }));
  await script.client.performSync();
  await script.client.table('meals').update('a', { q: 1 });
  let edited = false;
  script.answer = async (path, body) => {
    if (!body.cursor) {
      if (!edited) await script.client.table('meals').update('b', { q: 2 });
      const isFirst = !edited;
      edited = true;
      return page({ has_more: isFirst, cursor: { epoch: 'new', user: isFirst ? 1 : 9 }, changes: { meals: [{ id: isFirst ? 'a' : 'b', _version: 9 }] } });
    }
    if (body.cursor.epoch === 'new') return page({ cursor: { epoch: 'new', user: 9 }, changes: { meals: [{ id: 'b', _version: 9 }] } });
    return page({ reset: true, has_more: true, cursor: {}, results: body.changes.map(({ mutation_id, data }) => ({
      mutation_id, table: 'meals', id: data.id, status: 'rejected', errors: [{ field: '', code: 'stale', message: 'too old' }] })) });
  };
  const { rejected } = await script.client.performSync();
  assert.deepEqual(rejected.map(({ id }) => id), ['a', 'b']);
  assert.deepEqual(script.asked.slice(1).map(({ body }) => [body.cursor?.epoch, body.changes.length]), [['e', 1], [undefined, 0], ['e', 1], ['new', 0]]);
  assert.deepEqual((await script.client.table('meals').all()).map(({ id, _version }) => [id, _version]), [['a', 9], ['b', 9]]);
});

test('a reset waits for the edits that were made on the old copy during its last page', async () => {
  const script = scripted({}, () => page({ changes: { meals: [{ id: 'a', _version: 40 }] } }));
  await script.client.performSync();
  let edited = false;
  script.answer = async (path, body) => {
    if (body.changes.length) return page({ reset: true, has_more: true, cursor: {}, results: applied(body, 3) });
    if (body.cursor?.epoch === 'e') return page({ reset: true, has_more: true, cursor: {} });
    if (!edited) await script.client.table('meals').update('a', { q: 1 });
    edited = true;
    return page({ cursor: { epoch: 'new', user: 3 }, changes: { meals: [{ id: 'a', _version: 3, q: 1 }] } });
  };
  await script.client.performSync();
  const uploads = script.asked.filter(({ body }) => body.changes.length);
  assert.deepEqual(uploads.map(({ body }) => [body.cursor.epoch, body.changes[0].base_version]), [['e', 40]]);
  assert.deepEqual(await script.client.table('meals').all(), [{ id: 'a', _version: 3, q: 1 }]);
});

test('a full exchange replaces the copy', async () => {
  const script = scripted({}, () => page({ changes: { meals: [{ id: 'a', _version: 1 }] } }));
  await script.client.performSync();
  script.answer = (path, { force_full_sync: full }) => page({ changes: { meals: [{ id: full ? 'b' : 'c', _version: 2 }] }, total_changes: 1 });
  const { totalChanges } = await script.client.performSync(true);
  assert.deepEqual([totalChanges, (await script.client.table('meals').all()).map(({ id }) => id)], [1, ['b']]);
});

test('an exchange that breaks goes on at the page where it broke', async () => {
  let calls = 0;
  const script = scripted({}, () => {
    calls += 1;
    if (calls === 2) throw new Error('lost');
    return calls === 1 ? page({ has_more: true, cursor: { user: 10 }, changes: { meals: [{ id: 'a', _version: 1 }] } })
      : page({ changes: { meals: [{ id: 'b', _version: 11 }] } });
  });
  await script.client.connect();
  assert.deepEqual(await script.client.table('meals').all(), []);
  await script.clock.forward(500);
  assert.deepEqual(script.asked.map(({ body }) => body.cursor), [undefined, { user: 10 }, { user: 10 }]);
  assert.equal((await script.client.table('meals').all()).length, 2);
});

test('a table that joins later is pulled from zero, one that leaves is dropped', async () => {
  const storage = memoryStorage();
  const answer = (path, { tables }) => page({ changes: Object.fromEntries(tables.map((table) => [table, [{ id: `one of ${table}`, _version: 1 }]])) });
  await scripted({ storage, tables: ['meals', 'foods'] }, answer).client.performSync();
  const grown = scripted({ storage, tables: ['foods', 'runs'] }, (path, body) => (body.cursor ? page() : answer(path, body)));
  await grown.client.performSync();
  assert.deepEqual(grown.asked.map(({ body }) => [body.tables, body.cursor?.user]), [[['runs'], undefined], [['foods', 'runs'], 1]]);
  const held = async (script) => Promise.all(['meals', 'foods', 'runs'].map(async (table) => (await script.client.table(table).all()).length));
  assert.deepEqual(await held(grown), [0, 1, 1]);
  await grown.client.performSync();
  assert.equal(grown.asked.length, 3, 'once');

  const all = scripted({ storage }, (path, { force_full_sync: full }) => (full ? answer(path, { tables: ['meals', 'foods', 'runs'] }) : page()));
  await all.client.performSync();
  assert.equal(all.asked[0].body.force_full_sync, true);
  assert.deepEqual(await held(all), [1, 1, 1]);
});

test('forget during a download: nothing of it comes back', async () => {
  const inner = memoryStorage();
  let give;
  const script = scripted({ storage: inner }, () => new Promise((resolve) => (give = resolve)));
  const syncing = script.client.performSync().catch(() => {});
  await settled();
  const forgetting = script.client.forget();
  give(page({ changes: { meals: [{ id: 'a', _version: 1 }] } }));
  await Promise.all([forgetting, syncing]);
  assert.deepEqual(await script.client.table('meals').all(), []);
  const { rows, cursor } = await inner.load();
  assert.deepEqual([rows, cursor], [[], null]);
});

test('a digest that always differs repairs once an hour, however often the line breaks', async () => {
  const script = scripted({}, (path, body) => (body.digest ? page({ digest: { meals: { rows: 1, version_sum: 3 } } }) : page()));
  const repairs = () => script.asked.filter(({ body }) => body.tables[0] === 'meals').length;
  const reconnect = async () => {
    script.socket().end(1012, '{"reconnect_in_ms":0}');
    await script.clock.forward(0);
    script.socket().greet();
    await settled();
  };
  await script.live();
  const began = script.clock.now;
  assert.equal(repairs(), 1);
  await reconnect();
  script.client.disconnect();
  await script.live();
  assert.equal(repairs(), 1);
  script.client.disconnect();
  await script.clock.forward(began + 3_600_000 - 1 - script.clock.now);
  await script.live();
  assert.equal(repairs(), 1);
  script.client.disconnect();
  await script.clock.forward(1);
  await script.live();
  assert.equal(repairs(), 2);
});

test('what is live during a repair waits for its end, and a pull that is owed stays owed', async () => {
  const hear = (copy, version) => applyPatch(copy, live(copy, { type: 'data_updated', scope: 'user:u', table: 'runs', operation: 'INSERT', version, data: { id: `run ${version}` } }, false));
  for (const overflows of [false, true]) {
    const copy = open();
    const device = {
      copy, tables: [], now: () => 0, rejected: () => {}, collided: () => {},
      // Storing takes a while, in which something comes.
      keep: async (patch) => {
        applyPatch(copy, patch);
        if (patch.clear) hear(copy, 3);
      },
      post: async ({ digest }) => {
        if (digest && overflows) applyPatch(copy, { held: null });
        else if (digest) hear(copy, 2);
        return digest ? page({ digest: { meals: { rows: 1, version_sum: 1 } } }) : page({ changes: { meals: [{ id: 'a', _version: 1 }] } });
      },
      replay: () => {
        assert.deepEqual([copy.behind, copy.held.map(({ version }) => version)], overflows ? [true, [3]] : [false, [2, 3]]);
        copy.behind = false;
      },
    };
    await exchange(device, { digest: true });
  }
});

test('what was deleted in a life of the database that is over is forgotten', async () => {
  const script = scripted({}, (path, body) => page({ results: applied(body, 5) }));
  await script.client.table('meals').upsert({ id: 'a' });
  await script.client.performSync();
  script.answer = (path, body) => page({ results: applied(body, 7), deletions: { meals: body.changes.map(({ data: { id } }) => ({ id, _version: 7 })) } });
  await script.client.table('meals').delete('a');
  await script.client.performSync();
  const baseOf = async () => {
    await script.client.table('meals').insert({ id: 'a' });
    await script.client.performSync();
    return script.asked.at(-1).body.changes[0].base_version;
  };
  script.answer = () => page();
  await script.client.performSync(true);
  script.answer = (path, body) => page({ results: applied(body, 8) });
  assert.equal(await baseOf(), 7);
  const cursor = { epoch: 'new', user: 1, global: 1 };
  script.answer = () => page({ cursor });
  await script.client.performSync(true);
  script.answer = (path, body) => page({ cursor, results: applied(body, 1) });
  assert.equal(await baseOf(), undefined);
});

test('an edit of a stopped table waits and stops nobody, and what was held of the table stays', async () => {
  const script = scripted({}, () => page({ changes: { meals: [{ id: 'a', _version: 1 }], foods: [{ id: 'f', _version: 2 }] } }));
  await script.client.performSync();
  await script.client.table('foods').update('f', { q: 1 });
  await script.client.table('meals').update('a', { q: 2 });
  script.answer = (path, body) => page({
    stopped: ['foods'], results: applied({ changes: body.changes.filter(({ table }) => table === 'meals') }, 3),
    changes: { meals: [{ id: 'a', q: 2, _version: 3 }] }, cursor: { epoch: 'e', user: 3, global: 1 },
  });
  const { rejected } = await script.client.performSync();
  assert.deepEqual([rejected, script.client.pending.value], [[], 1]);
  assert.deepEqual(await script.client.table('meals').get('a'), { id: 'a', q: 2, _version: 3 });
  assert.deepEqual(await script.client.table('foods').get('f'), { id: 'f', q: 1, _version: 2, _pending: true });
  await script.client.performSync(true);
  assert.ok(await script.client.table('foods').get('f'), 'a whole download without the table has emptied it');
});
