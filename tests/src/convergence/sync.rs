//! Uploads and downloads of a device: pages until there are no more, then all of them at once into its copy.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout, timeout_at};

use super::device::Device;
use super::line::Heard;
use super::plan::{Kind, SyncStep};

/// The time that an answer may take before the device gives up.
const PATIENCE: Duration = Duration::from_secs(8);
/// More pages than this are no download but a loop.
const MOST_PAGES: usize = 20_000;
/// More of them in one sync, and a copy can't be begun.
const MOST_RESETS: usize = 5;

impl SyncStep {
    /// Everything in one go.
    #[must_use]
    pub fn plain() -> Self {
        Self { limit: 1000, batch: 1000, strategy: None, atomic: false, append: true, full: false, get: false }
    }
}

impl Device {
    /// Uploads what waits and downloads what is new, over HTTP or the socket; whether it came to its end.
    pub async fn sync(&mut self, how: &SyncStep, socket: bool) -> bool {
        let lock = std::sync::Arc::clone(&self.oracle);
        let age = if self.id.kind == Kind::Clock { Some(lock.ages[self.id.person].read().await) } else { None };
        // What comes over the socket meanwhile is newer than the pages or the same: it waits until they are stored.
        let mut aside = Vec::new();
        let done = self.try_sync(how, socket, age.as_ref().map_or(0, |age| **age), &mut aside).await;
        if let Err(error) = &done {
            self.note(format!("sync ends: {error:#}"));
            if !socket {
                self.at = (self.at + 1) % self.apis.len();
            }
        }
        aside.into_iter().for_each(|message| self.heard(Heard::Message(message)));
        done.is_ok()
    }

    async fn try_sync(
        &mut self,
        how: &SyncStep,
        socket: bool,
        age: usize,
        aside: &mut Vec<Value>,
    ) -> anyhow::Result<()> {
        let mut pages: Vec<Value> = Vec::new();
        let mut from_zero = how.full;
        let mut resets = 0;
        loop {
            let changes = if pages.is_empty() { self.kept.batch(how.batch, how.append) } else { Vec::new() };
            self.oracle.sent(&changes);
            let mut body = json!({"device_id": self.id.name, "limit": how.limit, "digest": true,
                "pending_uploads": self.kept.queue.len(), "tables": self.id.tables(), "atomic": how.atomic,
                "conflict_strategy": how.strategy, "changes": changes});
            match pages.last() {
                Some(page) => body["cursor"] = page["cursor"].clone(),
                None if from_zero => body["force_full_sync"] = true.into(),
                None if self.id.kind == Kind::Clock => body["last_sync_timestamp"] = json!(self.since(age)),
                None => body["cursor"] = self.kept.cursor.clone(),
            }
            let get = how.get && changes.is_empty() && body["force_full_sync"].is_null();
            let answer = match (socket, get) {
                (true, _) => self.ask_socket(body, aside).await?,
                (false, false) => self.ask("sync", Some(&body)).await?,
                (false, true) => self.ask(&changes_path(&body), None).await?,
            };
            self.results(&changes, &answer, how.atomic)?;
            if answer["reset"] == true {
                self.note("starts over");
                self.oracle.tally("resets");
                ensure!(answer["changes"] == json!({}) && answer["has_more"] == true, "a reset with rows: {answer}");
                self.kept.reset();
                pages.clear();
                (from_zero, resets) = (false, resets + 1);
                self.must(resets <= MOST_RESETS, || format!("reset {resets} times in one sync"));
                ensure!(resets <= MOST_RESETS, "too many resets");
                continue;
            }
            self.look(&answer);
            let last = answer["has_more"] == false;
            pages.push(answer);
            if last {
                break;
            }
            self.must(pages.len() < MOST_PAGES, || "a download without end".into());
            ensure!(pages.len() < MOST_PAGES, "a download without end");
        }
        // What the copy held before, a few messages perhaps, stood on nothing.
        if from_zero || (self.kept.cursor.is_null() && self.kept.since.is_none()) {
            self.kept.rows.clear();
        }
        self.store(&pages, age)
    }

    /// The pages become the copy, and the digest says whether it is whole.
    fn store(&mut self, pages: &[Value], age: usize) -> anyhow::Result<()> {
        self.kept.apply(pages)?;
        let last = pages.last().context("no page")?;
        if self.id.kind == Kind::Clock {
            let time = last["sync_timestamp"].as_str().context("no sync_timestamp")?;
            self.kept.since = Some((time.to_owned(), age));
            self.kept.cursor = Value::Null;
        }
        self.note(format!("stands at {}", last["cursor"]));
        if last["stopped"].is_array() {
            self.oracle.tally("syncs without a stopped table");
            return Ok(());
        }
        let digest = crate::device::live(&last["digest"]);
        let own = self.kept.digest();
        self.must(digest == own, || {
            let differ = |table: &&String| digest.get(*table) != own.get(*table);
            let mut differing: Vec<&String> = digest.keys().chain(own.keys()).filter(differ).collect();
            differing.dedup();
            let show = |digest: Option<&Value>| digest.map_or_else(|| "nothing".to_owned(), Value::to_string);
            let of = |t: &String| format!("{t}: the server has {}, the copy {}", show(digest.get(t)), show(own.get(t)));
            let told: Vec<String> = differing.into_iter().map(of).collect();
            format!("the copy is not whole at {}: {}", last["cursor"], told.join("; "))
        });
        Ok(())
    }

    fn must(&self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.oracle.violated(&self.id.name, what());
        }
    }

    /// Every row and deletion of a page is one that the person may see.
    fn look(&self, page: &Value) {
        for part in ["changes", "deletions"] {
            for (table, rows) in page[part].as_object().into_iter().flatten() {
                for row in rows.as_array().into_iter().flatten() {
                    self.oracle.shown(&self.id.name, self.id.person, self.id.user, table, row);
                }
            }
        }
        self.look_at_conflicts(page);
    }

    /// So is every row that is told of with a conflict.
    fn look_at_conflicts(&self, answer: &Value) {
        for conflict in answer["conflicts"].as_array().into_iter().flatten() {
            self.oracle.tally("conflicts told");
            if conflict["row"].is_object() {
                let table = conflict["table"].as_str().unwrap_or_default();
                self.oracle.shown(&self.id.name, self.id.person, self.id.user, table, &conflict["row"]);
            }
        }
    }

    /// Takes the results of a request's edits.
    fn results(&mut self, changes: &[Value], answer: &Value, atomic: bool) -> anyhow::Result<()> {
        let results = answer["results"].as_array().context("no results")?;
        let ids = |of: &[Value]| of.iter().map(|one| one["mutation_id"].clone()).collect::<Vec<_>>();
        let (asked, told) = (ids(changes), ids(results));
        // What can't be judged as long as a table is stopped has no result, and stays in the queue.
        let waits = answer["stopped"].is_array() && told.len() < asked.len();
        let told_in_order: Vec<_> = asked.iter().filter(|id| !waits || told.contains(id)).cloned().collect();
        self.must(told_in_order == told, || format!("{} edits and these results: {results:?}", changes.len()));
        let stopped = atomic && results.iter().any(|result| result["status"] == "rejected");
        for result in results {
            let only_stopped = stopped && result["errors"][0]["code"] == "atomic";
            // What is at fault in a request that was stopped is not remembered, so it may be judged otherwise next time.
            if !stopped || result["status"] != "rejected" || (only_stopped && self.oracle.has_result(result)) {
                self.oracle.told(&self.id.name, result, self.id.clock());
            }
            self.kept.confirm(&result["mutation_id"], only_stopped);
        }
        self.kept.sort();
        Ok(())
    }

    async fn ask(&mut self, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        self.requests += 1;
        let daemon = self.at;
        self.note(format!("asks daemon {daemon}: {path} {}", body.map(brief).unwrap_or_default()));
        let (api, path) = (self.apis[daemon].clone(), format!("/{path}"));
        let asked = async {
            match body {
                Some(body) => api.try_post(&path, body).await,
                None => api.raw(hyper::Method::GET, &path, &[], "").await,
            }
        };
        let answer = timeout(PATIENCE, asked).await.context("no answer in time")??;
        match answer.status {
            200 => {
                let answer = answer.json();
                self.note(format!("is answered: {}", brief(&answer)));
                Ok(answer)
            }
            503 => {
                self.oracle.tally("503s");
                bail!("503: {}", answer.text())
            }
            other => {
                self.oracle.violated(&self.id.name, format!("{other}: {} to {path} {body:?}", answer.text()));
                bail!("{other}: {}", answer.text());
            }
        }
    }

    async fn ask_socket(&mut self, mut body: Value, aside: &mut Vec<Value>) -> anyhow::Result<Value> {
        self.requests += 1;
        let request_id = json!(self.requests);
        body["type"] = "sync".into();
        body["request_id"] = request_id.clone();
        self.note(format!("asks daemon {} by socket: {}", self.at, brief(&body)));
        self.say(&body).await;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let line = self.line.as_mut().context("the line is gone")?;
            let Ok(heard) = timeout_at(deadline, line.hear()).await else {
                // Whatever comes later belongs to no request any more.
                self.lose_line("no answer in time", Duration::ZERO);
                bail!("no answer in time");
            };
            match heard {
                Heard::Message(message) if message["request_id"] == request_id => {
                    self.note(format!("is answered: {}", brief(&message)));
                    ensure!(message["type"] == "sync_response", "{message}");
                    return Ok(message);
                }
                Heard::Message(message) => aside.push(message),
                other => {
                    self.heard(other);
                    bail!("the line is gone");
                }
            }
        }
    }

    /// Sends what waits and goes away before the answer.
    pub(super) async fn hang_up(&mut self, after: Duration) {
        let changes = self.kept.batch(10, true);
        self.oracle.sent(&changes);
        let body = json!({"device_id": self.id.name, "cursor": self.kept.cursor, "changes": changes});
        self.note(format!("asks daemon {} and hangs up after {after:?}: {}", self.at, brief(&body)));
        // An answer that is quick enough is lost all the same.
        let _ = timeout(after, self.apis[self.at].try_post("/sync", &body)).await;
    }

    /// Settles an open conflict by hand.
    pub(super) async fn resolve(&mut self, which: usize, how: &str) {
        let api = self.apis[self.at].clone();
        let settle = async {
            let open = api.raw(hyper::Method::GET, "/conflicts", &[], "").await?;
            ensure!(open.status == 200, "{}", open.status);
            let open = open.json();
            self.look_at_conflicts(&open);
            let open = open["conflicts"].as_array().context("no conflicts")?;
            let Some(conflict) = open.get(which % open.len().max(1)) else { return Ok(()) };
            let id = conflict["conflict_id"].as_str().context("no conflict_id")?;
            let answer = api.try_post(&format!("/conflicts/{id}/resolve"), &json!({"resolution": how})).await?;
            // Another device may have been faster; the row's parent or owner may be another by now.
            ensure!([200, 404, 409, 422, 503].contains(&answer.status), "{}: {}", answer.status, answer.text());
            self.note(format!("settles {id} with {how}: {}", answer.status));
            anyhow::Ok(())
        };
        match timeout(PATIENCE, settle).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.note(format!("settles nothing: {error:#}")),
            Err(_) => self.note("settles nothing in time"),
        }
    }
}

/// The path of the same download as a GET.
fn changes_path(body: &Value) -> String {
    let mut path = format!("changes?limit={}&digest=true", body["limit"]);
    if let Some(since) = body["last_sync_timestamp"].as_str() {
        path += &format!("&last_sync_timestamp={since}");
    }
    if body["cursor"].is_object() {
        path += &format!("&cursor={}", crate::account::cursor_text(&body["cursor"]));
    }
    let tables: Vec<&str> = body["tables"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if !tables.is_empty() {
        path += &format!("&tables={}", tables.join(","));
    }
    path
}

/// A request or an answer, short enough for the report: of rows only where they stand.
fn brief(of: &Value) -> String {
    const LONGEST: usize = 1500;
    let mut short = of.clone();
    for part in ["changes", "deletions"] {
        for (_, rows) in short[part].as_object_mut().into_iter().flatten() {
            for row in rows.as_array_mut().into_iter().flatten() {
                *row = format!("{} {}", row["_version"], row["id"]).into();
            }
        }
    }
    let text = short.to_string();
    let cut: String = text.chars().take(LONGEST).collect();
    if cut.len() < text.len() { format!("{cut}…") } else { text }
}
