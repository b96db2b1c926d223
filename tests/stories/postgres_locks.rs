//! Somebody holds a lock for long: an application that changes a table, a transaction that writes a person's rows. Those who need
//! what is locked wait; everybody else goes on as if nothing were.

use std::time::{Duration, Instant};

use ryzed_tests::rows::{food_entry, row};
use ryzed_tests::{Account, Daemon, Session, insert};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// The time that others' uploads may take, while nothing that concerns them is locked.
const SOON: Duration = Duration::from_secs(2);

fn push_of(table: &str, row: &Value) -> Value {
    json!({"device_id": "phone", "tables": ["users"], "changes": [insert(table, row).json()]})
}

/// Uploads that go on until they are told to stop; what they got.
fn pushing(people: Vec<Account>, table: &'static str) -> Vec<JoinHandle<u16>> {
    let push = |me: Account| async move { me.api.post("/sync", &push_of(table, &row(table, json!({})))).await.status };
    people.into_iter().map(|me| tokio::spawn(push(me))).collect()
}

/// For a while, somebody else uploads, reads and asks whether the daemon is ready.
async fn others_go_on(daemon: &Daemon, other: &Account, length: Duration) {
    let end = Instant::now() + length;
    while Instant::now() < end {
        let began = Instant::now();
        other.store("food_entries", &food_entry(json!({}))).await;
        other.api.get("/changes?tables=food_entries").await.ok();
        assert_eq!(other.api.get("//readyz").await.status, 200, "{}", daemon.log());
        assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn a_locked_scope_and_fifteen_pushes_of_its_person_keep_nobody_else_from_the_database() {
    let daemon = Daemon::builder().on_postgres().start();
    let (me, other) = (daemon.account(), daemon.account());
    me.push([]).await;
    other.push([]).await;
    let hold = format!("BEGIN; SELECT 1 FROM ryzed.scopes WHERE scope = 'user:{}' FOR UPDATE", me.person.id);
    let holding = Session::that(daemon.database_url(), &hold).await;
    let blocked = pushing(vec![me.clone(); 15], "food_entries");
    holding.is_waited_for_by(1).await;
    others_go_on(&daemon, &other, Duration::from_secs(8)).await;
    holding.run("COMMIT").await;
    for push in blocked {
        let status = push.await.expect("an answer");
        assert!(status == 200 || status == 503, "{status}");
    }
    me.store("food_entries", &food_entry(json!({}))).await;
}

#[tokio::test]
async fn a_locked_table_keeps_nobody_from_the_others() {
    let daemon = Daemon::builder().on_postgres().start();
    let people: Vec<Account> = (0..30).map(|_| daemon.account()).collect();
    for me in &people {
        me.store("hiit_sessions", &row("hiit_sessions", json!({}))).await;
    }
    let other = daemon.account();
    other.push([]).await;
    let locking = Session::that(daemon.database_url(), "BEGIN; LOCK TABLE public.hiit_sessions").await;
    let writing = pushing(people.clone(), "hiit_sessions");
    let reading: Vec<_> = people
        .iter()
        .cloned()
        .map(|me| tokio::spawn(async move { me.api.get("/changes?tables=hiit_sessions").await.status }))
        .collect();
    locking.is_waited_for_by(1).await;
    others_go_on(&daemon, &other, Duration::from_secs(8)).await;
    locking.run("COMMIT").await;
    for answer in writing.into_iter().chain(reading) {
        let status = answer.await.expect("an answer");
        assert!(status == 200 || status == 503, "{status}");
    }
    for me in &people[..3] {
        me.store("hiit_sessions", &row("hiit_sessions", json!({}))).await;
    }
}

#[tokio::test]
async fn what_waits_for_a_lock_goes_on_when_it_is_given() {
    let daemon = Daemon::builder().on_postgres().start();
    let me = daemon.account();
    me.push([]).await;
    let locking = Session::that(daemon.database_url(), "BEGIN; LOCK TABLE public.hiit_sessions").await;
    let mut waiting = pushing(vec![me.clone()], "hiit_sessions");
    locking.is_waited_for_by(1).await;
    // Longer than a lock is waited for with a connection in hand.
    others_go_on(&daemon, &daemon.account(), Duration::from_secs(3)).await;
    locking.run("COMMIT").await;
    assert_eq!(waiting.remove(0).await.expect("an answer"), 200);
}

#[tokio::test]
async fn two_instances_are_no_way_round_it() {
    let both = ryzed_tests::instances::Instances::without_redis(|builder| builder);
    let me = both.a.account();
    let there = both.b.account_of(me.person.clone());
    me.push([]).await;
    let hold = format!("BEGIN; SELECT 1 FROM ryzed.scopes WHERE scope = 'user:{}' FOR UPDATE", me.person.id);
    let holding = Session::that(both.a.database_url(), &hold).await;
    let mut blocked = pushing(vec![me.clone(); 15], "food_entries");
    blocked.extend(pushing(vec![there; 15], "food_entries"));
    holding.is_waited_for_by(1).await;
    for daemon in [&both.a, &both.b] {
        others_go_on(daemon, &daemon.account(), Duration::from_secs(4)).await;
    }
    holding.run("COMMIT").await;
    for push in blocked {
        push.await.expect("an answer");
    }
}
