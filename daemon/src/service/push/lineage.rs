//! Rows that are parts of others: where the row above one is, and the rows that came back or wait for their parts.

use std::collections::HashMap;

use ryzed_adapters::Strategy;
use uuid::Uuid;

use super::row_cache::Key;

/// A row that is gone, in whose conflict others wait, and what settles that.
#[derive(Debug, Clone)]
pub(super) struct Above {
    pub key: Key,
    pub strategy: Strategy,
}

/// The rows that wait, each with the one that is gone.
pub(super) type Held = HashMap<Key, Above>;

/// Where the row above a part of it is.
pub(super) enum Up {
    /// It is there or comes back; or the part is to be refused without it.
    Settled,
    /// It is gone and stays gone for now.
    Gone(Above),
    /// Nothing is known of this one.
    Unknown(Key),
}

/// A row that came back for a part of it.
pub(super) struct Back {
    pub key: Key,
    pub mutation_id: Option<Uuid>,
    pub strategy: Strategy,
}

impl Back {
    /// The rank of its table.
    pub(super) fn rank(&self) -> usize {
        self.key.0
    }
}
