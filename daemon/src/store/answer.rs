//! What both houses read from an answer of their database in the same way.

use serde_json::value::RawValue;

use super::{DeviceRow, StoreError};

/// A device's columns, in the order in which both houses select them.
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

/// JSON that the database has made, to be passed on as it is.
pub(super) fn raw(json: String) -> Result<Box<RawValue>, StoreError> {
    RawValue::from_string(json).map_err(|error| StoreError::Failed(format!("the database made no JSON: {error}")))
}
