// The digest of a table, as docs/protocol.md defines it. No DOM, no clock.

const PRIMES = [67108859n, 67108763n];

/** `{rows, version_sum, hash}` of rows with their `id` and `_version`. */
export function digestOf(rows) {
  const sums = PRIMES.map((prime) => rows.reduce((sum, row) => (sum + numberOf(row.id) ** 3n * BigInt(row._version)) % prime, 0n));
  return {
    rows: rows.length,
    version_sum: rows.reduce((sum, { _version }) => sum + _version, 0),
    hash: sums.map((sum) => sum.toString(16).padStart(7, '0')).join(''),
  };
}

/** The ASCII codes of an id without its dashes, in hexadecimal, read as a decimal number. */
function numberOf(id) {
  const codes = [...id.replaceAll('-', '')].map((character) => character.codePointAt(0).toString(16).padStart(2, '0')).join('');
  return BigInt(/^\d{64}$/.test(codes) ? codes : 1);
}
