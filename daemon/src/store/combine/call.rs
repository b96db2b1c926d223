//! What jobs ask for that can be shared, and the answers.

use uuid::Uuid;

use crate::store::{Entry, Receipts, Records, ScopeState, States};
use crate::sync::{DeviceId, RowId, Scope, UserId, Version};

/// An operation of a [`Transaction`](crate::store::Transaction), with its values.
#[derive(Debug)]
pub(super) enum Call {
    Scopes(Vec<Scope>),
    States { table: &'static str, ids: Vec<RowId>, scopes: Vec<Scope>, bytes: usize },
    Owners { table: String, ids: Vec<RowId> },
    Receipts { user: UserId, mutations: Vec<Uuid> },
    Entries { scope: Scope, after: Version, tables: Vec<&'static str> },
    Records { scope: Scope, after: Version },
    Write { table: &'static str, write: Write, user: UserId, device: DeviceId },
    KeepReceipts { user: UserId, receipts: Vec<(Uuid, String)>, now: String },
}

/// A write of rows of one table.
#[derive(Debug)]
pub(super) enum Write {
    /// Whole rows, as a JSON array.
    Upsert(String),
    /// Parts of rows of our own tables, as a JSON array.
    Update(String),
    Delete(Vec<RowId>),
}

/// The answer to a [`Call`].
#[derive(Debug)]
pub(super) enum Answer {
    Scopes(Vec<ScopeState>),
    States(States),
    Owners(Vec<(RowId, Scope)>),
    Receipts(Receipts),
    Entries(Vec<Entry>),
    Records(Records),
    Written,
}

impl Call {
    pub(super) fn writes(&self) -> bool {
        matches!(self, Self::Write { .. } | Self::KeepReceipts { .. })
    }

    /// The rows that the job is about to decide on.
    pub(super) fn rows(&self) -> impl Iterator<Item = (&'static str, RowId)> {
        let (table, ids) = match self {
            Self::States { table, ids, .. } => (*table, ids.as_slice()),
            _ => ("", [].as_slice()),
        };
        ids.iter().map(move |id| (table, id.clone()))
    }

    /// About the bytes that it takes.
    pub(super) fn size(&self) -> usize {
        const ONE: usize = 100;
        match self {
            Self::Write { write: Write::Upsert(rows) | Write::Update(rows), .. } => ONE + rows.len(),
            Self::Write { write: Write::Delete(ids), .. } | Self::States { ids, .. } | Self::Owners { ids, .. } => {
                ONE * (1 + ids.len())
            }
            Self::KeepReceipts { receipts, .. } => ONE * (1 + receipts.len()),
            Self::Receipts { mutations, .. } => ONE * (1 + mutations.len()),
            Self::Scopes(_) | Self::Entries { .. } | Self::Records { .. } => ONE,
        }
    }
}
