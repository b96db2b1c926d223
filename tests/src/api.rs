//! HTTP, as one caller speaks it.

use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap};
use hyper::{Method, Request};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde_json::Value;

/// Longer than any answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// The time for which a connection is kept for the next request: less than the daemon keeps it.
const IDLE: Duration = Duration::from_secs(5);
/// The path of the synced part of the interface.
pub const PREFIX: &str = "/api/realtime";

/// One caller. A path that starts with `//` is outside [`PREFIX`].
#[derive(Debug, Clone)]
pub struct Api {
    client: Client<HttpConnector, Full<Bytes>>,
    address: String,
    /// The address for reads, when that is another daemon than the one that it writes to.
    reads: Option<String>,
    token: Option<String>,
}

/// An answer of the daemon.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as it came.
    pub body: Bytes,
}

impl Api {
    /// A caller with a token, or without.
    #[must_use]
    pub fn new(address: &str, token: Option<String>) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        // The daemon closes what is idle for ten seconds; who writes at that moment would meet a broken pipe.
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .build(connector);
        Self { client, address: address.to_owned(), reads: None, token }
    }

    /// The same caller, who reads at another daemon of the same database.
    #[must_use]
    pub(crate) fn reading_at(self, address: Option<String>) -> Self {
        Self { reads: address, ..self }
    }

    /// The same caller with another token.
    #[must_use]
    pub fn with_token(&self, token: Option<String>) -> Self {
        Self { token, ..self.clone() }
    }

    /// `GET`.
    pub async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, None).await
    }

    /// `POST` of JSON.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.call(Method::POST, path, Some(body)).await
    }

    /// `PATCH` with JSON.
    pub async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.call(Method::PATCH, path, Some(body)).await
    }

    /// `DELETE`.
    pub async fn delete(&self, path: &str) -> Answer {
        self.call(Method::DELETE, path, None).await
    }

    /// `POST` of JSON to a daemon that may die over it.
    ///
    /// # Errors
    /// When no answer came.
    pub async fn try_post(&self, path: &str, body: &Value) -> anyhow::Result<Answer> {
        self.raw(Method::POST, path, &[("content-type", "application/json")], body.to_string()).await
    }

    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let headers: &[(&str, &str)] = if body.is_some() { &[("content-type", "application/json")] } else { &[] };
        let text = body.map(Value::to_string).unwrap_or_default();
        let what = format!("{method} {path}");
        self.raw(method, path, headers, text).await.unwrap_or_else(|error| panic!("{what}: {error:#}"))
    }

    /// Any request at all.
    ///
    /// # Errors
    /// When no answer came.
    pub async fn raw(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> anyhow::Result<Answer> {
        let body = body.into();
        let address = self.reads.as_ref().filter(|_| only_reads(&method, path, &body)).unwrap_or(&self.address);
        let path = path
            .strip_prefix('/')
            .filter(|rest| rest.starts_with('/'))
            .map_or_else(|| format!("{PREFIX}{path}"), str::to_owned);
        let mut request = Request::builder().method(method).uri(format!("http://{address}{path}"));
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body)).context("the request can't be made")?;
        let answer = async {
            let (head, body) = self.client.request(request).await.context("no answer")?.into_parts();
            let body = body.collect().await.context("the answer broke off")?.to_bytes();
            Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
        };
        tokio::time::timeout(PATIENCE, answer).await.context("no answer in time")?
    }
}

/// True for a request that changes no row: a `GET`, or a sync that uploads nothing.
fn only_reads(method: &Method, path: &str, body: &Bytes) -> bool {
    let uploads = |body: Value| body["changes"].as_array().is_some_and(|changes| !changes.is_empty());
    let is_pull = || path == "/sync" && serde_json::from_slice(body).is_ok_and(|body| !uploads(body));
    method == Method::GET || (method == Method::POST && is_pull())
}

impl Answer {
    /// A header as text; empty when it is missing.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON, whatever the status.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{} with no JSON ({error}): {}", self.status, self.text()))
    }

    /// The body of a success.
    pub fn ok(&self) -> Value {
        assert!((200..300).contains(&self.status), "{}: {}", self.status, self.text());
        self.json()
    }

    /// Checks a success that need not have a body.
    pub fn done(&self) {
        assert!((200..300).contains(&self.status), "{}: {}", self.status, self.text());
    }

    /// The body of an error that has one of these statuses, after checking that it is a proper problem document.
    pub fn problem(&self, statuses: &[u16]) -> Value {
        assert!(statuses.contains(&self.status), "{} instead of {statuses:?}: {}", self.status, self.text());
        let kind = self.header(CONTENT_TYPE.as_str());
        assert!(kind.starts_with("application/problem+json"), "an error as {kind:?}: {}", self.text());
        let problem = self.json();
        for member in ["type", "title", "detail"] {
            assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "no {member}: {problem}");
        }
        assert_eq!(problem["status"], self.status, "{problem}");
        problem
    }
}
