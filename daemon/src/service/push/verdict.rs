//! The verdict on one change, and the room that is left to tell it.

use std::collections::HashSet;

use super::Push;
use super::row_cache::Key;
use crate::sync::weight::Weight;
use crate::sync::wire::{ChangeResult, Conflict};

/// A row over so many bytes is told once, however many conflicts are about it.
pub(super) const LONG: usize = 16 << 10;

/// The answer to one change.
pub(super) struct Verdict {
    pub result: ChangeResult,
    pub conflict: Option<Conflict>,
}

impl Verdict {
    /// Without a conflict.
    pub(super) fn of(result: ChangeResult) -> Self {
        Self { result, conflict: None }
    }
}

/// The space left in the answer, in bytes.
#[derive(Debug)]
pub(super) struct Room {
    pub left: usize,
    /// The long rows that were told.
    rows: HashSet<Key>,
}

impl Room {
    pub(super) fn of(push: &Push) -> Self {
        Self { left: push.limits.conflict_bytes, rows: HashSet::new() }
    }

    pub(super) fn take(&mut self, bytes: usize) {
        self.left = self.left.saturating_sub(bytes);
    }

    /// Whether there is room for a row that weighs so much.
    pub(super) fn takes(&mut self, key: &Key, weight: Weight) -> bool {
        let fits = weight.bytes <= self.left && (weight.bytes <= LONG || self.rows.insert(key.clone()));
        if fits {
            self.take(weight.bytes);
        }
        fits
    }
}
