// The page's words: both languages have all of them, and the page asks for no others.

import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import { ENGLISH } from '../demo/english.js';
import { found, plain } from '../demo/search.js';
import * as formats from '../demo/formats.js';
import { FRENCH } from '../demo/french.js';
import { chosenLanguage, nameOf, speak, t, term } from '../demo/words.js';

const folder = new URL('../demo/', import.meta.url);
const source = readdirSync(folder).filter((name) => /\.(js|html)$/.test(name) && !/^(english|french)\.js$/.test(name))
  .map((name) => readFileSync(new URL(name, folder), 'utf8')).join('\n');
const holes = (words) => [...new Set(JSON.stringify(words).match(/\{\w+\}/g) ?? [])].sort();

test('French has the same words with the same holes', () => {
  assert.deepEqual(Object.keys(FRENCH), Object.keys(ENGLISH));
  for (const key of Object.keys(ENGLISH)) {
    assert.deepEqual(holes(FRENCH[key]), holes(ENGLISH[key]), key);
    assert.equal(typeof FRENCH[key], typeof ENGLISH[key], key);
  }
});

test('every word is asked for, and every word asked for is there', () => {
  const asked = [...source.matchAll(/'([a-z]+(?:\.[a-z_0-9]+)+)'|data-(?:words|label)="([^"]+)"/g)].map(([, one, other]) => one ?? other)
    .filter((key) => Object.keys(ENGLISH).some((known) => known.split('.')[0] === key.split('.')[0]) && !/\.(js|css|svg)$/.test(key));
  for (const key of asked) assert.ok(ENGLISH[key], `${key} is asked for`);
  const patterns = [...source.matchAll(/`([a-z]+\.[^`]*\$\{[^`]*)`/g)].map(([, text]) => new RegExp(`^${text.replace(/\$\{[^}]*\}/g, '[a-z_0-9]+').replaceAll('.', '\\.')}$`));
  const groups = [...source.matchAll(/term\('(\w+)'/g)].map(([, group]) => group);
  const unused = Object.keys(ENGLISH).filter((key) => !asked.includes(key) && !groups.includes(key.split('.')[0]) && !patterns.some((pattern) => pattern.test(key)));
  assert.deepEqual(unused, []);
});

test('French has its spaces before double signs', () => {
  for (const words of Object.values(FRENCH)) for (const text of typeof words === 'string' ? [words] : Object.values(words)) assert.doesNotMatch(text, /\p{L}[:;!?]| [:;!?]/u, text);
});

test('words are filled in, and counted as the language counts', () => {
  speak('en');
  assert.equal(t('device.settle', { n: 1, device: 'Phone' }), 'Settle 1 conflict with Phone');
  assert.equal(t('device.settle', { n: 2, device: 'Phone' }), 'Settle 2 conflicts with Phone');
  assert.equal(t('timer.round', { round: 2, rounds: 8 }), 'Round 2 of 8');
  assert.throws(() => t('no.such'), /no words for no\.such/);
  speak('fr');
  assert.equal(t('timer.sessions', { n: 0 }), '0 séance terminée à ce jour');
  assert.equal(nameOf({ name_en: 'Rice', name_fr: 'Riz' }), 'Riz');
  assert.equal(nameOf({ title_en: 'Tabata', title_fr: 'Tabata !' }), 'Tabata !');
  assert.equal(term('table', 'food_entries'), 'Entrée du journal');
  assert.equal(term('table', 'sleep_logs'), 'sleep logs');
});

test('the language is the first that the browser asks for and the page speaks', () => {
  assert.equal(chosenLanguage(['de-DE', 'fr-CH', 'en']), 'fr');
  assert.equal(chosenLanguage(['de']), 'en');
});

test('numbers and days are written as people there write them', () => {
  speak('fr');
  assert.equal(formats.number(1234.5, 1), '1\u202f234,5');
  assert.equal(formats.longDay(new Date(2025, 4, 1)), 'jeudi 1 mai');
  assert.equal(formats.nearDay(-1), 'Hier');
  speak('en');
  assert.equal(formats.number(1234.5, 1), '1,234.5');
  assert.equal(formats.nearDay(0), 'Today');
  assert.equal(formats.nearDay(2), null);
  assert.deepEqual([0, 59.6, 605, 3725].map(formats.duration), ['0:00', '1:00', '10:05', '1:02:05']);
});

test('finding is blind to case, accents and order of words', () => {
  const names = ['Crème brûlée', 'Pomme crue', 'Jus de pomme', 'Pommes frites'];
  const find = (query, most = 9) => found(names, query, (name) => name, most);
  assert.deepEqual(find('POMME'), ['Pomme crue', 'Pommes frites', 'Jus de pomme']);
  assert.deepEqual(find('brulee creme'), ['Crème brûlée']);
  assert.deepEqual(find('pomme jus'), ['Jus de pomme']);
  assert.equal(find('', 2).length, 2);
  assert.equal(plain('Pâté'), 'pate');
});
