//! A change as it goes to sockets: encoded once, shared by all of them.

use bytes::Bytes;
use chrono::{DateTime, Utc};

use super::message::{self, ServerMessage};
use crate::sync::{ChangeRecord, DeviceId, Operation, Scope, Version};

/// The position of a frame in its scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    /// The scope.
    pub scope: Scope,
    /// The version.
    pub version: Version,
}

/// An encoded change.
#[derive(Debug, Clone)]
pub(crate) struct ChangeFrame {
    /// The encoded message.
    pub bytes: Bytes,
    /// Its position in the scope.
    pub mark: Mark,
    /// The table, for subscriptions.
    pub table: &'static str,
    /// The device that made the change, and does not get it.
    pub source: Option<DeviceId>,
    /// True if the database hides the row from sessions: a pull with a token finds out who may see it.
    pub is_hidden: bool,
}

impl ChangeFrame {
    /// Encodes `record`: `data_updated` when a device made it, else `database_change`.
    pub(crate) fn of(record: &ChangeRecord, now: DateTime<Utc>) -> Self {
        Self {
            bytes: encode(record, now),
            mark: Mark { scope: record.scope, version: record.version },
            table: record.table,
            source: record.source_device.clone(),
            is_hidden: record.is_hidden(),
        }
    }
}

/// The record as a message.
#[must_use]
pub fn encode(record: &ChangeRecord, now: DateTime<Utc>) -> Bytes {
    let (table, operation) = (record.table, record.operation.as_str());
    let (scope, version) = (record.scope, record.version);
    let only_id = message::OnlyId { id: &record.id };
    let row = record.row.as_deref();
    let message = match &record.source_device {
        Some(source_device) => ServerMessage::DataUpdated {
            table,
            operation,
            data: row.map_or(message::RowOrId::Id(only_id), message::RowOrId::Row),
            source_device,
            scope,
            version,
        },
        None => ServerMessage::DatabaseChange {
            table,
            operation,
            old_record: match (record.operation, record.old.as_deref()) {
                (_, Some(old)) => Some(message::RowOrId::Row(old)),
                (Operation::Insert, None) => None,
                (_, None) => Some(message::RowOrId::Id(only_id)),
            },
            new_record: row,
            scope,
            version,
        },
    };
    message::encode(&message, now)
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;
    use serde_json::{Value, json};

    use super::*;

    fn record(source: Option<&str>, operation: Operation) -> ChangeRecord {
        let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        ChangeRecord {
            scope: Scope::Global,
            version: 7,
            table: "foods",
            operation,
            id: "f-1".into(),
            source_device: source.map(|id| id.parse().unwrap()),
            row: (operation != Operation::Delete).then(|| raw(r#"{"id":"f-1","calories":1.50,"_version":7}"#)),
            old: (operation == Operation::Update).then(|| raw(r#"{"id":"f-1","calories":2}"#)),
        }
    }

    fn sent(record: &ChangeRecord) -> Value {
        serde_json::from_slice(&encode(record, DateTime::UNIX_EPOCH)).unwrap()
    }

    #[test]
    fn a_devices_change_is_data_updated() {
        let frame = encode(&record(Some("web-1"), Operation::Update), DateTime::UNIX_EPOCH);
        let text = std::str::from_utf8(&frame).unwrap();
        assert!(text.contains(r#""data":{"id":"f-1","calories":1.50,"_version":7}"#), "spliced as it was: {text}");
        let deleted = sent(&record(Some("web-1"), Operation::Delete));
        let expected = json!({"type": "data_updated", "table": "foods", "operation": "DELETE", "data": {"id": "f-1"},
            "source_device": "web-1", "scope": "global", "version": 7, "timestamp": "1970-01-01T00:00:00.000000Z"});
        assert_eq!(deleted, expected);
    }

    #[test]
    fn a_change_by_sql_is_database_change() {
        let updated = sent(&record(None, Operation::Update));
        assert_eq!(updated["type"], "database_change");
        assert_eq!(updated["old_record"], json!({"id": "f-1", "calories": 2}));
        assert_eq!(updated["new_record"]["_version"], 7);
        assert_eq!(sent(&record(None, Operation::Insert))["old_record"], Value::Null);
        let deleted = sent(&record(None, Operation::Delete));
        assert_eq!((&deleted["old_record"], &deleted["new_record"]), (&json!({"id": "f-1"}), &Value::Null));
    }
}
