//! The digest: numbers that two copies of a table agree in only when they hold the same rows in the same versions. Rows come and go in
//! any order, so all of them are sums: a row that changes takes its old part out and puts its new one in, whatever else there is.
//!
//! The hash guards against accidents, not against somebody who looks for two tables with the same one.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Add, Sub};

use serde::{Serialize, Serializer};

use super::Version;

/// The digests of all tables, by name: equal digests mean equal copies.
pub type Digest = BTreeMap<String, TableDigest>;

/// The digest of the live rows of one table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct TableDigest {
    /// The number of rows.
    pub rows: i64,
    /// The sum of their versions.
    pub version_sum: i64,
    /// The sum of what their ids and versions make together.
    pub hash: Hash,
}

impl TableDigest {
    /// The digest of one row.
    #[must_use]
    pub fn of(id: &str, version: Version) -> Self {
        Self { rows: 1, version_sum: version, hash: Hash::of(id, version) }
    }
}

impl Add for TableDigest {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            rows: self.rows + other.rows,
            version_sum: self.version_sum.wrapping_add(other.version_sum),
            hash: self.hash + other.hash,
        }
    }
}

impl Sub for TableDigest {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            rows: self.rows - other.rows,
            version_sum: self.version_sum.wrapping_sub(other.version_sum),
            hash: self.hash - other.hash,
        }
    }
}

/// The order-independent hash of a table: a sum modulo each of two primes, so small that their products are exact in a double.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hash([u64; 2]);

impl Hash {
    /// The two moduli. Each is 2 more than a multiple of 3, so that no two residues have the same cube.
    pub const PRIMES: [u64; 2] = [67_108_859, 67_108_763];

    /// The hash with these sums, as a database keeps them.
    #[must_use]
    pub fn from_sums(sums: [i64; 2]) -> Self {
        Self(each(|lane, prime| residue(sums[lane], prime)))
    }

    /// The part of one row: its weight, which the id alone has, times its version.
    #[must_use]
    pub fn of(id: &str, version: Version) -> Self {
        let weight = weight(id);
        Self(each(|lane, prime| weight[lane] * residue(version, prime) % prime))
    }
}

impl Add for Hash {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(each(|lane, prime| (self.0[lane] + other.0[lane]) % prime))
    }
}

impl Sub for Hash {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(each(|lane, prime| (self.0[lane] + prime - other.0[lane]) % prime))
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:07x}{:07x}", self.0[0], self.0[1])
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The number that an id stands for, to the third power. Ids that follow on each other would otherwise have weights that do.
fn weight(id: &str) -> [u64; 2] {
    let number = number(id);
    each(|lane, prime| number[lane] * number[lane] % prime * number[lane] % prime)
}

/// The ASCII codes of an id's characters but the dashes, in hexadecimal, read as one decimal number: any database has that at hand.
/// 1 for an id to which that can't be done: no UUID, which SQL may have made.
fn number(id: &str) -> [u64; 2] {
    const DIGITS: usize = 32;
    let codes = || id.bytes().filter(|byte| *byte != b'-').map(u64::from);
    let is_decimal = |code: u64| (1..=9).contains(&(code / 16)) && code % 16 <= 9;
    if codes().count() != DIGITS || !codes().all(is_decimal) {
        return [1; 2];
    }
    each(|_, prime| codes().fold(0, |number, code| (number * 100 + code / 16 * 10 + code % 16) % prime))
}

fn residue(number: i64, prime: u64) -> u64 {
    number.unsigned_abs() % prime * if number < 0 { prime - 1 } else { 1 } % prime
}

fn each(make: impl Fn(usize, u64) -> u64) -> [u64; 2] {
    [make(0, Hash::PRIMES[0]), make(1, Hash::PRIMES[1])]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The vectors of docs/protocol.md, made by a program of a few lines in another language.
    #[test]
    fn the_hash_is_the_one_that_the_protocol_defines() {
        let rows = [
            ("0d3c1c52-7f6c-4d9f-9d4b-0b5c3c1d7e11", 42, "25937793a1128c"),
            ("00000000-0000-0000-0000-000000000000", 1, "24f1da62a943cd"),
            ("ffffffff-ffff-ffff-ffff-ffffffffffff", 9_007_199_254_740_991, "08ebab11500e30"),
            ("banana", 7, "00000070000007"),
        ];
        for (id, version, hash) in rows {
            assert_eq!(Hash::of(id, version).to_string(), hash, "{id}");
        }
        let all: Vec<_> = rows[..3].iter().map(|(id, version, _)| ((*id).to_owned(), *version)).collect();
        assert_eq!(digest(&all).hash.to_string(), "1370fd539a64ee");
        assert_eq!(Hash::default().to_string(), "00000000000000");
        assert_eq!(
            serde_json::to_string(&TableDigest::of("banana", 7)).unwrap(),
            r#"{"rows":1,"version_sum":7,"hash":"00000070000007"}"#
        );
    }

    fn digest(rows: &[(String, Version)]) -> TableDigest {
        rows.iter().fold(TableDigest::default(), |sum, (id, version)| sum + TableDigest::of(id, *version))
    }

    fn rows() -> impl Strategy<Value = Vec<(String, Version)>> {
        let id = prop_oneof![
            any::<u128>().prop_map(|id| uuid::Uuid::from_u128(id).to_string()),
            // Ids that somebody has counted up.
            (0u128..64).prop_map(|id| uuid::Uuid::from_u128(id).to_string()),
        ];
        prop::collection::btree_map(id, 1i64..1 << 53, 2..20).prop_map(|rows| rows.into_iter().collect())
    }

    proptest! {
        #[test]
        fn the_order_of_rows_does_not_matter((rows, shuffled) in rows().prop_flat_map(|rows| (Just(rows.clone()), Just(rows).prop_shuffle()))) {
            prop_assert_eq!(digest(&rows), digest(&shuffled));
        }

        #[test]
        fn rows_that_changed_places_are_noticed(rows in rows()) {
            let mut swapped = rows.clone();
            (swapped[0].1, swapped[1].1) = (rows[1].1, rows[0].1);
            let (before, after) = (digest(&rows), digest(&swapped));
            prop_assert_eq!((before.rows, before.version_sum), (after.rows, after.version_sum));
            prop_assert_eq!(before.hash == after.hash, rows[0].1 == rows[1].1);
        }

        #[test]
        fn one_lost_and_one_doubled_are_noticed(rows in rows()) {
            let mut damaged = rows.clone();
            damaged[0] = damaged[1].clone();
            // Rows and versions agree.
            damaged[0].1 = rows[0].1;
            prop_assert_ne!(digest(&rows).hash, digest(&damaged).hash);
        }

        #[test]
        fn what_comes_and_goes_leaves_nothing(rows in rows(), id in any::<u128>(), version in 0i64..i64::MAX) {
            let row = TableDigest::of(&uuid::Uuid::from_u128(id).to_string(), version);
            prop_assert_eq!(digest(&rows) + row - row, digest(&rows));
            prop_assert_eq!(digest(&rows) - digest(&rows), TableDigest::default());
        }

        #[test]
        fn sums_of_a_database_count_as_they_are(sums in any::<[i64; 2]>()) {
            let wanted = each(|lane, prime| i128::from(sums[lane]).rem_euclid(i128::from(prime)) as u64);
            prop_assert_eq!(Hash::from_sums(sums), Hash(wanted));
        }
    }
}
