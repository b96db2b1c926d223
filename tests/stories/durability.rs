//! Nothing acknowledged is lost and nothing committed is skipped, whatever happens meanwhile.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ryzed_tests::rows::{self, food_entry, workout_session};
use ryzed_tests::{Account, Change, Daemon, insert, update};
use serde_json::{Value, json};

use crate::somebody;

const KILLS: usize = 50;

/// A writer that remembers what was acknowledged and what was in the air.
struct Writer {
    me: Account,
    counter: Value,
    count: u64,
    acknowledged: Vec<Value>,
    in_the_air: Option<[Value; 2]>,
}

impl Writer {
    async fn of(me: Account) -> Self {
        let counter = workout_session(json!({"name": "0"}));
        me.store("workout_sessions", &counter).await;
        Self { me, counter, count: 0, acknowledged: Vec::new(), in_the_air: None }
    }

    /// Pushes a new row and a new count until the daemon is gone.
    async fn write_until_the_end(&mut self) {
        loop {
            self.count += 1;
            let entry = food_entry(json!({"quantity": self.count}));
            let count = update("workout_sessions", &self.counter["id"], json!({"name": self.count.to_string()}));
            let changes = [insert("food_entries", &entry), count.strategy("client_wins")].map(|change| change.json());
            self.in_the_air = Some(changes.clone());
            match self.push(&changes).await {
                Ok(_) => self.land(),
                Err(_) => return,
            }
        }
    }

    /// Sends what was in the air again, exactly as it was; then something newer; then the old one once more.
    async fn retry(&mut self) {
        let Some(old) = self.in_the_air.clone() else { return };
        let first = self.push(&old).await.expect("the daemon is back");
        self.land();
        self.count += 1;
        let newer = update("workout_sessions", &self.counter["id"], json!({"name": self.count.to_string()}));
        self.push(&[newer.strategy("client_wins").json()]).await.expect("the daemon is back");
        let second = self.push(&old).await.expect("the daemon is back");
        assert_eq!(first["results"], second["results"], "a retry gets the same results");
        let name = self.me.row("workout_sessions", &self.counter["id"]).await.expect("the counter")["name"].clone();
        assert_eq!(name, self.count.to_string(), "a retry of an older edit has undone a newer one");
    }

    async fn push(&self, changes: &[Value]) -> anyhow::Result<Value> {
        let body = json!({"device_id": "phone", "tables": ["users"], "changes": changes});
        let answer = self.me.api.try_post("/sync", &body).await?;
        anyhow::ensure!(answer.status == 200, "{}", answer.text());
        let answer = answer.json();
        for result in answer["results"].as_array().expect("results") {
            assert_ne!(result["status"], "rejected", "{result}");
        }
        Ok(answer)
    }

    fn land(&mut self) {
        if let Some([entry, _]) = self.in_the_air.take() {
            self.acknowledged.push(entry["data"]["id"].clone());
        }
    }
}

#[tokio::test]
async fn fifty_kills_in_mid_push_lose_nothing_acknowledged_and_double_nothing() {
    survives(Daemon::start(), KILLS).await;
}

/// Only a power cut may take something then.
#[tokio::test]
async fn kills_lose_nothing_acknowledged_where_no_commit_waits_for_the_disk() {
    survives(Daemon::builder().env("RYZED_DATABASE__SYNCHRONOUS", "normal").start(), KILLS / 10).await;
}

async fn survives(mut daemon: Daemon, kills: usize) {
    let mut writer = Writer::of(daemon.account()).await;
    for kill in 0..kills {
        let pushing =
            tokio::time::timeout(Duration::from_micros(1500 * (kill as u64 % 25) + 300), writer.write_until_the_end());
        // The time-out leaves a push in the air; so does an answer that never comes.
        let _ = pushing.await;
        daemon.kill9();
        daemon.restart();
        // With connections of its own: the old ones ended with the old process.
        writer.me = daemon.account_of(writer.me.person.clone());
        writer.retry().await;
    }
    assert!(daemon.database().is_sound());
    let stored = writer.me.rows("food_entries").await;
    let ids: BTreeSet<String> = stored.iter().map(|row| row["id"].to_string()).collect();
    for id in &writer.acknowledged {
        assert!(ids.contains(&id.to_string()), "{id} was acknowledged and is gone");
    }
    assert_eq!(ids.len(), writer.acknowledged.len(), "something was stored that nobody retried");
    let mut tablet = writer.me.device("tablet");
    tablet.sync().await;
    assert!(tablet.is_complete().await.expect("a digest"));
}

const WRITERS: usize = 6;
const PUSHES: usize = 20;
const BATCH: usize = 5;
const OUTSIDE: usize = 20;

#[tokio::test]
async fn no_cursor_ever_skips_a_committed_change() {
    let me = somebody();
    me.push([]).await;
    let done = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..WRITERS).map(|n| tokio::spawn(write(me.clone(), format!("writer-{n}")))).collect();
    let outside = tokio::task::spawn_blocking({
        let user = me.person.id;
        move || (0..OUTSIDE).map(|n| write_outside(user, n)).collect::<Vec<_>>()
    });
    let mut readers: Vec<_> =
        [1, 3, 7, 50].map(|limit| tokio::spawn(read_by_cursor(me.clone(), limit, done.clone()))).into();
    readers.push(tokio::spawn(read_by_time(me.clone(), done.clone())));

    let mut written = BTreeSet::new();
    for writer in writers {
        written.extend(writer.await.expect("a writer"));
    }
    written.extend(outside.await.expect("the outside writer"));
    done.store(true, Ordering::SeqCst);
    assert_eq!(written.len(), WRITERS * PUSHES * BATCH + OUTSIDE);
    for reader in readers {
        let read = reader.await.expect("a reader");
        let missing: Vec<_> = written.difference(&read).collect();
        assert!(missing.is_empty(), "{} of {} were skipped: {missing:?}", missing.len(), written.len());
    }
}

async fn write(me: Account, device: String) -> BTreeSet<String> {
    let mut written = BTreeSet::new();
    for _ in 0..PUSHES {
        let rows: Vec<Value> = (0..BATCH).map(|_| food_entry(json!({}))).collect();
        let changes: Vec<Change> = rows.iter().map(|row| insert("food_entries", row)).collect();
        let answer = me.push_from(&device, changes).await;
        assert!(answer["results"].as_array().expect("results").iter().all(|result| result["status"] == "applied"));
        written.extend(rows.iter().map(|row| row["id"].as_str().expect("an id").to_owned()));
    }
    written
}

fn write_outside(user: uuid::Uuid, n: usize) -> String {
    let id = uuid::Uuid::new_v4().to_string();
    let now = rows::time(chrono::TimeDelta::zero());
    crate::shared().database().run(&format!(
        "INSERT INTO food_entries (id, user_id, quantity, unit, consumed_at, created_at, updated_at) \
         VALUES ('{id}', '{user}', {}, 'g', '{now}', '{now}', '{now}')",
        n + 1
    ));
    id
}

/// Pages from zero, and goes on until a page that was asked for after the last write brings nothing more.
async fn read_by_cursor(me: Account, limit: usize, done: Arc<AtomicBool>) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let mut last = 0;
    let mut body = json!({"device_id": format!("reader-{limit}"), "tables": ["food_entries"], "limit": limit});
    loop {
        let was_done = done.load(Ordering::SeqCst);
        let page = me.sync(body.clone()).await;
        for row in page["changes"]["food_entries"].as_array().into_iter().flatten() {
            let version = row["_version"].as_i64().expect("a version");
            assert!(version > last, "{version} after {last}");
            last = version;
            assert!(seen.insert(row["id"].as_str().expect("an id").to_owned()), "{row} came twice");
        }
        if was_done && page["has_more"] == false {
            return seen;
        }
        body["cursor"] = page["cursor"].clone();
    }
}

/// The same for a client that only knows times.
async fn read_by_time(me: Account, done: Arc<AtomicBool>) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let mut since = json!("2000-01-01T00:00:00Z");
    loop {
        let was_done = done.load(Ordering::SeqCst);
        let mut body = json!({"device_id": "clock", "tables": ["food_entries"], "last_sync_timestamp": since});
        let next = loop {
            let page = me.sync(body.clone()).await;
            let rows = page["changes"]["food_entries"].as_array().into_iter().flatten();
            seen.extend(rows.map(|row| row["id"].as_str().expect("an id").to_owned()));
            if page["has_more"] == false {
                break page["sync_timestamp"].clone();
            }
            body["cursor"] = page["cursor"].clone();
        };
        if was_done {
            return seen;
        }
        since = next;
    }
}
