//! What instances tell each other, and how it is written: compact JSON with a version of its own.

use bytes::Bytes;
use ryzed_adapters::Registry;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::service::Committed;
use crate::sync::{ChangeRecord, DeviceId, Operation, RowId, Scope, UserId, Version};

/// The version of this form. An instance that gets another one does not read it, but asks the database.
const FORM: u8 = 1;

/// A message and where it comes from.
#[derive(Serialize, Deserialize)]
struct Envelope<'m> {
    v: u8,
    from: Uuid,
    /// The same was handed to Redis: whoever hears that gets it twice.
    #[serde(default, skip_serializing_if = "is_false")]
    again: bool,
    #[serde(borrow)]
    m: Message<'m>,
}

/// What one instance tells others. Each may be lost, come twice or late.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Message<'m> {
    /// A scope has moved.
    Committed {
        /// `global` or `user:<uuid>`.
        scope: String,
        /// Where it stands, at least.
        version: Version,
        /// The changes that led there, when they are small.
        #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
        records: Vec<Carried<'m>>,
    },
    /// Something for clients, as they get it.
    Pass {
        /// For whom.
        to: Addressees,
        /// What they get.
        #[serde(borrow)]
        frame: &'m RawValue,
    },
    /// A device's socket is to be closed.
    Close {
        /// Whose device.
        user: UserId,
        /// Which one.
        device: DeviceId,
        /// Only this socket at this instance, when a newer one has come; else it was revoked.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<(Uuid, u64)>,
    },
    /// Any scope may have moved: ask the database.
    Look,
    /// An instance has come, or is heard in another way than before: ask who there is, and look.
    Hello,
}

/// Which devices something is for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Addressees {
    /// Of this person; of everybody when none is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<UserId>,
    /// Only this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub only: Option<DeviceId>,
    /// Not this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub except: Option<DeviceId>,
    /// Only those that receive this table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
}

/// A change as it travels between instances.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Carried<'m> {
    version: Version,
    table: String,
    operation: Operation,
    id: RowId,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<DeviceId>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    row: Option<&'m RawValue>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    old: Option<&'m RawValue>,
}

/// What came of reading a message.
#[derive(Debug)]
pub(crate) enum Read<'m> {
    /// It is from this instance itself.
    Own,
    /// It is from another.
    Other(Origin, Message<'m>),
    /// It can't be read, as it is from a newer release or from somebody else.
    Unknown,
}

/// Where a message comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin {
    /// Which instance.
    pub from: Uuid,
    /// Whether it is the second copy of what was handed to Redis as well.
    pub again: bool,
}

/// The message as its origin sends it.
pub(crate) fn write(Origin { from, again }: Origin, message: &Message<'_>) -> Bytes {
    let envelope = Envelope { v: FORM, from, again, m: message.clone() };
    // Serialising these types into memory can't fail; nothing is what no instance takes for a message.
    serde_json::to_vec(&envelope).map(Bytes::from).unwrap_or_default()
}

/// What a message says to the instance `me`.
pub(crate) fn read(me: Uuid, bytes: &[u8]) -> Read<'_> {
    match serde_json::from_slice::<Envelope<'_>>(bytes) {
        Ok(envelope) if envelope.from == me => Read::Own,
        Ok(Envelope { v: FORM, from, again, m }) => Read::Other(Origin { from, again }, m),
        Ok(_) | Err(_) => Read::Unknown,
    }
}

// serde asks by reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_false(value: &bool) -> bool {
    !value
}

/// A commit as a message; its changes are left out where it would be too large with them.
pub(crate) fn of_commit(commit: &Committed, largest: usize) -> Message<'_> {
    let size: usize = commit.records.iter().map(ChangeRecord::size).sum();
    let attached = if size < largest { commit.records.as_slice() } else { &[] };
    let records = attached.iter().map(|record| Carried {
        version: record.version,
        table: record.table.to_owned(),
        operation: record.operation,
        id: record.id.clone(),
        source: record.source_device.clone(),
        row: record.row.as_deref(),
        old: record.old.as_deref(),
    });
    Message::Committed { scope: commit.scope.to_string(), version: commit.version, records: records.collect() }
}

/// The commit that a message tells of. A table that is not known here leaves only the version.
pub(crate) fn to_commit(
    scope: &str,
    version: Version,
    records: Vec<Carried<'_>>,
    registry: &Registry,
) -> Option<Committed> {
    let scope: Scope = scope.parse().ok()?;
    let records: Option<Vec<ChangeRecord>> = records
        .into_iter()
        .map(|carried| {
            Some(ChangeRecord {
                scope,
                version: carried.version,
                table: registry.get(&carried.table)?.name,
                operation: carried.operation,
                id: carried.id,
                source_device: carried.source,
                row: carried.row.map(ToOwned::to_owned),
                old: carried.old.map(ToOwned::to_owned),
            })
        })
        .collect();
    Some(Committed { scope, version, records: records.unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: Uuid = Uuid::from_u128(1);
    const OTHER: Uuid = Uuid::from_u128(2);

    fn first(from: Uuid) -> Origin {
        Origin { from, again: false }
    }

    fn commit(row: &str) -> Committed {
        let record = ChangeRecord {
            scope: Scope::Global,
            version: 7,
            table: "foods",
            operation: Operation::Update,
            id: "f-1".into(),
            source_device: "web-1".parse().ok(),
            row: RawValue::from_string(row.to_owned()).ok(),
            old: None,
        };
        Committed { scope: Scope::Global, version: 7, records: vec![record] }
    }

    #[test]
    fn a_commit_arrives_as_it_was_sent() {
        let bytes = write(first(OTHER), &of_commit(&commit(r#"{"id":"f-1","calories":1.50}"#), 1000));
        let Read::Other(Origin { from: OTHER, again: false }, Message::Committed { scope, version, records }) =
            read(ME, &bytes)
        else {
            panic!("{bytes:?}")
        };
        let arrived = to_commit(&scope, version, records, &Registry::standard()).unwrap();
        assert_eq!((arrived.scope, arrived.version, arrived.records.len()), (Scope::Global, 7, 1));
        let record = &arrived.records[0];
        assert_eq!(record.row.as_ref().unwrap().get(), r#"{"id":"f-1","calories":1.50}"#, "not a digit is another");
        assert_eq!((record.table, record.operation, record.version), ("foods", Operation::Update, 7));
        assert_eq!(record.source_device.as_ref().unwrap().as_str(), "web-1");
    }

    #[test]
    fn a_large_commit_is_only_hinted_at() {
        let large = format!(r#"{{"id":"f-1","name_en":"{}"}}"#, "x".repeat(1000));
        assert!(write(first(OTHER), &of_commit(&commit(&large), 1000)).len() < 200);
    }

    #[test]
    fn own_messages_and_unknown_forms_are_told_apart() {
        let bytes = write(Origin { from: ME, again: true }, &Message::Look);
        assert!(matches!(read(ME, &bytes), Read::Own));
        assert!(matches!(read(OTHER, &bytes), Read::Other(Origin { from: ME, again: true }, Message::Look)));
        let newer = String::from_utf8(bytes.to_vec()).unwrap().replace("\"v\":1", "\"v\":2");
        assert!(matches!(read(OTHER, newer.as_bytes()), Read::Unknown));
        assert!(matches!(read(OTHER, b"hello"), Read::Unknown));
        let unknown_table = to_commit("global", 3, vec![], &Registry::standard()).unwrap();
        assert_eq!((unknown_table.version, unknown_table.records.len()), (3, 0));
        assert!(to_commit("planet", 3, vec![], &Registry::standard()).is_none());
    }
}
