//! The digest of a copy, as `docs/protocol.md` has clients work it out.

use serde_json::{Value, json};

const PRIMES: [u64; 2] = [67_108_859, 67_108_763];

/// Rows, sum of versions and hash of rows with their `_version`, by id.
#[must_use]
pub fn of_table<'r>(rows: impl IntoIterator<Item = (&'r String, &'r Value)>) -> Value {
    let (mut count, mut sum, mut hash) = (0, 0, [0, 0]);
    for (id, row) in rows {
        let version = row["_version"].as_u64().unwrap_or_default();
        count += 1;
        sum += version;
        for (lane, prime) in hash.iter_mut().zip(PRIMES) {
            *lane = (*lane + weight(id, prime) * (version % prime)) % prime;
        }
    }
    json!({"rows": count, "version_sum": sum, "hash": format!("{:07x}{:07x}", hash[0], hash[1])})
}

fn weight(id: &str, prime: u64) -> u64 {
    let codes: String = id.bytes().filter(|code| *code != b'-').map(|code| format!("{code:02x}")).collect();
    let is_number = codes.len() == 64 && codes.bytes().all(|digit| digit.is_ascii_digit());
    let codes = if is_number { codes } else { "1".to_owned() };
    let number = codes.bytes().fold(0, |number, digit| (number * 10 + u64::from(digit - b'0')) % prime);
    number * number % prime * number % prime
}
