//! The server's messages, with the protocol's field names.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use ryzed_adapters::format_time;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::sync::wire::{ChangeResult, Conflict, SyncResponse};
use crate::sync::{Cursor, DeviceId, RowId, Scope, UserId, Version};

/// One message to a client. `timestamp` is added to all of them by [`encode`].
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum ServerMessage<'a> {
    /// The first message.
    ConnectionEstablished {
        user_id: UserId,
        device_id: &'a DeviceId,
        server_version: &'static str,
        heartbeat_seconds: u64,
        cursor: &'a Cursor,
        /// Parameters of the address, and keys of a first message, that nothing reads.
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        ignored: &'a [String],
    },
    /// The answer to a ping.
    Pong {
        /// Keys of the message that nothing reads.
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        ignored: &'a [String],
    },
    /// Keys that nothing reads, of a message that has no answer of its own.
    Ignored {
        /// The type of the message.
        answers: &'a str,
        /// Its keys that nothing reads.
        ignored: &'a [String],
    },
    /// A change that a device made.
    DataUpdated {
        table: &'static str,
        operation: &'static str,
        data: RowOrId<'a>,
        source_device: &'a DeviceId,
        scope: Scope,
        version: Version,
    },
    /// A change that was written straight into the database.
    DatabaseChange {
        table: &'static str,
        operation: &'static str,
        old_record: Option<RowOrId<'a>>,
        new_record: Option<&'a RawValue>,
        scope: Scope,
        version: Version,
    },
    /// The result of a change that this device sent.
    ChangeResult {
        #[serde(flatten)]
        result: &'a ChangeResult,
        #[serde(skip_serializing_if = "Option::is_none")]
        conflict: Option<&'a Conflict>,
        /// Keys of the message that nothing reads.
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        ignored: &'a [String],
    },
    /// The answer to a sync.
    SyncResponse {
        request_id: &'a Value,
        #[serde(flatten)]
        response: &'a SyncResponse,
        /// Keys of the message that nothing reads.
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        ignored: &'a [String],
    },
    /// Please sync; `device_id` is the device that asked for it, if one did.
    SyncTriggered { device_id: Option<&'a DeviceId>, changes_count: usize },
    /// This device has synced.
    SyncCompleted { device_id: &'a DeviceId, changes_count: usize },
    /// Another device of the user has synced.
    OtherDeviceSynced { device_id: &'a DeviceId, changes_count: usize },
    /// Something was dropped or can't be served: pull from `cursor`.
    SyncRequired { reason: &'static str, cursor: &'a Cursor },
    /// Another device of the user came or went.
    Presence { device_id: &'a DeviceId, device_type: Option<&'a str>, is_online: bool },
    /// Passed on from another device, not stored.
    Broadcast { event: &'a str, payload: Option<&'a RawValue>, source_device: Option<&'a DeviceId> },
    /// The token is about to end.
    TokenExpiring { expires_at: String },
    /// A message could not be answered.
    Error {
        code: &'static str,
        detail: &'a str,
        /// The type of the message that it answers.
        #[serde(skip_serializing_if = "Option::is_none")]
        answers: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        mutation_id: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        request_id: Option<&'a Value>,
    },
}

/// A row as it is in the database, or its id alone when it is gone.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum RowOrId<'a> {
    /// The row's JSON.
    Row(&'a RawValue),
    /// Its id.
    Id(OnlyId<'a>),
}

/// `{"id": …}`.
#[derive(Serialize)]
pub(crate) struct OnlyId<'a> {
    /// The row.
    pub id: &'a RowId,
}

#[derive(Serialize)]
struct Stamped<'a> {
    #[serde(flatten)]
    message: &'a ServerMessage<'a>,
    timestamp: String,
}

/// The room for a message that is not known to be long, in bytes.
pub(crate) const SMALL: usize = 256;

/// The message with its timestamp, as it is sent.
pub(crate) fn encode(message: &ServerMessage<'_>, now: DateTime<Utc>) -> Bytes {
    written(message, SMALL, now).into()
}

/// The same of about so many bytes, before anybody shares it.
pub(crate) fn written(message: &ServerMessage<'_>, about: usize, now: DateTime<Utc>) -> Vec<u8> {
    let stamped = Stamped { message, timestamp: format_time(now) };
    let mut text = Vec::with_capacity(about);
    // Serialising these types into memory can't fail; should it ever, the client sees that something went wrong.
    match serde_json::to_writer(&mut text, &stamped) {
        Ok(()) => text,
        Err(_) => br#"{"type":"error","code":"internal","detail":"could not be encoded"}"#.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::sync::wire::Status;

    fn sent(message: &ServerMessage<'_>) -> Value {
        serde_json::from_slice(&encode(message, DateTime::UNIX_EPOCH)).unwrap()
    }

    #[test]
    fn a_result_lies_flat_in_its_message() {
        let result = ChangeResult {
            mutation_id: None,
            status: Status::Applied,
            table: "foods".into(),
            id: Some("f-1".into()),
            version: Some(3),
            errors: vec![],
        };
        let expected = json!({"type": "change_result", "mutation_id": null, "status": "applied", "table": "foods",
            "id": "f-1", "version": 3, "timestamp": "1970-01-01T00:00:00.000000Z"});
        assert_eq!(sent(&ServerMessage::ChangeResult { result: &result, conflict: None, ignored: &[] }), expected);
    }

    #[test]
    fn a_sync_response_is_spliced_into_its_message() {
        let response = SyncResponse {
            sync_timestamp: String::new(),
            changes: RawValue::from_string(r#"{"foods":[{"id":"f-1","calories":1.50}]}"#.into()).unwrap(),
            deletions: Default::default(),
            conflicts: vec![],
            results: vec![],
            next_sync_recommended: String::new(),
            total_changes: 1,
            cursor: Cursor::zero("k3f9"),
            has_more: false,
            reset: false,
            digest: None,
            stopped: Vec::new(),
        };
        let id = json!("r-1");
        let frame =
            encode(&ServerMessage::SyncResponse { request_id: &id, response: &response, ignored: &[] }, Utc::now());
        let text = std::str::from_utf8(&frame).unwrap();
        assert!(text.contains(r#""changes":{"foods":[{"id":"f-1","calories":1.50}]}"#), "{text}");
        let value: Value = serde_json::from_slice(&frame).unwrap();
        assert_eq!((&value["type"], &value["request_id"]), (&json!("sync_response"), &id));
        assert_eq!(value["cursor"]["epoch"], "k3f9");
    }

    #[test]
    fn a_bare_message_has_its_type_and_time() {
        assert_eq!(
            sent(&ServerMessage::Pong { ignored: &[] }),
            json!({"type": "pong", "timestamp": "1970-01-01T00:00:00.000000Z"})
        );
    }
}
