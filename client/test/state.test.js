// Walks every cell of the line's tables in SPEC.md.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { delay, IDLE, step } from '../src/state.js';
import { table } from '../test-support/spec.js';

const EVENTS = {
  'no_token, again': { type: 'no_token', again: true, random: 0 },
  'no_token, never': { type: 'no_token', again: false, random: 0 },
  silent: { type: 'silent', random: 0 },
  'lost 4401, first': { type: 'lost', code: 4401, random: 0 },
  'lost 4401, again': { type: 'lost', code: 4401, random: 0, refused: true },
  'lost 4400': { type: 'lost', code: 4400, random: 0 },
  'lost 4403': { type: 'lost', code: 4403, random: 0 },
  'lost 4409': { type: 'lost', code: 4409, random: 0 },
};
const OTHER_CODES = [1000, 1001, 1002, 1006, 1007, 1009, 1011, 1012, 1013, 4408, 4429];
const { head, rows } = table('The line');
const types = new Set();

for (const [name, ...cells] of rows) {
  const events = name === 'lost, other' ? OTHER_CODES.map((code) => ({ type: 'lost', code, random: 0 })) : [EVENTS[name] ?? { type: name }];
  for (const [at, cell] of cells.entries()) {
    const state = head[at + 1];
    test(`${state} × ${name}: ${cell}`, () => {
      for (const event of events) {
        types.add(event.type);
        const before = { ...IDLE, name: state, attempt: 2, refused: event.refused ?? false };
        const { line, effects } = step(before, event);
        const [next, wanted = ''] = cell.split(': ');
        assert.equal(line.name, '–='.includes(next) ? state : next);
        assert.deepEqual(effects, wanted ? wanted.split(', ') : []);
        if ('–='.includes(next)) assert.equal(line, before, 'nothing else changes either');
      }
    });
  }
}

test('the table names every state and every event', () => {
  assert.deepEqual(head.slice(1), ['off', 'token', 'syncing', 'opening', 'live', 'waiting', 'stopped']);
  assert.equal(types.size, 13);
});

const waits = table('How long it waits');
for (const [loss, attempt, ...cells] of waits.rows) {
  test(`${loss}, ${attempt} failures before: ${cells.join(', ')} ms`, () => {
    const [code, ...rest] = loss.split(' ');
    const given = rest[0] === 'after' ? { ms: Number(rest[1]) } : { reason: rest.join(' ') };
    const told = [0, 0.5, 0.999].map((dice) => String(delay({ code: Number(code), ...given }, Number(attempt), dice)));
    assert.deepEqual(told, cells);
  });
}

test('failures count until a greeting, and a nudge makes the next attempts quick again', () => {
  let line = { ...IDLE, name: 'opening', attempt: 4 };
  ({ line } = step(line, { type: 'lost', code: 1006, random: 0.5 }));
  assert.deepEqual([line.attempt, line.wait], [5, 8000]);
  assert.equal(step(line, { type: 'nudge' }).line.attempt, 0);
  assert.equal(step({ ...line, name: 'opening' }, { type: 'greeted' }).line.attempt, 0);
});

test('after a refused token every attempt asks for a fresh one', () => {
  const { line } = step({ ...IDLE, name: 'live', refused: true }, { type: 'lost', code: 4401, random: 0 });
  assert.deepEqual(step(line, { type: 'elapsed' }).effects, ['fresh_token']);
});
