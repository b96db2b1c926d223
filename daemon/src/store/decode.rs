//! Decoding of the database's answers that both backends share.

use diesel::sql_types::{BigInt, Nullable, Text};
use ryzed_adapters::{Registry, Table};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use uuid::Uuid;

use super::times::StoredTimes;
use super::{DeviceRow, Entry, OpenConflict, OpenStand, Receipts, RowState, ScopeState, StoreError};
use crate::sync::digest::{Hash, TableDigest};
use crate::sync::{Operation, RowId, Scope, said};

type Maybe = Nullable<Text>;

/// The device's error for a row that a trigger skips silently.
pub const NOT_TAKEN: &str = "the database does not take it";
/// The device's error for a deletion that a trigger skips silently.
pub(super) const KEPT: &str = "the database keeps the row";

/// The number of rows in a JSON array.
pub(super) fn count(rows: &str) -> usize {
    serde_json::from_str::<Vec<&RawValue>>(rows).map_or(0, |rows| rows.len())
}

/// A scope's columns, in the order in which both backends select them: its name, version, floor and time.
pub(super) type ScopeColumns = (Text, BigInt, BigInt, Text);
/// The columns of [`ScopeColumns`] as they are read.
pub(super) type ScopeTuple = (String, i64, i64, String);

/// The states of scopes.
pub(super) fn scopes_of(rows: Vec<ScopeTuple>) -> Vec<ScopeState> {
    let states = rows.into_iter().filter_map(|(scope, version, floor, changed_at)| {
        Some(ScopeState { scope: scope.parse().ok()?, version, floor, changed_at })
    });
    states.collect()
}

/// The columns of a row and its entry in the index, in the order in which both backends select them: id, row, scope, version,
/// operation, field versions, former values.
pub(super) type StateColumns = (Text, Maybe, Maybe, Nullable<BigInt>, Maybe, Maybe, Maybe);
/// The columns of [`StateColumns`] as they are read; `J` holds JSON.
pub(super) type StateTuple<J = String> =
    (String, Option<J>, Option<String>, Option<i64>, Option<String>, Option<String>, Option<J>);

/// The state of a row, as it is noted; none when there is neither a row nor an entry.
pub(super) fn state_of<J: Into<String>>(state: StateTuple<J>) -> Option<RowState> {
    let (id, row, scope, version, operation, field_versions, previous) = state;
    (row.is_some() || scope.is_some()).then(|| RowState {
        id: id.into(),
        row: row.map(Into::into),
        scope: scope.and_then(|scope| scope.parse().ok()),
        version: version.unwrap_or(0),
        operation: operation.as_deref().and_then(Operation::of).unwrap_or(Operation::Insert),
        field_versions: field_versions.unwrap_or_else(|| NOTHING.into()),
        previous: previous.map_or_else(|| NOTHING.into(), Into::into),
    })
}

/// The noted values of a row of which none are noted.
pub(super) const NOTHING: &str = "{}";

/// Rows with the scopes that they belong to.
pub(super) fn owners_of(rows: Vec<(String, String)>) -> Vec<(RowId, Scope)> {
    rows.into_iter().filter_map(|(id, scope)| Some((id.into(), scope.parse().ok()?))).collect()
}

/// An entry's columns, in the order in which both backends select them: version, table, id, operation.
pub(super) type EntryColumns = (BigInt, Text, Text, Text);

/// The entries of the change index.
pub(super) fn entries_of(rows: Vec<(i64, String, String, String)>, registry: &Registry) -> Vec<Entry> {
    let entries = rows.into_iter().map(|(version, table, id, operation)| Entry {
        version,
        table: registry.get(&table).map(|table| table.name),
        id: id.into(),
        operation: Operation::of(&operation).unwrap_or(Operation::Update),
    });
    entries.collect()
}

/// The columns of the stored times: of the newest change, the one believed, the database's own.
pub(super) type TimesColumns = (Maybe, Maybe, Text);

/// The stored times.
pub(super) fn times_of(rows: Vec<(Option<String>, Option<String>, String)>) -> Result<StoredTimes, StoreError> {
    let found = rows.into_iter().next().map(|(newest, believed, here)| StoredTimes { newest, believed, here });
    found.ok_or_else(|| StoreError::Failed("the database tells no time".into()))
}

/// A device's columns, in the order in which both backends select them.
pub(super) type DeviceColumns = (Text, Maybe, Maybe, Maybe, Text, Text, Maybe, BigInt, Maybe, Maybe);
/// The columns of [`DeviceColumns`] as they are read.
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

/// An open conflict's columns, in the order in which both backends select them: id, place, conflict, mutation.
pub(super) type OpenColumns = (Text, Maybe, Text, Text);
/// The columns of [`OpenColumns`] as they are read.
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
