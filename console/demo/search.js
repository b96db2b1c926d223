// Finds by name, whatever the case and the accents.

/** A text as it is compared: `Pâté` and `pate` are one. */
export const plain = (text) => text.normalize('NFD').replace(/\p{Diacritic}/gu, '').toLowerCase();

/** At most `most` of `items` whose name has all words of `query`: names that begin with it first, then words that do. */
export function found(items, query, nameOf, most) {
  const words = plain(query).split(/\s+/).filter(Boolean);
  const ranked = items.flatMap((item) => {
    const name = plain(nameOf(item));
    return words.every((word) => name.includes(word)) ? [{ item, name, rank: rank(name, words) }] : [];
  });
  ranked.sort((one, other) => one.rank - other.rank || (one.name < other.name ? -1 : 1));
  return ranked.slice(0, most).map(({ item }) => item);
}

function rank(name, [first = '']) {
  if (name.startsWith(first)) return 0;
  return name.split(/[^\p{L}\p{N}]+/u).some((word) => word.startsWith(first)) ? 1 : 2;
}
