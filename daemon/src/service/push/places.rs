//! Places that are one row's: what the unique rules of a table go by.

use super::super::request::ParsedChange;
use crate::sync::wire::Intent;

/// A table, the number of its rule for different rows, and what that goes by in one row.
pub(super) type UniquePlace = (usize, usize, Vec<String>);

/// The places of a row that has these values.
pub(super) fn places_of(
    rank: usize,
    rules: &[Vec<String>],
    value: impl Fn(&String) -> Option<String>,
) -> Vec<UniquePlace> {
    let place = |(number, columns): (usize, &Vec<String>)| {
        let values: Option<Vec<String>> = columns.iter().map(&value).collect();
        Some((rank, number, values.filter(|values| !values.is_empty())?))
    };
    rules.iter().enumerate().filter_map(place).collect()
}

/// True for a deletion.
pub(super) fn is_delete(change: &ParsedChange) -> bool {
    change.asked.operation == Intent::Delete
}
