//! An honest small client: its own copy of the rows, a queue of edits, a cursor. What every real client must do, and
//! nothing more.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{Api, digest};

/// The most edits in one request.
const BATCH: usize = 1000;

/// A device with a copy of its own.
#[derive(Debug, Clone)]
pub struct Device {
    /// Its id.
    pub id: String,
    /// The copy: rows by table and id, as the server last sent them.
    pub rows: BTreeMap<String, BTreeMap<String, Value>>,
    /// Edits that the server has not confirmed, oldest first; one a row.
    pub queue: Vec<Value>,
    /// Edits that were sent and not answered: sent again exactly as they were.
    sent: Vec<Value>,
    /// Its cursor; null: none.
    pub cursor: Value,
    /// The results of all its edits.
    pub results: Vec<Value>,
    /// The conflicts that it met so far.
    pub conflicts: Vec<Value>,
    /// The number of times that it had to start over.
    pub resets: usize,
    /// The most rows it asks for at once.
    pub limit: usize,
    api: Api,
}

impl Device {
    pub(crate) fn new(api: Api, id: &str) -> Self {
        Self {
            id: id.to_owned(),
            rows: BTreeMap::new(),
            queue: Vec::new(),
            sent: Vec::new(),
            cursor: Value::Null,
            results: Vec::new(),
            conflicts: Vec::new(),
            resets: 0,
            limit: 1000,
            api,
        }
    }

    /// A row of its copy.
    #[must_use]
    pub fn row(&self, table: &str, id: &Value) -> Option<&Value> {
        self.rows.get(table)?.get(id.as_str()?)
    }

    /// Makes a row.
    pub fn insert(&mut self, table: &str, row: &Value) {
        self.edit(table, "INSERT", row.clone());
    }

    /// Changes some fields of a row.
    pub fn update(&mut self, table: &str, id: &Value, mut fields: Value) {
        fields["id"] = id.clone();
        self.edit(table, "UPDATE", fields);
    }

    /// Deletes a row.
    pub fn delete(&mut self, table: &str, id: &Value) {
        self.edit(table, "DELETE", json!({"id": id}));
    }

    /// Queues an edit. Edits of one row that wait together become one, or the second would conflict with the first.
    pub fn edit(&mut self, table: &str, operation: &str, data: Value) {
        let waiting = self.queue.iter_mut().find(|m| m["table"] == table && m["data"]["id"] == data["id"]);
        match (waiting, operation) {
            (Some(earlier), "UPDATE" | "UPSERT") if earlier["operation"] != "DELETE" => {
                let fields = data.as_object().cloned().unwrap_or_default();
                earlier["data"].as_object_mut().expect("data is an object").extend(fields);
            }
            (Some(earlier), "DELETE") if earlier["operation"] == "INSERT" => {
                self.queue.retain(|m| m["table"] != table || m["data"]["id"] != data["id"]);
            }
            (Some(earlier), _) => {
                earlier["operation"] = operation.into();
                earlier["data"] = data;
            }
            (None, _) => {
                let mut mutation = json!({"mutation_id": Uuid::new_v4(), "table": table, "operation": operation});
                if let Some(row) = self.row(table, &data["id"]) {
                    mutation["base_version"] = row["_version"].clone();
                }
                mutation["data"] = data;
                self.queue.push(mutation);
            }
        }
    }

    /// Uploads what waits and downloads what is new, until there is no more of either.
    pub async fn sync(&mut self) {
        let id = self.id.clone();
        self.try_sync().await.unwrap_or_else(|error| panic!("{id} can't sync: {error:#}"));
    }

    /// The same on a network that may fail: edits without an answer stay and are sent again next time.
    ///
    /// # Errors
    /// When no answer came or it was no success.
    pub async fn try_sync(&mut self) -> anyhow::Result<()> {
        loop {
            if self.sent.is_empty() {
                let count = self.queue.len().min(BATCH);
                self.sent = self.queue.drain(..count).collect();
            }
            let body = json!({
                "device_id": self.id, "cursor": self.cursor, "changes": self.sent, "limit": self.limit,
                "pending_uploads": self.queue.len(),
            });
            let answer = self.api.try_post("/sync", &body).await?;
            ensure!(answer.status == 200, "{}: {}", answer.status, answer.text());
            let answer = answer.json();
            self.confirm(&answer)?;
            if answer["reset"] == true {
                self.rows.clear();
                self.cursor = Value::Null;
                self.resets += 1;
                continue;
            }
            self.apply(&answer)?;
            if answer["has_more"] == false && self.queue.is_empty() {
                return Ok(());
            }
        }
    }

    /// True if the server's digest is that of this copy.
    ///
    /// # Errors
    /// When no answer came or it was no success.
    pub async fn is_complete(&self) -> anyhow::Result<bool> {
        let body = json!({"device_id": self.id, "cursor": self.cursor, "digest": true});
        let answer = self.api.try_post("/sync", &body).await?;
        ensure!(answer.status == 200, "{}: {}", answer.status, answer.text());
        Ok(live(&answer.json()["digest"]) == live(&self.digest()))
    }

    /// The digest of its copy, by table.
    #[must_use]
    pub fn digest(&self) -> Value {
        self.rows.iter().map(|(table, rows)| (table.clone(), digest::of_table(rows))).collect()
    }

    /// Takes note of what became of the edits that were sent.
    fn confirm(&mut self, answer: &Value) -> anyhow::Result<()> {
        let results = answer["results"].as_array().context("no results")?;
        ensure!(results.len() == self.sent.len(), "{} edits but {} results", self.sent.len(), results.len());
        for (sent, result) in self.sent.iter().zip(results) {
            ensure!(sent["mutation_id"] == result["mutation_id"], "results in another order: {result}");
            for later in self.queue.iter_mut().filter(|m| m["data"]["id"] == sent["data"]["id"]) {
                later["base_version"] = result["version"].clone();
            }
        }
        self.results.extend(results.iter().cloned());
        self.conflicts.extend(answer["conflicts"].as_array().into_iter().flatten().cloned());
        self.sent.clear();
        Ok(())
    }

    /// Brings the copy up to the answer's cursor.
    fn apply(&mut self, answer: &Value) -> anyhow::Result<()> {
        // Deletions first: a row that changed its scope is deleted in one and new in the other.
        for (table, gone) in answer["deletions"].as_object().context("no deletions")? {
            for row in gone.as_array().context("deletions are lists")? {
                self.rows.entry(table.clone()).or_default().remove(row["id"].as_str().context("a row without id")?);
            }
        }
        for (table, rows) in answer["changes"].as_object().context("no changes")? {
            for row in rows.as_array().context("changes are lists")? {
                let id = row["id"].as_str().context("a row without id")?.to_owned();
                ensure!(row["_version"].is_i64(), "a row without version: {row}");
                self.rows.entry(table.clone()).or_default().insert(id, row.clone());
            }
        }
        self.cursor = answer["cursor"].clone();
        Ok(())
    }
}

/// A digest without the tables that hold nothing.
#[must_use]
pub fn live(digest: &Value) -> BTreeMap<String, Value> {
    let tables = digest.as_object().into_iter().flatten();
    tables.filter(|(_, of)| of["rows"] != 0).map(|(table, of)| (table.clone(), of.clone())).collect()
}
