//! The records that both backends read from a database and write to it.

use uuid::Uuid;

use crate::sync::{ChangeRecord, DeviceId, Operation, RowId, Scope, Version};

/// About the most bytes of rows that are read at once: what a page of an answer may hold.
pub const PAGE_BYTES: usize = 4 << 20;

/// Versions to read: `after < version <= upto`, and no more once `bytes` are exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The version that is known already.
    pub after: Version,
    /// The last one wanted.
    pub upto: Version,
    /// Reading stops behind the row that exceeds this; the first row always comes.
    pub bytes: usize,
}

/// Rows of one table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rows {
    /// Version and JSON, in version order.
    pub rows: Vec<(Version, String)>,
    /// The last version read, if reading stopped early.
    pub cut: Option<Version>,
}

/// Changes of a scope.
#[derive(Debug, Clone, Default)]
pub struct Records {
    /// In version order.
    pub records: Vec<ChangeRecord>,
    /// Everything up to here is in `records` or concerns no synced table.
    pub reached: Version,
    /// True if the index has more behind `reached`.
    pub has_more: bool,
}

/// Versions of a scope that a device passes over without being given what they hold of some tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passed {
    /// The scope.
    pub scope: Scope,
    /// The device's version before.
    pub after: Version,
    /// The device's version now.
    pub upto: Version,
    /// The tables.
    pub tables: Vec<&'static str>,
}

/// The versions of a scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopeState {
    /// The scope.
    pub scope: Scope,
    /// Its newest version.
    pub version: Version,
    /// The highest version whose tombstone is gone.
    pub floor: Version,
    /// The time of the newest version; empty when there is none.
    pub changed_at: String,
}

/// A row with its entry in the change index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowState {
    /// The row.
    pub id: RowId,
    /// Its values as JSON; none when it is deleted.
    pub row: Option<String>,
    /// The scope that the entry belongs to; none for a row that the index does not know.
    pub scope: Option<Scope>,
    /// Its version.
    pub version: Version,
    /// The last operation on it.
    pub operation: Operation,
    /// `{"*": version, "column": version}`.
    pub field_versions: String,
    /// `{"column": [[since, value]]}`, or the former row of a tombstone.
    pub previous: String,
}

impl RowState {
    /// The row without what the index says of it.
    pub(super) fn without_entry(self) -> Self {
        let nothing = || "{}".to_owned();
        let (field_versions, previous) = (nothing(), nothing());
        Self { scope: None, version: 0, operation: Operation::Insert, field_versions, previous, ..self }
    }

    /// About the bytes of its parts.
    #[must_use]
    pub fn size(&self) -> usize {
        self.row.as_ref().map_or(0, String::len) + self.field_versions.len() + self.previous.len()
    }
}

/// One entry of the change index, without the row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its version.
    pub version: Version,
    /// Its table, when it is one that is synced.
    pub table: Option<&'static str>,
    /// Its row.
    pub id: RowId,
    /// The last operation on it.
    pub operation: Operation,
}

/// A device as it is stored. Times are RFC 3339.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceRow {
    /// Its id.
    pub id: DeviceId,
    /// `mobile`, `web`, `desktop`, `watch`.
    pub device_type: Option<String>,
    /// The app's release.
    pub app_version: Option<String>,
    /// The name that the person gave it.
    pub name: Option<String>,
    /// The time of its first call.
    pub first_seen: String,
    /// The time of its last call.
    pub last_seen: String,
    /// The time of its last sync.
    pub last_sync: Option<String>,
    /// The number of changes that it had queued.
    pub pending_uploads: i64,
    /// Its last cursor, as JSON.
    pub cursor: Option<String>,
    /// The time of its revocation.
    pub revoked_at: Option<String>,
}

/// The stored state of several rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct States {
    /// The rows that are stored or have an entry in the index.
    pub rows: Vec<RowState>,
    /// True if these are all; false if reading stopped early.
    pub is_whole: bool,
}

/// The stored results of mutations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Receipts {
    /// The results of those that were asked for, as JSON.
    pub found: Vec<(Uuid, String)>,
    /// The number of receipts that are kept for the person.
    pub count: usize,
}
