// The page's languages: which one is on, and its words. The words themselves are in `english.js` and `french.js`.

import { ENGLISH } from './english.js';
import { FRENCH } from './french.js';
import { read, write } from './local-storage.js';

const LANGUAGES = { en: ENGLISH, fr: FRENCH };
const KEY = 'demo-language';
let language = 'en';

/** The language that is on: `en` or `fr`. */
export const tongue = () => language;

/** The person's choice, else the first of the browser's languages that the page speaks. */
export function chosenLanguage(wanted = globalThis.navigator?.languages ?? []) {
  const kept = read('localStorage', KEY);
  if (LANGUAGES[kept]) return kept;
  return wanted.map((tag) => tag.slice(0, 2).toLowerCase()).find((tag) => LANGUAGES[tag]) ?? 'en';
}

/** Switches the language. `keep` it when the person chose it. */
export function speak(wanted, keep = false) {
  language = LANGUAGES[wanted] ? wanted : 'en';
  if (keep) write('localStorage', KEY, language);
}

/** The words for `key`, with `{name}` filled in. Words that depend on a number take it from `n`. */
export function t(key, values = {}) {
  const words = LANGUAGES[language][key] ?? ENGLISH[key];
  if (words === undefined) throw new Error(`There are no words for ${key}.`);
  const text = typeof words === 'string' ? words : (words[new Intl.PluralRules(language).select(values.n)] ?? words.other);
  return text.replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? ''));
}

/** What `name` is called in a group of words such as `table` or `field`; without words it is called what it is. */
export const term = (group, name) => (ENGLISH[`${group}.${name}`] ? t(`${group}.${name}`) : String(name).replaceAll('_', ' '));

/** The name of a catalogue row in the language that is on. */
export const nameOf = (row) => row?.[`name_${language}`] ?? row?.[`title_${language}`] ?? row?.name_en ?? row?.title_en ?? '';
