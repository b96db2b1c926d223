//! The streamed form of `GET /changes`, read as a client of HTTP/1.0 reads it: to the end of the connection.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::account::cursor_text;
use crate::{Account, api::PREFIX};

/// How long an event may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A device that only listens.
#[derive(Debug)]
pub struct Events {
    lines: BufReader<TcpStream>,
    /// The head of the answer.
    pub head: String,
}

impl Events {
    /// At the daemon of this address, from `cursor`, with `more` in the query.
    pub async fn open(address: &str, me: &Account, device: &str, cursor: &Value, more: &str) -> Self {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        let token = me.bearer();
        let query = format!("device_id={device}&cursor={}{more}", cursor_text(cursor));
        let request = format!(
            "GET {PREFIX}/changes?{query} HTTP/1.0\r\nHost: x\r\nAccept: text/event-stream\r\nAccept-Encoding: gzip\r\n\
             Authorization: Bearer {token}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.expect("a request");
        let mut events = Self { lines: BufReader::new(stream), head: String::new() };
        loop {
            let line = events.line().await.expect("a head");
            if line.is_empty() {
                return events;
            }
            events.head.push_str(&line.to_lowercase());
            events.head.push('\n');
        }
    }

    async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = timeout(PATIENCE, self.lines.read_line(&mut line)).await.expect("something in time");
        (read.expect("a line") > 0).then(|| line.trim_end().to_owned())
    }

    /// The next event; none when the stream has ended.
    pub async fn maybe_next(&mut self) -> Option<Value> {
        loop {
            let line = self.line().await?;
            if let Some(text) = line.strip_prefix("data: ") {
                return Some(serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}")));
            }
        }
    }

    /// The next event of this type.
    pub async fn next(&mut self, kind: &str) -> Value {
        loop {
            let event = self.maybe_next().await.unwrap_or_else(|| panic!("it ended before {kind}"));
            if event["type"] == kind {
                return event;
            }
            assert_ne!(event["type"], "closed", "{event} before {kind}");
        }
    }

    /// Waits for a sign that the stream is there.
    pub async fn sign(&mut self) {
        while self.line().await.expect("a stream") != ":" {}
    }

    /// The code that it is closed with, after which nothing comes.
    pub async fn closed(&mut self) -> i64 {
        let closed = self.next_of_any("closed").await;
        assert!(self.maybe_next().await.is_none());
        closed["code"].as_i64().expect("a code")
    }

    async fn next_of_any(&mut self, kind: &str) -> Value {
        loop {
            let event = self.maybe_next().await.unwrap_or_else(|| panic!("it ended before {kind}"));
            if event["type"] == kind {
                return event;
            }
        }
    }
}
