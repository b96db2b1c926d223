//! The wire types of `POST /sync` and its relatives, with the protocol's field names.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use ryzed_adapters::{FieldError, Row, Strategy, code};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::cursor::{Cursor, null_as_default};
use super::digest::Digest;
use super::ids::{DeviceId, RowId, Version};
use super::names::Names;
use super::raw::Uploads;
use super::strangers::{Strangers, fields_of};

/// Among how many uploads of a request keys are looked for: what one app writes, it writes alike in all.
const MOST_UPLOADS: usize = 20;

/// The body of `POST /sync`. Only `device_id` is required, and over a socket not even that; `null` is the same as absent.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct SyncRequest {
    /// The device that syncs.
    #[serde(default)]
    pub device_id: Option<DeviceId>,
    /// `mobile`, `web`, `desktop`, `watch`.
    #[serde(default)]
    pub device_type: Option<String>,
    /// The app's release.
    #[serde(default)]
    pub app_version: Option<String>,
    /// The person's name for the device.
    #[serde(default)]
    pub device_name: Option<String>,
    /// The number of changes that the device has queued.
    #[serde(default)]
    pub pending_uploads: Option<u32>,
    /// The start of a download without a cursor: every row changed at or after this time.
    #[serde(default)]
    pub last_sync_timestamp: Option<DateTime<Utc>>,
    /// The device's cursor.
    #[serde(default)]
    pub cursor: Option<Cursor>,
    /// The tables to download; none named means all.
    #[serde(default, deserialize_with = "null_as_default")]
    pub tables: Names,
    /// Download everything, whatever the cursor says.
    #[serde(default, deserialize_with = "null_as_default")]
    pub force_full_sync: bool,
    /// The most rows to download.
    #[serde(default)]
    pub limit: Option<i64>,
    /// The strategy for changes that name none of their own.
    #[serde(default)]
    pub conflict_strategy: Option<Strategy>,
    /// All changes or none.
    #[serde(default, deserialize_with = "null_as_default")]
    pub atomic: bool,
    /// True if the answer should include a digest.
    #[serde(default, deserialize_with = "null_as_default")]
    pub digest: bool,
    /// The uploads. Each is read on its own, so that a malformed one does not stop the others.
    #[serde(default, deserialize_with = "null_as_default")]
    pub changes: Uploads,
}

/// The operation that a client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Intent {
    /// A new row.
    Insert,
    /// Some fields of a row that exists.
    Update,
    /// A new row, or some fields of it when it exists.
    Upsert,
    /// No row.
    Delete,
}

/// One upload.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Mutation {
    /// Names the change, so that a retry is recognised.
    #[serde(default)]
    pub mutation_id: Option<Uuid>,
    /// The table.
    pub table: String,
    /// The requested operation.
    pub operation: Intent,
    /// The row, or the part of it that changed, with its `id`.
    pub data: Row,
    /// The version of the row that the client edited.
    #[serde(default)]
    pub base_version: Option<Version>,
    /// The strategy for its conflicts.
    #[serde(default)]
    pub conflict_strategy: Option<Strategy>,
    /// The changes kept with it in an open conflict: those of rows that were to become parts of the row.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Mutation>,
}

/// The result of one upload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChangeResult {
    /// The change.
    pub mutation_id: Option<Uuid>,
    /// The status of the change.
    pub status: Status,
    /// Its table.
    pub table: String,
    /// Its row, when it named one.
    pub id: Option<RowId>,
    /// The row's version afterwards; none when nothing is known of the row.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// Why it was rejected.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

impl ChangeResult {
    /// True if it is refused because of the present state and not its content, so that the client keeps and resends it.
    #[must_use]
    pub fn is_refused_for_now(&self) -> bool {
        self.status == Status::Rejected && is_for_now(&self.errors)
    }
}

/// True if these errors come from the present state and not from the change's content.
#[must_use]
pub fn is_for_now(errors: &[FieldError]) -> bool {
    !errors.is_empty() && errors.iter().all(|error| error.code == code::IN_FUTURE)
}

/// The outcome of one upload, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Done as asked.
    Applied,
    /// Done, together with somebody else's edit of other fields.
    Merged,
    /// Two sides changed the same; the strategy settled it.
    Conflict,
    /// Not done.
    Rejected,
}

/// Two sides changed the same, and how it was settled. What can be had elsewhere may be left out, see
/// [`Telling`](super::decide::Telling).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Conflict {
    /// Names an open conflict, to be settled with `/conflicts/{id}/resolve`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflict_id: Option<Uuid>,
    /// The upload that met it.
    pub mutation_id: Option<Uuid>,
    /// The table.
    pub table: String,
    /// The row.
    pub id: RowId,
    /// The strategy that settled it.
    pub strategy: Strategy,
    /// The fields, one by one.
    pub fields: Vec<ConflictField>,
    /// The row as it is now; null when it is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    pub row: Option<Option<Row>>,
    /// The rows that were to become parts of this row, which was deleted elsewhere; they wait with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Part>,
}

/// A row that was to become a part of one that was deleted elsewhere.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// The upload that brought it.
    pub mutation_id: Option<Uuid>,
    /// Its table.
    pub table: String,
    /// The row.
    pub id: RowId,
    /// The uploaded values. Left out where there is no room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Row>,
}

/// One field that two sides changed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ConflictField {
    /// Its name.
    pub field: String,
    /// The value that the client started from; null when that is no longer known.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    pub base: Option<Value>,
    /// The value that the server held.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    pub server: Option<Value>,
    /// The value that the client sent.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    pub client: Option<Value>,
    /// The value after the conflict.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    pub resolved: Option<Value>,
}

/// A member that is there, though it may be null.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(reader: D) -> Result<Option<T>, D::Error> {
    T::deserialize(reader).map(Some)
}

/// The answer to `POST /sync`, and to `GET /changes` without the upload's part.
#[derive(Debug, Serialize)]
pub struct SyncResponse {
    /// The `last_sync_timestamp` of the next request, for a client without a cursor.
    pub sync_timestamp: String,
    /// Rows by table, `{"food_entries":[…]}`, in version order.
    pub changes: Box<RawValue>,
    /// Deleted rows by table, in version order.
    pub deletions: BTreeMap<&'static str, Vec<Deletion>>,
    /// Conflicts that the uploads met.
    pub conflicts: Vec<Conflict>,
    /// The results of the uploads, in their order.
    pub results: Vec<ChangeResult>,
    /// The time for the next sync, for a client without a socket.
    pub next_sync_recommended: String,
    /// Rows and deletions in this answer.
    pub total_changes: usize,
    /// The client's cursor once it has this answer.
    pub cursor: Cursor,
    /// True if the client should call again at once.
    pub has_more: bool,
    /// True if the client must drop its copy and start at zero.
    pub reset: bool,
    /// The live rows at the cursor, when they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// Tables that the answer says nothing of, since they are stopped; what they lack comes later. Changes to them have no
    /// result yet.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stopped: Vec<&'static str>,
}

impl SyncResponse {
    /// About how long it is as JSON, in bytes; so much room is enough for most.
    #[must_use]
    pub fn about_bytes(&self) -> usize {
        const EACH: usize = 250;
        let others = self.results.len() + self.conflicts.len() + self.deletions.values().map(Vec::len).sum::<usize>();
        self.changes.get().len() + 2000 + EACH * others
    }

    /// The number of changes to announce to the user's devices: the uploads that took effect, or what a full sync
    /// brought. None for a plain download, which tells nobody, else devices would chase each other.
    #[must_use]
    pub fn notable_changes(&self, full: bool) -> Option<usize> {
        let done = self.results.iter().filter(|result| result.status != Status::Rejected).count();
        match (done, full) {
            (0, false) => None,
            (0, true) => Some(self.total_changes),
            _ => Some(done),
        }
    }
}

/// A deleted row.
#[derive(Debug, Clone, Serialize)]
pub struct Deletion {
    /// The row.
    pub id: RowId,
    /// The version that deleted it.
    #[serde(rename = "_version")]
    pub version: Version,
}

impl Strangers {
    /// Adds those of uploads.
    pub fn add_uploads(&mut self, uploads: &Uploads) {
        let known = fields_of::<Mutation>();
        for upload in uploads.list.iter().take(MOST_UPLOADS) {
            self.look(upload.get().as_bytes(), "changes.", |name| known.contains(&name));
        }
    }
}
