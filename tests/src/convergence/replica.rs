//! The stored state of a device: its copy of the rows, its cursor, and the queue of its edits. Pure; written from the
//! protocol alone. A restored backup is a clone of this.

use std::collections::{BTreeMap, HashSet};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::digest;

/// The two scopes of a person, as a cursor names them.
const SCOPES: [&str; 2] = ["user", "global"];

/// Rows by table and id.
pub type Rows = BTreeMap<String, BTreeMap<String, Value>>;

/// An edit that waits.
#[derive(Debug, Clone)]
pub struct Queued {
    /// As it travels.
    pub mutation: Value,
    /// True once it was sent and may have arrived: from then on it is sent as it was.
    pub sent: bool,
    /// It was sent alone over the socket, and its result may still come that way: what builds on it has to wait, or it
    /// would be left behind, on a version that it was not made on.
    pub alone: bool,
    /// The nature of the edit.
    pub nature: Nature,
}

/// The meaning of an edit when the row turns out to be another by the time that it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nature {
    /// The edit sets values, whatever the row is by then.
    Sets,
    /// The edit adds so much to a field.
    Adds(&'static str, i64),
    /// The edit was made on the version that it names, and stays so.
    Stays,
}

/// All that a device keeps.
#[derive(Debug, Clone, Default)]
pub struct Replica {
    /// The copy, as the server last told it.
    pub rows: Rows,
    /// Its cursor, with a version for each scope; null: none.
    pub cursor: Value,
    /// The time that a client without a cursor sends, and in which age of the tombstones it was told.
    pub since: Option<(String, usize)>,
    /// Edits without a result, oldest first. Those that were sent are in front.
    pub queue: Vec<Queued>,
    /// Messages must not move the cursor until a pull is done: something that lies before them is missing.
    pub must_pull: bool,
    /// Results came and the rows that belong to them did not yet: what is queued can't be brought up to date before.
    pub behind_results: bool,
}

impl Replica {
    /// A row as the server last told it.
    #[must_use]
    pub fn row(&self, table: &str, id: &str) -> Option<&Value> {
        self.rows.get(table)?.get(id)
    }

    /// The ids of a table's rows that no queued edit deletes.
    #[must_use]
    pub fn ids(&self, table: &str) -> Vec<String> {
        let gone: HashSet<&str> = self
            .queue
            .iter()
            .filter(|queued| queued.mutation["operation"] == "DELETE")
            .filter_map(|queued| queued.mutation["data"]["id"].as_str())
            .collect();
        let known = self.rows.get(table).into_iter().flatten().map(|(id, _)| id);
        known.filter(|id| !gone.contains(id.as_str())).cloned().collect()
    }

    /// A field of a row as the person sees it: with the queued edits.
    #[must_use]
    pub fn seen(&self, table: &str, id: &str, field: &str) -> Value {
        let edited = self.queue.iter().rev().map(|queued| &queued.mutation);
        let mut own = edited.filter(|m| m["table"] == table && m["data"]["id"] == id);
        own.find_map(|m| m["data"].get(field))
            .or_else(|| self.row(table, id)?.get(field))
            .cloned()
            .unwrap_or(Value::Null)
    }

    /// Queues an edit. Edits of a row that follow one another build on the first one's version.
    pub fn edit(&mut self, mut mutation: Value, nature: Nature) {
        let (table, id) = key(&mutation);
        let earlier = self.queue.iter().find(|queued| key(&queued.mutation) == (table, id));
        let base = match earlier {
            Some(earlier) => earlier.mutation.get("base_version").cloned(),
            None => self.row(table, id).map(|row| row["_version"].clone()),
        };
        if let Some(base) = base {
            mutation["base_version"] = base;
        }
        self.queue.push(Queued { mutation, sent: false, alone: false, nature });
    }

    /// The edits of the next request: those that were sent before, exactly as they were, and new edits behind them
    /// where `append` allows; at most `most`, except that a request is repeated whole.
    pub fn batch(&mut self, most: usize, append: bool) -> Vec<Value> {
        let sent = self.queue.iter().take_while(|queued| queued.sent).count();
        let count = match sent {
            _ if self.behind_results => sent,
            0 => most.min(self.queue.len()),
            _ if append => (sent + most).min(self.queue.len()),
            _ => sent,
        };
        let waits = |queued: &Queued| {
            let mut alone = self.queue.iter().filter(|earlier| earlier.alone);
            !queued.sent && alone.any(|earlier| key(&earlier.mutation) == key(&queued.mutation))
        };
        let count = self.queue.iter().take(count).take_while(|queued| !waits(queued)).count();
        self.queue
            .iter_mut()
            .take(count)
            .map(|queued| {
                queued.sent = true;
                queued.mutation.clone()
            })
            .collect()
    }

    /// The oldest edit that was never sent, to be sent alone; none when it builds on one that is in the air.
    pub fn single(&mut self) -> Option<Value> {
        let at = self.queue.iter().position(|queued| !queued.sent)?;
        let (earlier, rest) = self.queue.split_at_mut(at);
        let first = rest.first_mut()?;
        let builds = earlier.iter().any(|queued| key(&queued.mutation) == key(&first.mutation));
        if self.behind_results || builds {
            return None;
        }
        (first.sent, first.alone) = (true, true);
        Some(first.mutation.clone())
    }

    /// The socket is gone, and no result comes that way any more.
    pub fn line_lost(&mut self) {
        self.queue.iter_mut().for_each(|queued| queued.alone = false);
    }

    /// An edit has its result.
    pub fn confirm(&mut self, mutation_id: &Value, atomic: bool) {
        if atomic {
            // Nothing was kept of it, so it is as if it had never been sent.
            let again = self.queue.iter_mut().find(|queued| queued.mutation["mutation_id"] == *mutation_id);
            again.into_iter().for_each(|queued| queued.sent = false);
            return;
        }
        self.queue.retain(|queued| queued.mutation["mutation_id"] != *mutation_id);
        self.behind_results = true;
    }

    /// Edits of which nothing was kept stand behind those that are still to be repeated.
    pub fn sort(&mut self) {
        self.queue.sort_by_key(|queued| !queued.sent);
    }

    /// The copy is worth nothing. The queue stays.
    pub fn reset(&mut self) {
        self.rows.clear();
        self.cursor = Value::Null;
        self.since = None;
    }

    /// Brings the copy up to the last of these pages, the only one without `has_more`.
    ///
    /// # Errors
    /// When a page is not as the protocol says.
    pub fn apply(&mut self, pages: &[Value]) -> anyhow::Result<()> {
        for page in pages {
            // Deletions first: a row that changed its scope is deleted in one and new in the other.
            for (table, gone) in page["deletions"].as_object().context("no deletions")? {
                for row in gone.as_array().context("deletions are lists")? {
                    self.rows.entry(table.clone()).or_default().remove(id_of(row)?);
                }
            }
            for (table, rows) in page["changes"].as_object().context("no changes")? {
                for row in rows.as_array().context("changes are lists")? {
                    ensure!(row["_version"].is_i64(), "a row without version: {row}");
                    self.rows.entry(table.clone()).or_default().insert(id_of(row)?.to_owned(), row.clone());
                }
            }
        }
        let last = pages.last().context("no page")?;
        self.cursor = last["cursor"].clone();
        self.must_pull = false;
        self.behind_results = false;
        self.rebase();
        Ok(())
    }

    /// Stores a change that came over the socket; `false` when it was known.
    ///
    /// # Errors
    /// When the message is not as the protocol says.
    pub fn live(&mut self, message: &Value, user: Uuid) -> anyhow::Result<bool> {
        let scope = message["scope"].as_str().context("no scope")?;
        let own = format!("user:{user}");
        let name = SCOPES[usize::from(scope != own)];
        ensure!(scope == own || scope == "global", "a message of the scope {scope}");
        let version = message["version"].as_i64().context("no version")?;
        if version <= self.cursor[name].as_i64().unwrap_or(0) {
            return Ok(false);
        }
        let table = message["table"].as_str().context("no table")?;
        let data = if message["type"] == "data_updated" { &message["data"] } else { &message["new_record"] };
        let old = if data.is_null() { &message["old_record"] } else { data };
        let rows = self.rows.entry(table.to_owned()).or_default();
        let id = id_of(old)?;
        if message["operation"] == "DELETE" {
            // What the copy has may be newer while messages repeat what lies before a pull.
            if rows.get(id).is_some_and(|row| row["_version"].as_i64() < Some(version)) {
                rows.remove(id);
            }
        } else {
            ensure!(data["_version"] == version, "version {version} brings a row of another: {data}");
            if rows.get(id).is_none_or(|row| row["_version"].as_i64() < Some(version)) {
                rows.insert(id.to_owned(), data.clone());
            }
        }
        if !self.is_held() && !self.cursor.is_null() {
            self.cursor[name] = version.into();
        }
        Ok(true)
    }

    /// True while messages must leave the cursor alone: also while an upload has no answer, for its own rows come with
    /// the answer's download and with no message.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.must_pull || self.behind_results || self.queue.iter().any(|queued| queued.sent)
    }

    /// The digest of the tables that hold any rows.
    #[must_use]
    pub fn digest(&self) -> BTreeMap<String, Value> {
        let filled = self.rows.iter().filter(|(_, rows)| !rows.is_empty());
        filled.map(|(table, rows)| (table.clone(), digest::of_table(rows))).collect()
    }

    /// Brings edits that were never sent up to the rows as they are now; where an edit of the row was sent and has no
    /// result, those behind it go on building on that.
    fn rebase(&mut self) {
        let waiting: HashSet<(String, String)> =
            self.queue.iter().filter(|queued| queued.sent).map(|queued| owned_key(&queued.mutation)).collect();
        let mut counts: BTreeMap<(String, String), i64> = BTreeMap::new();
        for queued in self.queue.iter_mut().filter(|queued| !waiting.contains(&owned_key(&queued.mutation))) {
            if queued.nature == Nature::Stays {
                continue;
            }
            let of = owned_key(&queued.mutation);
            let row = self.rows.get(&of.0).and_then(|rows| rows.get(&of.1));
            let Some(row) = row else { continue };
            queued.mutation["base_version"] = row["_version"].clone();
            if let Nature::Adds(field, by) = queued.nature {
                let count = counts.entry(of).or_insert_with(|| row[field].as_i64().unwrap_or(0));
                *count += by;
                queued.mutation["data"][field] = json!(*count);
            }
        }
    }
}

fn id_of(row: &Value) -> anyhow::Result<&str> {
    row["id"].as_str().with_context(|| format!("a row without id: {row}"))
}

fn key(mutation: &Value) -> (&str, &str) {
    (mutation["table"].as_str().unwrap_or_default(), mutation["data"]["id"].as_str().unwrap_or_default())
}

fn owned_key(mutation: &Value) -> (String, String) {
    let (table, id) = key(mutation);
    (table.to_owned(), id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: Uuid = Uuid::nil();

    fn page(version: i64, count: i64) -> Value {
        json!({"changes": {"t": [{"id": "r", "count": count, "_version": version}]}, "deletions": {},
            "cursor": {"epoch": "e", "user": version}})
    }

    fn frame(version: i64) -> Value {
        json!({"type": "data_updated", "scope": format!("user:{USER}"), "version": version, "table": "t",
            "operation": "UPDATE", "data": {"id": "r", "count": 0, "_version": version}})
    }

    fn add(replica: &mut Replica, id: &str) {
        let now = replica.seen("t", "r", "count").as_i64().unwrap_or(0);
        let data = json!({"id": "r", "count": now + 1});
        replica.edit(
            json!({"mutation_id": id, "table": "t", "operation": "UPDATE", "data": data}),
            Nature::Adds("count", 1),
        );
    }

    #[test]
    fn edits_in_a_row_build_on_one_another_and_are_brought_up_to_date_once_nothing_is_in_the_air() {
        let mut replica = Replica::default();
        replica.apply(&[page(40, 5)]).expect("a page");
        for id in ["a", "b", "c"] {
            add(&mut replica, id);
        }
        assert_eq!(replica.batch(1, true).len(), 1);
        assert_eq!(replica.queue[2].mutation["data"]["count"], 8);
        // No answer: it goes again as it was, with a new one behind it.
        assert_eq!(replica.batch(1, true).iter().map(|m| m["base_version"].clone()).collect::<Vec<_>>(), [40, 40]);
        replica.confirm(&json!("a"), false);
        replica.confirm(&json!("b"), false);
        assert!(replica.batch(10, true).is_empty(), "the rows that belong to the results are missing");
        replica.apply(&[page(44, 20)]).expect("a page");
        let last = replica.batch(10, true);
        assert_eq!((&last[0]["base_version"], &last[0]["data"]["count"]), (&json!(44), &json!(21)));
    }

    #[test]
    fn what_builds_on_an_edit_that_went_alone_waits_for_its_result() {
        let mut replica = Replica::default();
        replica.apply(&[page(40, 5)]).expect("a page");
        add(&mut replica, "a");
        add(&mut replica, "b");
        assert_eq!(replica.single().expect("the first")["mutation_id"], "a");
        assert_eq!(replica.single(), None, "b builds on a");
        assert_eq!(replica.batch(10, true).len(), 1);
        replica.line_lost();
        assert_eq!(replica.batch(10, true).len(), 2);
    }

    #[test]
    fn messages_move_the_cursor_only_when_nothing_before_them_is_missing() {
        let mut replica = Replica::default();
        replica.apply(&[page(40, 5)]).expect("a page");
        assert!(replica.live(&frame(41), USER).expect("a message"));
        assert_eq!(replica.cursor["user"], 41);
        assert!(!replica.live(&frame(41), USER).expect("a message"), "it was known");
        add(&mut replica, "a");
        replica.batch(1, true);
        assert!(replica.live(&frame(43), USER).expect("a message"));
        assert_eq!(replica.cursor["user"], 41, "42 may be the device's own");
        assert_eq!(replica.row("t", "r").expect("the row")["_version"], 43);
    }
}
