//! The messages between instances, and their encoding before they are sealed: compact JSON with a version of its own.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::sync::{DeviceId, UserId, Version};

/// The version of this form. An instance that gets another one does not read it, but asks the database. The first was not
/// sealed.
const FORM: u8 = 2;

/// A message.
#[derive(Serialize, Deserialize)]
struct Envelope<'m> {
    v: u8,
    /// The same was handed to Redis: a receiver with Redis gets it twice.
    #[serde(default, skip_serializing_if = "is_false")]
    again: bool,
    #[serde(borrow)]
    m: Message<'m>,
}

/// A message from one instance to others. Each may be lost, come twice or late.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Message<'m> {
    /// A scope has moved: read it from the database.
    Moved {
        /// `global` or `user:<uuid>`.
        #[serde(borrow)]
        scope: Cow<'m, str>,
        /// The scope's version. A reader that has it from the database already need not read.
        version: Version,
        /// The table whose rows have changed, when it is one: a guess that makes the reading cheaper.
        #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
        table: Option<Cow<'m, str>>,
    },
    /// Something for clients, as they get it.
    #[serde(borrow)]
    Pass(Passed<'m>),
    /// A device's socket may have to be closed: ask the database whether it has connected elsewhere.
    Doubt {
        /// The owner of the device.
        user: UserId,
        /// The device.
        device: DeviceId,
    },
    /// A device was revoked: ask the database which of the person's devices may stay.
    Revoked {
        /// The owner of the device.
        user: UserId,
    },
    /// Any scope may have moved: ask the database.
    #[serde(rename = "look")]
    Resync,
    /// Anything may have been said unheard: ask the database.
    Missed,
    /// An instance has come, or its way has changed: read the instances from the database, and resync.
    Hello,
}

/// Something for clients.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Passed<'m> {
    /// The devices that it is for.
    pub to: Addressees,
    /// The frame that clients get.
    #[serde(borrow)]
    pub frame: &'m RawValue,
}

impl PartialEq for Passed<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.to == other.to && self.frame.get() == other.frame.get()
    }
}

/// The selection of devices that a message is for.
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

/// The message as it is sealed; `again` for the second copy of what was handed to Redis as well.
pub(crate) fn write(message: &Message<'_>, again: bool) -> Bytes {
    let envelope = Envelope { v: FORM, again, m: message.clone() };
    // Serialising these types into memory can't fail; nothing is what no instance takes for a message.
    serde_json::to_vec(&envelope).map(Bytes::from).unwrap_or_default()
}

/// Decodes a message and tells if it is a second copy; none when it is of a newer release.
pub(crate) fn read(bytes: &[u8]) -> Option<(Message<'_>, bool)> {
    match serde_json::from_slice(bytes) {
        Ok(Envelope { v: FORM, again, m }) => Some((m, again)),
        Ok(_) | Err(_) => None,
    }
}

/// The hello of the release that sealed nothing, which reads only such. It tells anybody that this instance is there.
pub(crate) fn plain_hello(me: Uuid) -> String {
    json!({"v": 1, "from": me, "m": "hello"}).to_string()
}

// serde asks by reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_false(value: &bool) -> bool {
    !value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_arrives_as_it_was_sent() {
        let frame = RawValue::from_string(r#"{"type":"broadcast","payload":1.50}"#.to_owned()).unwrap();
        let to = Addressees { user: Some(UserId(Uuid::nil())), only: "web-1".parse().ok(), ..Addressees::default() };
        for message in [
            Message::Moved { scope: "global".into(), version: 7, table: None },
            Message::Moved { scope: "global".into(), version: 7, table: Some("foods".into()) },
            Message::Pass(Passed { to, frame: &frame }),
            Message::Doubt { user: UserId(Uuid::nil()), device: "web-1".parse().unwrap() },
            Message::Resync,
            Message::Hello,
        ] {
            for again in [false, true] {
                assert_eq!(read(&write(&message, again)), Some((message.clone(), again)));
            }
        }
    }

    #[test]
    fn a_newer_form_is_not_read() {
        let newer = String::from_utf8(write(&Message::Resync, false).to_vec()).unwrap().replace("\"v\":2", "\"v\":3");
        for unknown in [newer.as_bytes(), b"hello", b"", br#"{"v":2,"m":"dance"}"#] {
            assert_eq!(read(unknown), None);
        }
    }
}
