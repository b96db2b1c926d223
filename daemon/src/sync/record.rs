//! A change as it is read from the index, ready to be passed on.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::ids::{DeviceId, RowId, Scope, Version};

/// The kind of a change to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Operation {
    /// The row is new in its scope.
    Insert,
    /// The row was there before.
    Update,
    /// The row is gone.
    Delete,
}

impl Operation {
    /// The name on the wire and in the index.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Insert => "INSERT",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
        }
    }

    /// The operation of this name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        [Self::Insert, Self::Update, Self::Delete].into_iter().find(|operation| operation.as_str() == name)
    }
}

/// One entry of the change index with the row as it is now.
///
/// The index holds the latest state of each row, so of several changes of a row only the last is read.
#[derive(Debug, Clone)]
pub struct ChangeRecord {
    /// The scope whose counter gave the version.
    pub scope: Scope,
    /// The version.
    pub version: Version,
    /// The table's name.
    pub table: &'static str,
    /// The latest operation on the row.
    pub operation: Operation,
    /// The row.
    pub id: RowId,
    /// The device that did it; none when it was written straight into the database.
    pub source_device: Option<DeviceId>,
    /// The row as JSON with its `_version`; none when it is deleted.
    pub row: Option<Box<RawValue>>,
    /// `id` and the former values of what this version changed, as JSON; none for an insert.
    pub old: Option<Box<RawValue>>,
}

impl ChangeRecord {
    /// True if the row exists and was not sent.
    #[must_use]
    pub fn is_hidden(&self) -> bool {
        self.row.is_none() && self.operation != Operation::Delete
    }

    /// Roughly the bytes that it takes on the wire.
    #[must_use]
    pub fn size(&self) -> usize {
        const ENVELOPE: usize = 200;
        let bytes = |json: &Option<Box<RawValue>>| json.as_ref().map_or(0, |json| json.get().len());
        ENVELOPE + bytes(&self.row) + bytes(&self.old)
    }
}
