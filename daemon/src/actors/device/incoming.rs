//! Parses a client's message: its type first, then its fields. Pure.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use ryzed_adapters::code as field_code;
use serde::Deserialize;
use serde_json::Value;
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::problem::{Problem, code};
use crate::budget::{LONG_READ, Refused, cost_of};
use crate::config::Limits;
use crate::sync::DeviceId;
use crate::sync::names::{Name, Names};
use crate::sync::raw::{Unfit, Uploads, Weight, fault, weigh};
use crate::sync::strangers::Strangers;
use crate::sync::wire::{Mutation, SyncRequest};

/// The longest `request_id` that is sent back, in bytes.
const LONGEST_ID: usize = 256;
/// The longest name of a broadcast's event, in bytes.
const LONGEST_EVENT: usize = 128;

/// A message that can be worked with.
#[derive(Debug)]
pub(super) enum Incoming {
    /// "I am here", and perhaps how many changes wait on the device, and what time it is there.
    Ping { pending_uploads: Option<u32>, time: Option<DateTime<Utc>> },
    /// A new token.
    Auth { token: String },
    /// Anything that needs more than the machine.
    Request(Request),
}

/// A device's request to the service or to the user's other devices.
#[derive(Debug)]
pub(super) enum Request {
    /// The number of changes that wait on the device.
    Report { pending_uploads: u32 },
    /// One change, as it came.
    Push { change: Uploads, mutation_id: Option<String> },
    /// A whole sync.
    Sync { request: Box<SyncRequest>, request_id: Value },
    /// Ask the others to sync.
    TriggerSync,
    /// Send these tables.
    Subscribe(Vec<String>),
    /// Do not send these tables.
    Unsubscribe(Vec<String>),
    /// Pass on to the others.
    Broadcast { event: String, payload: Option<Box<RawValue>> },
}

impl Request {
    /// The type of the message that asks for it.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Report { .. } => "ping",
            Self::Push { .. } => "data_updated",
            Self::Sync { .. } => "sync",
            Self::TriggerSync => "trigger_sync",
            Self::Subscribe(_) => "subscribe",
            Self::Unsubscribe(_) => "unsubscribe",
            Self::Broadcast { .. } => "broadcast",
        }
    }

    /// What it counts as, in requests. The length of a message is paid for before it is read.
    pub(super) fn cost(&self) -> u32 {
        let more = match self {
            Self::Push { change, .. } => cost_of(0, change.count),
            Self::Sync { request, .. } => {
                let is_long = request.digest || request.last_sync_timestamp.is_some();
                cost_of(0, request.changes.count) + if is_long { LONG_READ } else { 0 }
            }
            Self::Broadcast { .. }
            | Self::Report { .. }
            | Self::TriggerSync
            | Self::Subscribe(_)
            | Self::Unsubscribe(_) => 0,
        };
        1 + more
    }

    /// Makes the error answer to this request when it is refused.
    pub(super) fn refused(&self, refused: Refused) -> super::problem::Refused {
        let (mutation_id, request_id) = match self {
            Self::Push { mutation_id, .. } => (mutation_id.clone(), None),
            Self::Sync { request_id, .. } => (None, Some(request_id.clone())),
            _ => (None, None),
        };
        let problem = Problem::new(code::UNAVAILABLE, refused.to_string()).answering(self.kind());
        super::problem::Refused::Say(Problem { mutation_id, request_id, ..problem })
    }
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Ping {
    #[serde(default)]
    pending_uploads: Option<u32>,
    /// As all that the server sends has it. What is no such time was never a fault.
    #[serde(default)]
    timestamp: Option<Value>,
}

#[derive(Deserialize)]
struct Auth {
    token: String,
}

#[derive(Deserialize)]
struct Tables {
    tables: Names,
}

/// Without table, operation and data it is no change that could be judged, let alone rejected.
#[derive(Deserialize)]
#[expect(dead_code, reason = "only its form is looked at")]
struct IncomingChange<'a> {
    table: Name,
    operation: Name,
    #[serde(borrow)]
    data: &'a RawValue,
}

#[derive(Deserialize)]
struct Broadcast<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(default, borrow)]
    payload: Option<&'a RawValue>,
}

/// By what the answer to a message can be told from others, and whose it says it is.
#[derive(Deserialize)]
struct Marks<'a> {
    #[serde(default, borrow)]
    mutation_id: Option<&'a RawValue>,
    #[serde(default, borrow)]
    request_id: Option<&'a RawValue>,
    #[serde(default, borrow)]
    device_id: Option<&'a RawValue>,
}

/// The token of a message of type `auth`; none when it is something else.
pub fn token_of(text: &[u8], limits: &Limits) -> Option<String> {
    weigh(text, limits.parsed_bytes).ok()?;
    let head: Head<'_> = serde_json::from_slice(text).ok()?;
    let auth: Auth = serde_json::from_slice(text).ok().filter(|_| head.kind == "auth")?;
    Some(auth.token)
}

/// The members of a message that nothing reads; of one whose answer names them itself, none.
fn ignored(text: &[u8], message: &Incoming) -> Strangers {
    match message {
        Incoming::Ping { .. } => Strangers::of::<Ping>(text, &["type"]),
        Incoming::Auth { .. } => unread_of_auth(text),
        Incoming::Request(Request::Subscribe(_) | Request::Unsubscribe(_)) => Strangers::of::<Tables>(text, &["type"]),
        Incoming::Request(Request::TriggerSync) => Strangers::of::<Head<'_>>(text, &[]),
        Incoming::Request(Request::Broadcast { .. }) => Strangers::of::<Broadcast<'_>>(text, &["type"]),
        Incoming::Request(Request::Report { .. } | Request::Push { .. } | Request::Sync { .. }) => Strangers::default(),
    }
}

/// The members of a message of type `auth` that nothing reads.
#[must_use]
pub fn unread_of_auth(text: &[u8]) -> Strangers {
    Strangers::of::<Auth>(text, &["type"])
}

/// Reads a message of this device, with the members that nothing reads.
pub(super) fn read_whole(text: &[u8], device: &DeviceId, limits: &Limits) -> Result<(Incoming, Strangers), Problem> {
    let message = read(text, device, limits)?;
    let ignored = ignored(text, &message);
    Ok((message, ignored))
}

fn read(text: &[u8], device: &DeviceId, limits: &Limits) -> Result<Incoming, Problem> {
    let weight = weigh(text, limits.parsed_bytes).map_err(|unfit| match unfit {
        Unfit::NotJson(error) => malformed(&error),
        Unfit::TooHeavy => over("parsed_bytes", limits.parsed_bytes, "bytes that a message's values take in memory"),
    })?;
    // A list would pass for the members in their order.
    if !text.trim_ascii_start().starts_with(b"{") {
        return Err(Problem::new(code::MALFORMED, "a message is a JSON object with a type and its fields"));
    }
    let head: Head<'_> = typed(text)?;
    Message { text, device, limits, weight }.read(&head.kind).map_err(|problem| problem.answering(&head.kind))
}

/// A message that is JSON and not too heavy.
struct Message<'a> {
    text: &'a [u8],
    device: &'a DeviceId,
    limits: &'a Limits,
    weight: Weight,
}

impl Message<'_> {
    fn read(&self, kind: &str) -> Result<Incoming, Problem> {
        Ok(match kind {
            "ping" => {
                let Ping { pending_uploads, timestamp } = typed(self.text)?;
                let time =
                    timestamp.as_ref().and_then(Value::as_str).and_then(|time| DateTime::parse_from_rfc3339(time).ok());
                let time = time.map(|time| time.to_utc());
                Incoming::Ping { pending_uploads, time }
            }
            "auth" => {
                let Auth { token } = typed(self.text)?;
                Incoming::Auth { token }
            }
            "data_updated" => Incoming::Request(self.change()?),
            "sync" => Incoming::Request(self.sync()?),
            "trigger_sync" => Incoming::Request(Request::TriggerSync),
            "subscribe" => Incoming::Request(Request::Subscribe(self.tables()?)),
            "unsubscribe" => Incoming::Request(Request::Unsubscribe(self.tables()?)),
            "broadcast" => Incoming::Request(self.broadcast()?),
            _ => return Err(Problem::new(code::UNKNOWN_TYPE, "there is no message of this type")),
        })
    }

    fn change(&self) -> Result<Request, Problem> {
        let marks: Marks<'_> = typed(self.text)?;
        let mutation_id = marks.mutation_id.and_then(|id| serde_json::from_str(id.get()).ok()).map(|Name(id)| id);
        let named = |problem: Problem| Problem { mutation_id: mutation_id.clone(), ..problem };
        let change: IncomingChange<'_> = typed(self.text).map_err(named)?;
        if !change.data.get().starts_with('{') {
            return Err(named(Problem::new(code::MALFORMED, "data must be an object")));
        }
        let list = vec![typed(self.text).map_err(named)?];
        let ignored = Strangers::of::<Mutation>(self.text, &["type"]);
        Ok(Request::Push { change: Uploads { list, count: 1, ignored, weight: self.weight.bytes }, mutation_id })
    }

    /// A socket syncs for its own device only: the id may be left out, but not be another one.
    fn sync(&self) -> Result<Request, Problem> {
        let marks: Marks<'_> = typed(self.text)?;
        if marks.request_id.is_some_and(|id| id.get().len() > LONGEST_ID) {
            return Err(Problem::new(code::LIMIT, format!("request_id is at most {LONGEST_ID} bytes long")));
        }
        let request_id: Value = marks.request_id.and_then(|id| serde_json::from_str(id.get()).ok()).unwrap_or_default();
        let named = |problem: Problem| Problem { request_id: Some(request_id.clone()), ..problem };
        let is_own =
            |id: &RawValue| serde_json::from_str::<Cow<'_, str>>(id.get()).is_ok_and(|id| id == self.device.as_str());
        if marks.device_id.is_some_and(|id| !is_own(id)) {
            let detail = "device_id is not this socket's device; leave it out, or connect as that device";
            return Err(named(Problem::new(code::WRONG_DEVICE, detail)));
        }
        let mut request: SyncRequest = typed(self.text).map_err(named)?;
        request.device_id = Some(self.device.clone());
        request.changes.weight = self.weight.bytes;
        let mut ignored = Strangers::of::<SyncRequest>(self.text, &["type", "request_id"]);
        ignored.merge(&request.changes.ignored);
        request.changes.ignored = ignored;
        Ok(Request::Sync { request: Box::new(request), request_id })
    }

    fn tables(&self) -> Result<Vec<String>, Problem> {
        let Tables { tables } = typed(self.text)?;
        Ok(tables.0)
    }

    /// Parses a broadcast. One that no outbox could hold is refused: each device would have to pull instead.
    fn broadcast(&self) -> Result<Request, Problem> {
        let Broadcast { event, payload } = typed(self.text)?;
        if event.is_empty() || event.len() > LONGEST_EVENT {
            return Err(Problem::new(code::INVALID, format!("event is 1 to {LONGEST_EVENT} bytes long")));
        }
        // The message itself is one level more.
        if self.weight.depth > self.limits.value_depth + 1 {
            return Err(over("value_depth", self.limits.value_depth, "levels in a payload"));
        }
        if payload.is_some_and(|payload| payload.get().len() > self.limits.outbox_bytes) {
            return Err(over("outbox_bytes", self.limits.outbox_bytes, "bytes in a payload"));
        }
        Ok(Request::Broadcast { event: event.into_owned(), payload: payload.map(ToOwned::to_owned) })
    }
}

fn typed<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Result<T, Problem> {
    let mut parser = serde_json::Deserializer::from_slice(text);
    serde_path_to_error::deserialize(&mut parser).map_err(|error| faulty(&error.path().to_string(), error.inner()))
}

/// A message that is JSON, and has a field that can't be used.
fn faulty(path: &str, error: &serde_json::Error) -> Problem {
    if error.classify() != Category::Data {
        return malformed(error);
    }
    let (fault, words) = fault(error);
    let raw = error.to_string();
    let missing = raw.split('`').nth(1).filter(|_| fault == field_code::REQUIRED);
    let field = match (path, missing) {
        ("." | "?", missing) => missing.unwrap_or_default().to_owned(),
        (inside, Some(name)) => format!("{inside}.{name}"),
        (inside, None) => inside.to_owned(),
    };
    Problem::new(code::MALFORMED, if field.is_empty() { words } else { format!("{field}: {words}") })
}

fn malformed(error: &serde_json::Error) -> Problem {
    let (line, character) = (error.line(), error.column());
    let detail = format!("the message is not JSON: see line {line}, character {character}");
    Problem::new(code::MALFORMED, format!("{detail}. It has to be an object with a type and its fields"))
}

fn over(limit: &str, most: usize, what: &str) -> Problem {
    Problem::new(code::LIMIT, format!("at most {most} {what} (limits.{limit})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device() -> DeviceId {
        "phone".parse().unwrap()
    }

    fn heard(text: &str) -> Result<Incoming, Problem> {
        read(text.as_bytes(), &device(), &Limits::default())
    }

    fn problem(text: &str) -> Problem {
        heard(text).unwrap_err()
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
        let read = |text: &str| match heard(text) {
            Ok(Incoming::Request(Request::Sync { request, request_id })) => Ok((request.device_id, request_id)),
            Ok(other) => panic!("{other:?}"),
            Err(problem) => Err((problem.code, problem.request_id)),
        };
        let expected = Ok((Some(device()), Value::from("r")));
        assert_eq!(read(r#"{"type":"sync","request_id":"r"}"#), expected);
        assert_eq!(read(r#"{"type":"sync","request_id":"r","device_id":"phone"}"#), expected);
        let other = read(r#"{"type":"sync","request_id":"r","device_id":"tablet"}"#);
        assert_eq!(other, Err((code::WRONG_DEVICE, Some("r".into()))));
    }

    #[test]
    fn a_change_is_passed_on_as_it_came() {
        let text =
            r#"{"type":"data_updated","table":"foods","operation":"DELETE","data":{"id":"x"},"mutation_id":"m"}"#;
        let Ok(Incoming::Request(Request::Push { change, mutation_id })) = heard(text) else { panic!("not a push") };
        assert_eq!(mutation_id.as_deref(), Some("m"));
        assert_eq!((change.count, change.list[0].get()), (1, text));
    }

    #[test]
    fn what_is_sent_back_or_passed_on_is_bounded() {
        let long = "x".repeat(300_000);
        let limited = |text: String| assert_eq!(problem(&text).code, code::LIMIT, "{text:.60}");
        limited(format!(r#"{{"type":"sync","request_id":"{long}"}}"#));
        limited(format!(r#"{{"type":"broadcast","event":"e","payload":"{long}"}}"#));
        limited(format!(r#"{{"type":"broadcast","event":"e","payload":{}{}}}"#, "[".repeat(111), "]".repeat(111)));
        limited(format!(r#"{{"type":"ping","more":[{}]}}"#, vec![r#"{"":0}"#; 200_000].join(",")));
        let change =
            format!(r#"{{"type":"data_updated","table":"t","operation":"x","data":[],"mutation_id":"{long}"}}"#);
        assert!(problem(&change).mutation_id.is_some_and(|id| id.len() < LONGEST_ID));
    }

    #[test]
    fn a_token_is_read_from_auth_alone() {
        let token = |text: &str| token_of(text.as_bytes(), &Limits::default());
        assert_eq!(token(r#"{"type":"auth","token":"t"}"#).as_deref(), Some("t"));
        for other in [r#"{"type":"ping","token":"t"}"#, r#"{"type":"auth"}"#, r#"{"token":"t"}"#, "auth"] {
            assert_eq!(token(other), None, "{other}");
        }
    }
}
