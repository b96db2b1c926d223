//! A request's body: read with a bound on its size, its pauses and its pace, in memory that there is for it, and judged
//! before it becomes values; then as JSON with an answer to every fault.

mod gzip;

use std::time::Duration;

use bytes::{Buf, Bytes};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use ryzed_adapters::{FieldError, code};
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use tokio::time::Instant;
use warp::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap};

use super::problem::{Kind, Problem};
use crate::budget::{Arriving, Who, note};
use crate::config::Config;
use crate::metrics::Limit;
use crate::sync::UserId;
use crate::sync::raw::{Unfit, fault, weigh};
use crate::sync::strangers::Strangers;
use gzip::{Bad, Unpacked};

/// The time that a refused body is still read, so that the client gets to read the reason instead of a broken pipe.
const DISCARD_TIME: Duration = Duration::from_secs(2);
/// The longest part of a parser's message that is sent back; it may quote the request.
const LONGEST_QUOTE: usize = 200;
/// What a byte of gzip becomes at most.
const GZIP_RATIO: u64 = 1032;

/// The body, not read yet.
pub(super) struct Body {
    stream: BoxStream<'static, Result<Bytes, warp::Error>>,
    declared: Option<u64>,
    coding: Coding,
    limit: usize,
    pause: Duration,
    least_bytes_per_second: u64,
    who: Who,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Coding {
    Plain,
    Gzip,
    /// One that we can't take off.
    Unknown,
}

/// A body that was read, and the memory that it has.
pub(super) struct Text {
    pub(super) text: Bytes,
    who: Who,
    arriving: Arriving,
}

impl Body {
    pub(super) fn new(
        stream: BoxStream<'static, Result<Bytes, warp::Error>>,
        headers: &HeaderMap,
        config: &Config,
    ) -> Self {
        let declared = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let coding = match headers.get(CONTENT_ENCODING).map(|coding| coding.as_bytes().trim_ascii()) {
            None => Coding::Plain,
            Some(coding) if coding.eq_ignore_ascii_case(b"identity") => Coding::Plain,
            Some(coding) if coding.eq_ignore_ascii_case(b"gzip") => Coding::Gzip,
            Some(_) => Coding::Unknown,
        };
        Self {
            stream,
            declared,
            coding,
            limit: config.limits.request_bytes,
            pause: Duration::from_secs(config.server.header_timeout_seconds),
            least_bytes_per_second: config.limits.least_bytes_per_second,
            who: Who::Nobody,
        }
    }

    /// Says whose it is.
    pub(super) fn is_of(&mut self, user: UserId) {
        self.who = Who::User(user);
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

    /// The most that the body can be, in bytes.
    pub(super) fn most(&self) -> usize {
        let declared = match self.coding {
            Coding::Gzip => self.declared.map(|packed| packed.saturating_mul(GZIP_RATIO)),
            Coding::Plain | Coding::Unknown => self.declared,
        };
        declared.map_or(self.limit, |most| usize::try_from(most).map_or(self.limit, |most| most.min(self.limit)))
    }

    /// Refuses what can't be taken whatever comes.
    pub(super) async fn check(&mut self) -> Result<(), Problem> {
        if self.coding == Coding::Unknown {
            self.discard().await;
            return Err(Problem::new(Kind::UnsupportedEncoding, "send the body as it is, or with gzip"));
        }
        if self.declared.is_some_and(|declared| declared > self.limit as u64) {
            return Err(self.too_large().await);
        }
        Ok(())
    }

    /// Reads it to its end.
    pub(super) async fn read(&mut self, mut arriving: Arriving) -> Result<Text, Problem> {
        let mut text = match self.coding {
            Coding::Gzip => Unpacked::gzip(self.limit),
            Coding::Plain | Coding::Unknown => Unpacked::plain(self.limit, self.most()),
        };
        let mut pace = Pace { begun: Instant::now(), waited: Duration::ZERO, bytes: 0 };
        loop {
            let part = tokio::time::timeout(self.pause, self.stream.next()).await.map_err(|_| {
                Problem::new(Kind::Timeout, format!("nothing of the body came for {} s", self.pause.as_secs()))
            })?;
            let mut part = match part {
                None => break,
                Some(Err(error)) => {
                    tracing::debug!(%error, "can't read a request's body");
                    return Err(unreadable());
                }
                Some(Ok(part)) => part,
            };
            pace.bytes += part.len() as u64;
            if pace.is_below(self.least_bytes_per_second, self.pause) {
                return Err(self.too_slow());
            }
            while !part.is_empty() {
                let asked = Instant::now();
                let (unpacked, taken) = step(&arriving, text, part.clone()).await;
                text = unpacked;
                arriving.pay(text.len());
                match taken {
                    Ok(taken) => part.advance(taken),
                    Err(bad) => return Err(self.bad(bad).await),
                }
                arriving.came(text.size()).await?;
                pace.waited += asked.elapsed();
            }
        }
        let text = match text.end() {
            Ok(text) => text,
            Err(bad) => return Err(self.bad(bad).await),
        };
        arriving.is_all(text.capacity());
        Ok(Text { text: text.into(), who: self.who, arriving })
    }

    async fn bad(&mut self, bad: Bad) -> Problem {
        match bad {
            Bad::TooLong => self.too_large().await,
            Bad::NoGzip => unreadable(),
        }
    }

    async fn too_large(&mut self) -> Problem {
        note(Limit::RequestBytes, self.who);
        self.discard().await;
        let detail = format!("a body has at most {} bytes (limits.request_bytes); send several", self.limit);
        Problem::new(Kind::TooLarge, detail)
    }

    fn too_slow(&self) -> Problem {
        note(Limit::LeastBytesPerSecond, self.who);
        let least = self.least_bytes_per_second;
        let detail = format!("the body came with less than {least} bytes a second (limits.least_bytes_per_second)");
        Problem::new(Kind::Timeout, detail)
    }
}

/// One step of the next part of a body; with how much of it was taken.
async fn step(arriving: &Arriving, mut text: Unpacked, part: Bytes) -> (Unpacked, Result<usize, Bad>) {
    let (is_work, most) = (text.is_work(), usize::MAX);
    let step = move || {
        let taken = text.step(&part);
        (text, taken)
    };
    if is_work { arriving.aside(most, step).await } else { step() }
}

fn unreadable() -> Problem {
    Problem::new(Kind::Unreadable, "the body ended early, or it is no valid gzip")
}

/// The pace at which a body comes.
struct Pace {
    begun: Instant,
    /// The time for which the daemon itself did not go on reading.
    waited: Duration,
    bytes: u64,
}

impl Pace {
    fn is_below(&self, least: u64, grace: Duration) -> bool {
        let took = self.begun.elapsed().saturating_sub(self.waited).saturating_sub(grace);
        took.as_secs_f64() * least as f64 > self.bytes as f64
    }
}

impl Text {
    /// The text as JSON, what its values take in memory, in bytes, and the keys that nothing reads.
    pub(super) async fn json<T>(&self, most: usize) -> Result<(T, usize, Strangers), Problem>
    where
        T: DeserializeOwned + Send + 'static,
    {
        let (text, who) = (self.text.clone(), self.who);
        self.arriving.aside(text.len(), move || parse(&text, most, who)).await
    }

    pub(super) fn is_blank(&self) -> bool {
        self.text.trim_ascii().is_empty()
    }
}

/// Parses a body. Text that is not JSON is a 400; JSON of another shape is a 422 that names the field. `most` limits the
/// memory of its values, in bytes. Returns that memory and the unread keys, too.
fn parse<T: DeserializeOwned>(text: &[u8], most: usize, who: Who) -> Result<(T, usize, Strangers), Problem> {
    let weight = weigh(text, most).map_err(|unfit| match unfit {
        Unfit::NotJson(error) => not_json(&error),
        Unfit::TooHeavy => {
            note(Limit::ParsedBytes, who);
            let detail = format!("its values would take more than {most} bytes in memory (limits.parsed_bytes)");
            Problem::new(Kind::TooLarge, format!("{detail}; send several requests"))
        }
    })?;
    // A list would pass for the members in their order.
    if !text.trim_ascii_start().starts_with(b"{") {
        return Err(Problem::invalid(vec![FieldError::new("", code::WRONG_TYPE, "the body must be an object")]));
    }
    let mut parser = serde_json::Deserializer::from_slice(text);
    let read = serde_path_to_error::deserialize(&mut parser);
    let value = read.map_err(|error| problem_of(&error.path().to_string(), error.inner()))?;
    Ok((value, weight.bytes, Strangers::of::<T>(text, &[])))
}

fn problem_of(path: &str, error: &serde_json::Error) -> Problem {
    if error.classify() != Category::Data {
        return not_json(error);
    }
    let (code, message) = fault(error);
    // A field that is not there has no place of its own: the message names it.
    let raw = error.to_string();
    let named = raw.split('`').nth(1).filter(|_| code == code::REQUIRED || code == code::UNKNOWN_FIELD);
    let inside = if path == "." || path == "?" { "" } else { path };
    let field = match (inside, named) {
        ("", Some(name)) => name.to_owned(),
        (inside, Some(name)) if code == code::REQUIRED => format!("{inside}.{name}"),
        (inside, _) => inside.to_owned(),
    };
    Problem::invalid(vec![FieldError::new(quoted(&field), code, quoted(&message))])
}

fn not_json(error: &serde_json::Error) -> Problem {
    let (line, column) = (error.line(), error.column());
    Problem::new(Kind::NotJson, format!("the body is not JSON: see line {line}, character {column}"))
}

fn quoted(message: &str) -> String {
    message.chars().take(LONGEST_QUOTE).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::sync::wire::SyncRequest;

    const MOST: usize = 1 << 20;

    fn of(text: &str) -> Value {
        match parse::<SyncRequest>(text.as_bytes(), MOST, Who::Nobody) {
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
        assert_eq!(
            parse::<SyncRequest>(b"{\"device_id\":\"\xff\"}", MOST, Who::Nobody).unwrap_err().to_json()["status"],
            400
        );
    }

    #[test]
    fn a_wrong_shape_names_its_field() {
        for (text, field, code) in [
            ("[]", "", "wrong_type"),
            (r#"{"device_id":7}"#, "device_id", "wrong_type"),
            (r#"{"device_id":"a b"}"#, "device_id", "invalid_format"),
            (r#"{"device_id":"a","cursor":{"epoch":"e","user":"x"}}"#, "cursor.user", "wrong_type"),
            (r#"{"device_id":"a","conflict_strategy":"guess"}"#, "conflict_strategy", "not_allowed"),
            (r#"{"device_id":"a","tables":[3]}"#, "tables[0]", "wrong_type"),
            (r#"{"device_id":"a","changes":3}"#, "changes", "wrong_type"),
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

    #[test]
    fn changes_stay_as_they_came() {
        let text = r#"{"device_id":"a","changes":[{"table": 1.50}, null]}"#;
        let (request, weight, _) = parse::<SyncRequest>(text.as_bytes(), MOST, Who::Nobody).unwrap();
        let changes: Vec<&str> = request.changes.list.iter().map(|change| change.get()).collect();
        assert_eq!((changes.as_slice(), request.changes.count), ([r#"{"table": 1.50}"#, "null"].as_slice(), 2));
        assert!(weight > text.len());
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_may_be_slow_but_not_for_ever() {
        let (grace, least) = (Duration::from_secs(10), 1000);
        let mut pace = Pace { begun: Instant::now(), waited: Duration::ZERO, bytes: 1 };
        tokio::time::advance(grace).await;
        assert!(!pace.is_below(least, grace));
        tokio::time::advance(Duration::from_secs(5)).await;
        assert!(pace.is_below(least, grace));
        pace.bytes = 5000;
        assert!(!pace.is_below(least, grace));
        tokio::time::advance(Duration::from_secs(60)).await;
        pace.waited = Duration::from_secs(60);
        assert!(!pace.is_below(least, grace), "it was the daemon that did not go on");
    }
}
