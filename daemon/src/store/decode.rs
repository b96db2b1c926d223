//! Decoding of the database's answers that both backends share.

use diesel::sql_types::{BigInt, Text};
use ryzed_adapters::Table;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use uuid::Uuid;

use super::{DeviceRow, OpenConflict, OpenStand, Receipts, StoreError};
use crate::sync::digest::{Hash, TableDigest};
use crate::sync::said;

/// The device's error for a row that a trigger skips silently.
pub const NOT_TAKEN: &str = "the database does not take it";
/// The device's error for a deletion that a trigger skips silently.
pub(super) const KEPT: &str = "the database keeps the row";

/// The number of rows in a JSON array.
pub(super) fn count(rows: &str) -> usize {
    serde_json::from_str::<Vec<&RawValue>>(rows).map_or(0, |rows| rows.len())
}

/// A device's columns, in the order in which both backends select them.
pub(super) type DeviceTuple = (
    String,
    Option<String>,
    Option<String>,
    Option<String>,
    String,
    String,
    Option<String>,
    i64,
    Option<String>,
    Option<String>,
);

/// The device; none when its id is none of ours.
pub(super) fn device_of(row: DeviceTuple) -> Option<DeviceRow> {
    let (id, device_type, app_version, name, first_seen, last_seen, last_sync, pending_uploads, cursor, revoked_at) =
        row;
    let id = id.parse().ok()?;
    Some(DeviceRow {
        id,
        device_type,
        app_version,
        name,
        first_seen,
        last_seen,
        last_sync,
        pending_uploads,
        cursor,
        revoked_at,
    })
}

/// The sums of a table's live rows: its name, count, sum of versions, and the sums of the hash.
pub(super) type Sums = (Text, BigInt, BigInt, BigInt, BigInt);
/// The sums as they are read.
pub(super) type SumsTuple = (String, i64, i64, i64, i64);

/// The digest of the table that they are of.
pub(super) fn digest_of((table, rows, version_sum, p, q): SumsTuple) -> (String, TableDigest) {
    (table, TableDigest { rows, version_sum, hash: Hash::from_sums([p, q]) })
}

/// An open conflict's columns, in the order in which both backends select them.
pub(super) type OpenTuple = (String, Option<String>, String, String);

/// The open conflict; none when its id is none of ours.
pub(super) fn open_of((id, place, conflict, mutation): OpenTuple) -> Option<OpenConflict> {
    Some(OpenConflict { id: Uuid::try_parse(&id).ok()?, place, conflict, mutation })
}

/// Receipts by id, and their number in a row without one.
pub(super) fn receipts_of(rows: Vec<(String, String)>) -> Receipts {
    let mut receipts = Receipts::default();
    for (id, result) in rows {
        match Uuid::try_parse(&id) {
            Ok(id) => receipts.found.push((id, result)),
            Err(_) => receipts.count = result.parse().unwrap_or_default(),
        }
    }
    receipts
}

/// A count and bytes.
pub(super) fn stand_of((count, bytes): (i64, i64)) -> OpenStand {
    OpenStand { count: usize::try_from(count).unwrap_or_default(), bytes: usize::try_from(bytes).unwrap_or_default() }
}

/// JSON that the database has made, to be passed on as it is.
pub(super) fn raw(json: String) -> Result<Box<RawValue>, StoreError> {
    RawValue::from_string(json).map_err(|error| StoreError::Failed(format!("the database made no JSON: {error}")))
}

/// Former values as they travel, marked where one can't be said.
pub(super) fn former_said(table: &Table, noted: String) -> String {
    let noted = to_wire(table, noted);
    let Ok(mut fields) = serde_json::from_str::<Map<String, Value>>(&noted) else { return noted };
    if said::unsaid(table, &fields).is_empty() {
        return noted;
    }
    said::mark(table, &mut fields);
    Value::Object(fields).to_string()
}

/// Former values without those of columns that stay home: they were noted while these were let out.
pub(super) fn to_wire(table: &Table, noted: String) -> String {
    if table.hidden.is_empty() {
        return noted;
    }
    let mut fields: Map<String, Value> = serde_json::from_str(&noted).unwrap_or_default();
    fields.retain(|name, _| table.column(name).is_some());
    Value::Object(fields).to_string()
}
