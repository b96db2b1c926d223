//! Old tombstones by the thousand, of one person who goes on writing: they go soon, and nobody waits for it.

use std::time::{Duration, Instant};

use ryzed_tests::rows::food_entry;
use ryzed_tests::{Account, Api, Daemon, Database, Metrics, insert, postgres};
use serde_json::json;

/// The number of tombstones; small here, the time does not grow with it.
const TOMBSTONES: usize = 20_000;
/// The time for which a scope may be locked, in seconds, and the share of the batches that a busy machine may stretch
/// beyond that. An idle one stretches none: they take 2 to 5 ms.
const LONGEST: &str = "0.05";
const STRETCHED: f64 = 0.02;
/// The number of rounds for a machine that is too busy to judge.
const ROUNDS: usize = 4;
/// By when all must be gone: the daemon looks 3 s after its start, and soon again while there are more.
const GONE: Duration = Duration::from_secs(300);

/// Makes rows with SQL and deletes them in one statement, so that all have the same time.
fn delete_many(database: &Database, me: &Account) {
    let user = me.person.id;
    let row = "'2026-01-01T00:00:00.000000Z'";
    let (id, numbers) = match database {
        Database::Sqlite(_) => (
            "lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-8' || \
             substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))",
            format!("WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {TOMBSTONES}) "),
        ),
        Database::Postgres(_) => {
            ("gen_random_uuid()", format!("WITH n AS (SELECT n FROM generate_series(1, {TOMBSTONES}) n) "))
        }
    };
    database.run(&format!(
        "{numbers} INSERT INTO food_entries (id, user_id, quantity, unit, consumed_at, created_at, updated_at) \
         SELECT {id}, '{user}', 1, 'g', {row}, {row}, {row} FROM n"
    ));
    database.run(&format!("DELETE FROM food_entries WHERE user_id = '{user}' AND consumed_at = {row}"));
}

/// Writes until all tombstones are gone, or for so long; how long each write took, in milliseconds, in order of size.
async fn writes(me: &Account, database: &Database, until: Option<Duration>) -> Vec<f64> {
    let began = Instant::now();
    let mut times = Vec::new();
    let mut looked = Instant::now();
    // A download from zero would read all the tombstones.
    let cursor = me.cursor().await;
    loop {
        let asked = Instant::now();
        let change = insert("food_entries", &food_entry(json!({}))).json();
        let answer = me.sync(json!({"cursor": cursor, "limit": 1, "changes": [change]})).await;
        assert_eq!(answer["results"][0]["status"], "applied", "{answer}");
        times.push(asked.elapsed().as_secs_f64() * 1000.0);
        match until {
            Some(until) if began.elapsed() >= until => break,
            None if looked.elapsed() > Duration::from_millis(500) => {
                if database.tombstones(me.person.id) == "0" {
                    break;
                }
                looked = Instant::now();
                assert!(began.elapsed() < GONE, "{} tombstones are left", database.tombstones(me.person.id));
            }
            _ => {}
        }
    }
    times.sort_by(f64::total_cmp);
    times
}

#[tokio::test]
async fn twenty_thousand_tombstones_of_one_person_go_while_they_write() {
    let mut daemon = Daemon::start();
    let me = daemon.account();
    me.push([]).await;
    let database = daemon.database();
    delete_many(&database, &me);
    let before = writes(&me, &database, Some(Duration::from_secs(2))).await;
    let mut rounds = Vec::new();
    while rounds.len() < ROUNDS {
        // What is to be forgotten is looked for soon after a start.
        daemon.terminate();
        assert_eq!(daemon.exit_code().await, 0);
        if !rounds.is_empty() {
            delete_many(&database, &me);
        }
        assert_eq!(database.tombstones(me.person.id), TOMBSTONES.to_string());
        database.age_tombstones(me.person.id);
        daemon.restart();
        // Anew: the connections that were kept have ended with the daemon.
        let me = daemon.account_of(me.person.clone());
        let during = writes(&me, &database, None).await;

        let metrics = Metrics::of(&daemon.address()).await;
        let batch = |part: &str| metrics.value(&format!("ryzed_housekeeping_batch_duration_seconds{part}"));
        assert_eq!(metrics.value("ryzed_forgotten_total{kind=\"tombstones\"}"), TOMBSTONES as f64);
        let count = batch("_count");
        let long = count - batch(&format!("_bucket{{le=\"{LONGEST}\"}}"));
        rounds.push(format!(
            "{}; {}; {count} batches, {:.1} ms each, {long} over {LONGEST} s",
            figures("writes without", &before),
            figures("writes meanwhile", &during),
            batch("_sum") / count * 1000.0
        ));
        eprintln!("{}", rounds[rounds.len() - 1]);
        if long <= count * STRETCHED {
            return;
        }
    }
    panic!("scopes are locked for too long:\n{}", rounds.join("\n"));
}

fn figures(name: &str, times: &[f64]) -> String {
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    format!("{name}: p50 {:.1} p99 {:.1} longest {:.1} ms of {}", at(0.5), at(0.99), at(1.0), times.len())
}

/// A device that has a socket and says nothing for months is not forgotten, as one is that went.
#[tokio::test]
async fn a_connected_device_is_not_forgotten() {
    let daemon = Daemon::builder().alone().with_faults().start();
    let me = daemon.account();
    let quiet = me.socket("quiet").await;
    let gone = me.socket("gone").await;
    gone.close().await;
    let devices = if postgres::is_wanted() { "ryzed.devices" } else { "sync_devices" };
    let old =
        format!("UPDATE {devices} SET last_seen = '2001-01-01T00:00:00.000000Z' WHERE user_id = '{}'", me.person.id);
    daemon.database().run(&old);
    // Started again, the housekeeping looks soon.
    Api::new(&daemon.address(), None).post("//faults/janitor", &json!({"do": "panic"})).await.done();
    let (asked, listed) = (Instant::now(), async || me.api.get("/devices").await.ok());
    while listed().await.as_array().is_some_and(|devices| devices.iter().any(|device| device["device_id"] == "gone")) {
        assert!(asked.elapsed() < GONE, "nothing was forgotten; the log:\n{}", daemon.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let devices = listed().await;
    assert_eq!((&devices[0]["device_id"], &devices[0]["is_active"]), (&json!("quiet"), &json!(true)), "{devices}");
    assert!(devices[0]["last_seen"].as_str() > Some("2002"), "{devices}");
    drop(quiet);
}

/// An app whose storage fails is a new device at each start. Those that came once make room, those that came back do not.
#[tokio::test]
async fn a_device_that_was_never_seen_after_its_first_hour_makes_room_for_another() {
    let daemon = Daemon::start();
    let me = daemon.account();
    for n in 0..20 {
        me.push_from(&format!("device-{n}"), []).await;
    }
    me.api.post("/sync", &json!({"device_id": "twenty-first"})).await.problem(&[409]);
    let devices = if postgres::is_wanted() { "ryzed.devices" } else { "sync_devices" };
    let saw = |device: &str, first: &str, last: &str| {
        daemon.database().run(&format!(
            "UPDATE {devices} SET first_seen = '2020-01-01T{first}:00.000000Z', last_seen = '2020-01-01T{last}:00.000000Z' \
             WHERE user_id = '{}' AND device_id = '{device}'",
            me.person.id
        ));
    };
    saw("device-3", "10:00", "10:59");
    saw("device-4", "10:00", "10:20");
    saw("device-5", "10:00", "11:00");
    me.push_from("twenty-first", []).await;
    me.push_from("twenty-second", []).await;
    me.api.post("/sync", &json!({"device_id": "twenty-third"})).await.problem(&[409]);
    let listed = me.api.get("/devices").await.ok();
    let ids: Vec<_> = listed.as_array().expect("a list").iter().map(|device| device["device_id"].clone()).collect();
    assert_eq!(ids.len(), 20);
    assert!(
        ids.contains(&json!("device-5")) && !ids.contains(&json!("device-3")) && !ids.contains(&json!("device-4")),
        "{listed}"
    );
}

/// A batch finds what it forgets by an index, in order.
#[tokio::test]
async fn a_batch_reads_no_more_than_it_forgets() {
    let daemon = Daemon::start();
    let me = daemon.account();
    me.push([]).await;
    let database = daemon.database();
    delete_many(&database, &me);
    database.age_tombstones(me.person.id);
    let plan = match &database {
        Database::Sqlite(_) => database.run(
            "EXPLAIN QUERY PLAN SELECT table_name, row_id, scope FROM sync_changes WHERE operation = 'DELETE' \
             AND changed_at < '2020-01-01' ORDER BY changed_at, version LIMIT 100",
        ),
        Database::Postgres(_) => database.run(
            "ANALYZE ryzed.changes; EXPLAIN SELECT o.ctid FROM ryzed.changes o WHERE o.operation = 'DELETE' \
             AND o.changed_at < '2020-01-01' ORDER BY o.changed_at, o.version LIMIT 100",
        ),
    };
    assert!(plan.contains("changes_tombstones"), "{plan}");
    for costly in ["Sort", "Seq Scan", "TEMP B-TREE", "SCAN sync_changes\n"] {
        assert!(!plan.contains(costly), "{costly} in:\n{plan}");
    }
}
