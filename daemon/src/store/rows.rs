//! What is read from a database and written to it, in the forms that both backends share.

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
    /// Where reading stopped early: what the table has behind this version was not read.
    pub cut: Option<Version>,
}

/// Changes of a scope.
#[derive(Debug, Clone, Default)]
pub struct Records {
    /// In version order.
    pub records: Vec<ChangeRecord>,
    /// Everything up to here is in `records` or concerns no synced table.
    pub reached: Version,
    /// Whether the index has more behind `reached`.
    pub has_more: bool,
}

/// Versions of a scope that a device passes over without being given what they hold of some tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passed {
    /// The scope.
    pub scope: Scope,
    /// Where the device stood.
    pub after: Version,
    /// Where it stands now.
    pub upto: Version,
    /// The tables.
    pub tables: Vec<&'static str>,
}

/// Where a scope stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopeState {
    /// The scope.
    pub scope: Scope,
    /// Its newest version.
    pub version: Version,
    /// The highest version whose tombstone is gone.
    pub floor: Version,
    /// When the newest version was taken; empty when there is none.
    pub changed_at: String,
}

/// What is known of a row.
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
    /// What was done last.
    pub operation: Operation,
    /// `{"*": version, "column": version}`.
    pub field_versions: String,
    /// `{"column": [[since, value]]}`, or the former row of a tombstone.
    pub previous: String,
}

impl RowState {
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
    /// What was done last.
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
    /// What the person calls it.
    pub name: Option<String>,
    /// When it first called.
    pub first_seen: String,
    /// When it last called.
    pub last_seen: String,
    /// When it last synced.
    pub last_sync: Option<String>,
    /// How many changes it had queued.
    pub pending_uploads: i64,
    /// Where it stood, as JSON.
    pub cursor: Option<String>,
    /// When it was revoked.
    pub revoked_at: Option<String>,
}

/// What is known of some rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct States {
    /// Those that something is known of.
    pub rows: Vec<RowState>,
    /// Whether these are all, and reading did not stop early.
    pub is_whole: bool,
}

/// What is kept of mutations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Receipts {
    /// The results of those that were asked for, as JSON.
    pub found: Vec<(Uuid, String)>,
    /// How many are kept of the person.
    pub count: usize,
}
