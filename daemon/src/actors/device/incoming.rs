//! What a client says, read field by field. Pure.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::problem::{Problem, code};
use crate::sync::DeviceId;
use crate::sync::wire::SyncRequest;

/// A message that can be worked with.
#[derive(Debug)]
pub(super) enum Incoming {
    /// "I am here", and perhaps how many changes wait on the device.
    Ping { pending_uploads: Option<u32> },
    /// A new token.
    Auth { token: String },
    /// Anything that needs more than the machine.
    Request(Request),
}

/// What a device asks of the service or of the user's other devices.
#[derive(Debug)]
pub(super) enum Request {
    /// How many changes wait on the device.
    Report { pending_uploads: u32 },
    /// One change, as it came.
    Push { change: Value, mutation_id: Option<String> },
    /// A whole sync.
    Sync { request: Box<SyncRequest>, request_id: Value },
    /// Ask the others to sync.
    TriggerSync,
    /// Send these tables.
    Subscribe(Vec<String>),
    /// Do not send these tables.
    Unsubscribe(Vec<String>),
    /// Pass on to the others.
    Broadcast { event: String, payload: Value },
}

#[derive(Deserialize)]
struct Head {
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct Ping {
    #[serde(default)]
    pending_uploads: Option<u32>,
}

#[derive(Deserialize)]
struct Auth {
    token: String,
}

#[derive(Deserialize)]
struct Tables {
    tables: Vec<String>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "only its form is looked at")]
struct Change {
    table: String,
    operation: String,
    data: Map<String, Value>,
}

#[derive(Deserialize)]
struct Broadcast {
    event: String,
    #[serde(default)]
    payload: Value,
}

/// The token of a message of type `auth`; none when it is something else.
pub fn token_of(text: &[u8]) -> Option<String> {
    match read(text, None) {
        Ok(Incoming::Auth { token }) => Some(token),
        _ => None,
    }
}

/// Reads a message of this device.
pub(super) fn read(text: &[u8], device: Option<&DeviceId>) -> Result<Incoming, Problem> {
    let head: Head = serde_json::from_slice(text).map_err(|error| malformed(&error))?;
    let kind = head.kind.as_str();
    read_kind(kind, text, device).map_err(|problem| problem.answering(kind))
}

fn read_kind(kind: &str, text: &[u8], device: Option<&DeviceId>) -> Result<Incoming, Problem> {
    Ok(match kind {
        "ping" => {
            let Ping { pending_uploads } = typed(text)?;
            Incoming::Ping { pending_uploads }
        }
        "auth" => {
            let Auth { token } = typed(text)?;
            Incoming::Auth { token }
        }
        "data_updated" => read_change(typed(text)?)?,
        "sync" => read_sync(typed(text)?, device)?,
        "trigger_sync" => Incoming::Request(Request::TriggerSync),
        "subscribe" => {
            let Tables { tables } = typed(text)?;
            Incoming::Request(Request::Subscribe(tables))
        }
        "unsubscribe" => {
            let Tables { tables } = typed(text)?;
            Incoming::Request(Request::Unsubscribe(tables))
        }
        "broadcast" => {
            let Broadcast { event, payload } = typed(text)?;
            Incoming::Request(Request::Broadcast { event, payload })
        }
        _ => return Err(Problem::new(code::UNKNOWN_TYPE, "there is no message of this type")),
    })
}

/// Without table, operation and data it is no change that could be judged, let alone rejected.
fn read_change(mut change: Map<String, Value>) -> Result<Incoming, Problem> {
    let mutation_id = change.get("mutation_id").and_then(Value::as_str).map(str::to_owned);
    if let Err(error) = Change::deserialize(&change) {
        return Err(Problem { mutation_id, ..malformed(&error) });
    }
    change.retain(|name, _| name != "type" && name != "timestamp");
    Ok(Incoming::Request(Request::Push { change: Value::Object(change), mutation_id }))
}

/// A socket syncs for its own device only: the id may be left out, but not be another one.
fn read_sync(mut body: Map<String, Value>, device: Option<&DeviceId>) -> Result<Incoming, Problem> {
    let request_id = body.remove("request_id").unwrap_or_default();
    let own = device.map(DeviceId::as_str);
    match body.get("device_id") {
        None | Some(Value::Null) => {
            body.insert("device_id".to_owned(), own.into());
        }
        Some(named) if named.as_str() == own => {}
        Some(_) => {
            let detail = "device_id is not this socket's device; leave it out, or connect as that device";
            return Err(Problem { request_id: Some(request_id), ..Problem::new(code::WRONG_DEVICE, detail) });
        }
    }
    match serde_json::from_value(Value::Object(body)) {
        Ok(request) => Ok(Incoming::Request(Request::Sync { request: Box::new(request), request_id })),
        Err(error) => Err(Problem { request_id: Some(request_id), ..malformed(&error) }),
    }
}

fn typed<T: DeserializeOwned>(text: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(text).map_err(|error| malformed(&error))
}

fn malformed(error: &serde_json::Error) -> Problem {
    Problem::new(code::MALFORMED, format!("a message is a JSON object with a type and its fields: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device() -> DeviceId {
        "phone".parse().unwrap()
    }

    fn problem(text: &str) -> Problem {
        read(text.as_bytes(), Some(&device())).unwrap_err()
    }

    #[test]
    fn what_is_no_message_names_what_is_wrong() {
        let deep = "[".repeat(10_000);
        for bad in ["", "nope", "[]", "{}", r#"{"type":7}"#, deep.as_str(), "\u{0}", r#"{"type":"ping""#] {
            assert_eq!(problem(bad).code, code::MALFORMED, "{bad}");
        }
        let missing = problem(r#"{"type":"subscribe"}"#);
        assert_eq!((missing.code, missing.answers.as_deref()), (code::MALFORMED, Some("subscribe")));
        assert_eq!(problem(r#"{"type":"dance"}"#).code, code::UNKNOWN_TYPE);
        assert_eq!(problem(r#"{"type":"ping","pending_uploads":-1}"#).code, code::MALFORMED);
        let change = problem(r#"{"type":"data_updated","mutation_id":"m","table":"foods","operation":"DELETE"}"#);
        assert_eq!((change.code, change.mutation_id.as_deref()), (code::MALFORMED, Some("m")));
    }

    #[test]
    fn a_sync_is_for_the_sockets_own_device() {
        let read = |text: &str| match read(text.as_bytes(), Some(&device())) {
            Ok(Incoming::Request(Request::Sync { request, request_id })) => Ok((request.device_id, request_id)),
            Ok(other) => panic!("{other:?}"),
            Err(problem) => Err((problem.code, problem.request_id)),
        };
        let expected = Ok((device(), Value::from("r")));
        assert_eq!(read(r#"{"type":"sync","request_id":"r"}"#), expected);
        assert_eq!(read(r#"{"type":"sync","request_id":"r","device_id":"phone"}"#), expected);
        let other = read(r#"{"type":"sync","request_id":"r","device_id":"tablet"}"#);
        assert_eq!(other, Err((code::WRONG_DEVICE, Some("r".into()))));
    }

    #[test]
    fn a_change_is_passed_on_as_it_came() {
        let text =
            br#"{"type":"data_updated","table":"foods","operation":"DELETE","data":{"id":"x"},"mutation_id":"m"}"#;
        let Ok(Incoming::Request(Request::Push { change, mutation_id })) = read(text, Some(&device())) else {
            panic!("not a push")
        };
        assert_eq!(mutation_id.as_deref(), Some("m"));
        assert!(change.get("type").is_none() && change["table"] == "foods");
    }
}
