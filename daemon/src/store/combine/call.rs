//! What jobs ask for that can be shared, and the answers.

use uuid::Uuid;

use crate::store::tokens::Use;
use crate::store::{DeviceRow, Entry, Receipts, Records, ScopeState, States};
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
    Touch { scopes: Vec<Scope>, now: String },
    EnsureUser(NewUser),
    Device { user: UserId, device: DeviceId },
    CountDevices(UserId),
    KeepDevice { user: UserId, device: DeviceRow },
    KeepUses(KeptUses),
}

/// A person whose row is made, unless it is there.
#[derive(Debug)]
pub(in crate::store) struct NewUser {
    pub user: UserId,
    pub email: Option<String>,
    pub now: String,
}

/// Marks of tokens that a device has used.
#[derive(Debug)]
pub(in crate::store) struct KeptUses {
    pub user: UserId,
    pub device: DeviceId,
    pub uses: Vec<Use>,
    pub now: String,
    /// The marks of the person that are kept at most.
    pub most: i64,
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
    Device(Option<DeviceRow>),
    Count(i64),
    /// True if rows of people were made.
    Ensured(bool),
    Written,
}

impl Call {
    pub(super) fn writes(&self) -> bool {
        matches!(
            self,
            Self::Write { .. }
                | Self::KeepReceipts { .. }
                | Self::Touch { .. }
                | Self::KeepDevice { .. }
                | Self::KeepUses(_)
        )
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
            Self::KeepDevice { device, .. } => ONE + device.cursor.as_ref().map_or(0, String::len),
            _ => ONE,
        }
    }
}
