//! A request's body: read with a bound on its size and on every pause, then as JSON with an answer to every fault.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use ryzed_adapters::{FieldError, code};
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use warp::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap};

use super::problem::{Kind, Problem};
use crate::config::Config;
use crate::sync::words::plain;

/// How long is listened to a body that was refused, so that the client gets to read why instead of a broken pipe.
const DISCARD_TIME: Duration = Duration::from_secs(2);
/// The longest part of a parser's message that is sent back; it may quote the request.
const LONGEST_QUOTE: usize = 200;

/// The body, not read yet. Gzip has been taken off.
pub(super) struct Body {
    stream: BoxStream<'static, Result<Bytes, warp::Error>>,
    declared: Option<u64>,
    /// An encoding that we can't take off.
    encoded: bool,
    limit: usize,
    pause: Duration,
}

impl Body {
    pub(super) fn new(
        stream: BoxStream<'static, Result<Bytes, warp::Error>>,
        headers: &HeaderMap,
        config: &Config,
    ) -> Self {
        let declared = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        Self {
            stream,
            declared,
            encoded: headers.get(CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity"),
            limit: config.limits.request_bytes,
            pause: Duration::from_secs(config.server.header_timeout_seconds),
        }
    }

    /// The body as JSON.
    pub(super) async fn json<T: DeserializeOwned>(&mut self) -> Result<T, Problem> {
        parse(&self.read().await?)
    }

    /// The same, where an empty body stands for what is default.
    pub(super) async fn json_or_default<T: DeserializeOwned + Default>(&mut self) -> Result<T, Problem> {
        let text = self.read().await?;
        if text.trim_ascii().is_empty() { Ok(T::default()) } else { parse(&text) }
    }

    /// Reads what is still coming and forgets it, for a while and up to twice of what is taken.
    pub(super) async fn discard(&mut self) {
        let mut left = self.limit.saturating_mul(2);
        let forget = async {
            while let Some(Ok(part)) = self.stream.next().await {
                left = left.saturating_sub(part.len());
                if left == 0 {
                    break;
                }
            }
        };
        let _ = tokio::time::timeout(DISCARD_TIME, forget).await;
    }

    async fn read(&mut self) -> Result<Bytes, Problem> {
        if self.encoded {
            self.discard().await;
            return Err(Problem::new(Kind::UnsupportedEncoding, "send the body as it is, or with gzip"));
        }
        if self.declared.is_some_and(|declared| declared > self.limit as u64) {
            return Err(self.too_large().await);
        }
        let mut text = BytesMut::new();
        loop {
            let part = tokio::time::timeout(self.pause, self.stream.next()).await.map_err(|_| {
                Problem::new(Kind::Timeout, format!("nothing of the body came for {} s", self.pause.as_secs()))
            })?;
            match part {
                None => return Ok(text.freeze()),
                Some(Err(error)) => {
                    tracing::debug!(%error, "can't read a request's body");
                    return Err(Problem::new(Kind::Unreadable, "the body ended early, or it is no valid gzip"));
                }
                Some(Ok(part)) if text.len() + part.len() > self.limit => return Err(self.too_large().await),
                Some(Ok(part)) => text.extend_from_slice(&part),
            }
        }
    }

    async fn too_large(&mut self) -> Problem {
        self.discard().await;
        let detail = format!("a body has at most {} bytes (limits.request_bytes); send several", self.limit);
        Problem::new(Kind::TooLarge, detail)
    }
}

/// What is no JSON at all is 400, what is JSON of another shape is 422 and names the field.
fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T, Problem> {
    let mut parser = serde_json::Deserializer::from_slice(text);
    let read = serde_path_to_error::deserialize(&mut parser);
    let value = read.map_err(|error| problem_of(&error.path().to_string(), error.inner()))?;
    parser.end().map_err(|error| problem_of("", &error))?;
    Ok(value)
}

fn problem_of(path: &str, error: &serde_json::Error) -> Problem {
    let message = error.to_string();
    if error.classify() != Category::Data {
        let (line, column) = (error.line(), error.column());
        return Problem::new(Kind::NotJson, format!("the body is not JSON: see line {line}, character {column}"));
    }
    let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message);
    let code = match message {
        _ if message.starts_with("missing field") => code::REQUIRED,
        _ if message.starts_with("unknown field") => code::UNKNOWN_FIELD,
        _ if message.starts_with("unknown variant") => code::NOT_ALLOWED,
        // A list is read as the fields in their order, and has the wrong number of them.
        _ if message.starts_with("invalid type") || message.starts_with("invalid length") => code::WRONG_TYPE,
        _ => code::INVALID_FORMAT,
    };
    // A field that is not there has no place of its own: the message names it.
    let named = message.split('`').nth(1).filter(|_| code == code::REQUIRED || code == code::UNKNOWN_FIELD);
    let inside = if path == "." || path == "?" { "" } else { path };
    let field = match (inside, named) {
        ("", Some(name)) => name.to_owned(),
        (inside, Some(name)) if code == code::REQUIRED => format!("{inside}.{name}"),
        (inside, _) => inside.to_owned(),
    };
    Problem::invalid(vec![FieldError::new(quoted(&field), code, quoted(&plain(message)))])
}

fn quoted(message: &str) -> String {
    message.chars().take(LONGEST_QUOTE).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::sync::wire::SyncRequest;

    fn of(text: &str) -> Value {
        match parse::<SyncRequest>(text.as_bytes()) {
            Ok(_) => Value::Null,
            Err(problem) => problem.to_json(),
        }
    }

    #[test]
    fn what_is_no_json_is_told_so() {
        let deep = format!(r#"{{"device_id":"a","changes":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
        for bad in ["", "{", "hello", r#"{"device_id":"a"} and more"#, "{\"device_id\":\"\u{0}\"}", &deep] {
            assert_eq!(of(bad)["status"], 400, "{bad:.50}");
        }
        assert_eq!(parse::<SyncRequest>(b"{\"device_id\":\"\xff\"}").unwrap_err().to_json()["status"], 400);
    }

    #[test]
    fn a_wrong_shape_names_its_field() {
        for (text, field, code) in [
            ("{}", "device_id", "required"),
            ("[]", "", "wrong_type"),
            (r#"{"device_id":7}"#, "device_id", "wrong_type"),
            (r#"{"device_id":"a b"}"#, "device_id", "invalid_format"),
            (r#"{"device_id":"a","cursor":{"epoch":"e","user":"x"}}"#, "cursor.user", "wrong_type"),
            (r#"{"device_id":"a","conflict_strategy":"guess"}"#, "conflict_strategy", "not_allowed"),
            (r#"{"device_id":"a","tables":[3]}"#, "tables[0]", "wrong_type"),
            (r#"{"device_id":"a","last_sync_timestamp":"yesterday"}"#, "last_sync_timestamp", "invalid_format"),
        ] {
            let problem = of(text);
            assert_eq!(problem["status"], 422, "{text}: {problem}");
            assert_eq!((&problem["errors"][0]["field"], &problem["errors"][0]["code"]), (&field.into(), &code.into()));
        }
    }

    #[test]
    fn null_is_the_same_as_absent() {
        let text = r#"{"device_id":"a","tables":null,"cursor":null,"limit":null,"atomic":null,"changes":null}"#;
        assert_eq!(of(text), Value::Null);
    }
}
