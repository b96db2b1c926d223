//! The half of the interface without sockets: uploads and downloads, one connection a caller. It blocks; callers have
//! threads of their own.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use serde_json::value::RawValue;
use ureq::Agent;
use uuid::Uuid;

use super::server::Server;
use super::words::{TABLE, upload};

/// The most that an answer may hold, in bytes.
const MOST_BYTES: u64 = 64 << 20;
/// The time that an answer may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// The most rows of one upload or page.
pub const PAGE: usize = 1000;

/// One person at one keep-alive connection.
pub struct Caller {
    agent: Agent,
    server: Server,
    bearer: String,
    device: String,
}

/// A page of a download.
#[derive(Debug)]
pub struct Page {
    /// The rows of the table with their versions.
    pub rows: Vec<(Uuid, i64)>,
    /// The place to go on from, as an address holds it.
    pub cursor: String,
    /// True if there is more.
    pub has_more: bool,
    /// The time until the whole answer was there.
    pub took: Duration,
    /// Its size.
    pub bytes: usize,
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(default)]
    results: Vec<Outcome>,
    #[serde(default)]
    changes: std::collections::HashMap<String, Vec<Row>>,
    #[serde(borrow)]
    cursor: &'a RawValue,
    #[serde(default)]
    has_more: bool,
    #[serde(default)]
    reset: bool,
}

#[derive(Deserialize)]
struct Outcome {
    status: String,
}

#[derive(Deserialize)]
struct Row {
    id: Uuid,
    #[serde(rename = "_version")]
    version: i64,
}

#[derive(Deserialize)]
struct Cursor {
    epoch: String,
    #[serde(default)]
    user: i64,
    #[serde(default)]
    global: i64,
}

impl Caller {
    /// A device of a person.
    #[must_use]
    pub fn new(server: &Server, person: Uuid, device: &str) -> Self {
        let config = Agent::config_builder().timeout_global(Some(PATIENCE)).http_status_as_error(false).build();
        let bearer = format!("Bearer {}", server.token(person));
        Self { agent: config.into(), server: server.clone(), bearer, device: device.to_owned() }
    }

    /// Uploads new rows; the time until the whole answer was there.
    ///
    /// # Errors
    /// When one of them is not applied.
    pub fn push(&self, rows: &[(Uuid, u64)]) -> Result<Duration> {
        let body = upload(&self.device, None, rows.iter().copied());
        let request = self.agent.post(self.server.rest("/sync")).header("authorization", &self.bearer);
        let began = Instant::now();
        let mut answer = request.header("content-type", "application/json").send(body)?;
        let text = answer.body_mut().with_config().limit(MOST_BYTES).read_to_string()?;
        let took = began.elapsed();
        if !answer.status().is_success() {
            bail!("POST /sync: {} {}", answer.status(), short(&text));
        }
        let answer: Answer<'_> = serde_json::from_str(&text).context("the answer to POST /sync")?;
        let applied = answer.results.iter().filter(|result| matches!(&*result.status, "applied" | "merged")).count();
        if applied != rows.len() {
            bail!("{applied} of {} changes were applied: {}", rows.len(), short(&text));
        }
        Ok(took)
    }

    /// A page of the table after a cursor, or from the beginning.
    ///
    /// # Errors
    /// When there is none.
    pub fn pull(&self, cursor: Option<&str>, limit: usize) -> Result<Page> {
        self.page(&format!("/changes?tables={TABLE}&limit={limit}"), cursor)
    }

    /// The place of a person who has everything: the catalogue, and their own rows.
    ///
    /// # Errors
    /// When the server does not say.
    pub fn newest(&self) -> Result<String> {
        let mut cursor = None;
        loop {
            let page = self.page(&format!("/changes?limit={PAGE}"), cursor.as_deref())?;
            if !page.has_more {
                return Ok(page.cursor);
            }
            cursor = Some(page.cursor);
        }
    }

    fn page(&self, path: &str, cursor: Option<&str>) -> Result<Page> {
        let cursor = cursor.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
        let request =
            self.agent.get(self.server.rest(&format!("{path}{cursor}"))).header("authorization", &self.bearer);
        let began = Instant::now();
        let mut answer = request.call()?;
        let text = answer.body_mut().with_config().limit(MOST_BYTES).read_to_string()?;
        let took = began.elapsed();
        if !answer.status().is_success() {
            bail!("GET {path}: {} {}", answer.status(), short(&text));
        }
        let mut page: Answer<'_> = serde_json::from_str(&text).context("the answer to GET /changes")?;
        if page.reset {
            bail!("GET {path}: the server says reset");
        }
        let Cursor { epoch, user, global } = serde_json::from_str(page.cursor.get()).context("the cursor")?;
        let rows = page.changes.remove(TABLE).unwrap_or_default();
        Ok(Page {
            rows: rows.into_iter().map(|row| (row.id, row.version)).collect(),
            cursor: format!("{epoch},user:{user},global:{global}"),
            has_more: page.has_more,
            took,
            bytes: text.len(),
        })
    }
}

fn short(text: &str) -> String {
    text.chars().take(300).collect()
}
