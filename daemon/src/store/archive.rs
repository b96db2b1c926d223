//! A whole database, out and in: rows and sidecar, so that devices go on with their cursors on another one.
//!
//! A backend reads and writes its records page by page; a record's JSON is the same in all backends. How they become
//! lines of a file is not decided here.

pub(super) mod canonical_json;
pub(super) mod verify;

use async_trait::async_trait;
use ryzed_adapters::{Registry, Table};
use uuid::Uuid;

use super::StoreError;

/// The most records that are read at once, each a few MiB at most: what a dump holds in memory.
pub const RECORDS_AT_ONCE: i64 = 200;

/// Records of one kind.
#[derive(Debug, Clone, Copy)]
pub enum Part<'r> {
    /// The counters of the scopes.
    Scopes,
    /// The rows of a table.
    Rows(&'r Table),
    /// The change index, tombstones included.
    Changes,
    /// The results of mutations.
    Receipts,
    /// The devices, revoked ones included.
    Devices,
    /// The tokens that devices came with.
    Tokens,
    /// The open conflicts.
    Conflicts,
}

impl<'r> Part<'r> {
    /// Every part in the order of an archive: parents' rows before their children's.
    pub fn all(registry: &'r Registry) -> impl Iterator<Item = Self> {
        let sidecar = [Self::Changes, Self::Receipts, Self::Devices, Self::Tokens, Self::Conflicts];
        [Self::Scopes].into_iter().chain(registry.iter().map(Self::Rows)).chain(sidecar)
    }

    /// The name of the records in an archive.
    #[must_use]
    pub fn name(self) -> &'r str {
        match self {
            Self::Scopes => "scopes",
            Self::Rows(table) => table.name,
            Self::Changes => "changes",
            Self::Receipts => "receipts",
            Self::Devices => "devices",
            Self::Tokens => "tokens",
            Self::Conflicts => "conflicts",
        }
    }
}

/// One snapshot of a database, to be read whole. Dropped before [`Dump::finish`], it leaves the database as it was.
#[async_trait]
pub trait Dump: Send {
    /// The epoch of the database.
    fn epoch(&self) -> &str;

    /// The number of records of a part.
    async fn count(&mut self, part: Part<'_>) -> Result<u64, StoreError>;

    /// Goes to the beginning of a part.
    async fn open(&mut self, part: Part<'_>) -> Result<(), StoreError>;

    /// The next records of the opened part as JSON objects, at most [`RECORDS_AT_ONCE`], always in the same order; none at
    /// its end.
    async fn next(&mut self) -> Result<Vec<String>, StoreError>;

    /// The contradictions within the database, in words; empty when there are none.
    async fn contradictions(&mut self) -> Result<Vec<String>, StoreError>;

    /// Ends reading. From here on a database that was opened to be sealed is.
    async fn finish(&mut self) -> Result<(), StoreError>;
}

/// A database that is being filled from an archive, in one transaction: dropped before [`Restore::finish`], it is as it was.
#[async_trait]
pub trait Restore: Send {
    /// True if the database holds anything but untouched catalogue rows of these ids.
    async fn is_occupied(&mut self, starter: &[Uuid]) -> Result<bool, StoreError>;

    /// Removes every record.
    async fn empty(&mut self) -> Result<(), StoreError>;

    /// Writes records of a part, given as a JSON array: all of them or none.
    async fn put(&mut self, part: Part<'_>, records: &str) -> Result<(), StoreError>;

    /// The number of records of a part.
    async fn count(&mut self, part: Part<'_>) -> Result<u64, StoreError>;

    /// The contradictions within the database, in words; empty when there are none.
    async fn contradictions(&mut self) -> Result<Vec<String>, StoreError>;

    /// Commits. The database goes on in `epoch`, or begins a new one.
    async fn finish(&mut self, epoch: Option<&str>) -> Result<(), StoreError>;
}

/// The error for opening a sealed database.
pub(super) fn sealed() -> StoreError {
    StoreError::Sealed(
        "the database is sealed: `ryzed export --all --seal` has taken it elsewhere. To use it here all the same, run \
         `ryzed export --unseal`; every device of it then starts over"
            .into(),
    )
}
