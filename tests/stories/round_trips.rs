//! The number of times that the daemon waits for PostgreSQL: counted by a proxy between the two.

use ryzed_tests::postgres::Cluster;
use ryzed_tests::rows::food_entry;
use ryzed_tests::{Account, Application, Builder, Daemon, Person, Proxy, insert, update};
use serde_json::{Value, json};
use uuid::Uuid;

/// The most round trips of a push of one row: what is known, the write, what came of it, the commit.
const PUSH: u64 = 4;
/// The most of a pull of one table's rows: where the scopes are, what changed in each, the rows, and an end that nobody waits for.
const PULL: u64 = 5;
/// The number of times that each is done. What is sent together may arrive in two parts, which counts twice: so that
/// which is usual counts.
const TIMES: usize = 15;

/// A daemon that has one connection, on which nothing else speaks while it is counted.
async fn start(builder: Builder) -> Daemon {
    let builder = builder.env("RYZED_SYNC__SWEEP_SECONDS", 3600).env("RYZED_DATABASE__CONNECTIONS", 1);
    tokio::task::spawn_blocking(|| builder.start()).await.expect("a daemon")
}

/// The lower quartile: on a busy machine what goes out in one piece may go in two, which only adds.
fn usual(counts: &[u64]) -> u64 {
    let mut sorted = counts.to_vec();
    sorted.sort_unstable();
    sorted[sorted.len() / 4]
}

/// Counts a push over a socket, a pull and a sync; `known` is what is asked first about a person whom the application knows.
async fn assert_few(proxy: &Proxy, me: &Account, entry: impl Fn() -> Value, known: u64) {
    me.push([]).await;
    let mut phone = me.socket("phone").await;
    let (mut pushes, mut pulls, mut syncs) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..TIMES {
        let cursor = ryzed_tests::account::cursor_text(&me.cursor().await);
        let before = proxy.turns();
        phone.send(insert("food_entries", &entry()).message()).await;
        assert_eq!(phone.next("change_result").await["status"], "applied");
        pushes.push(proxy.turns() - before);

        let before = proxy.turns();
        let pulled = me.api.get(&format!("/changes?cursor={cursor}")).await.ok();
        pulls.push(proxy.turns() - before);
        assert_eq!(pulled["changes"]["food_entries"].as_array().map(Vec::len), Some(1), "{pulled}");

        let cursor = pulled["cursor"].clone();
        let before = proxy.turns();
        me.sync(json!({"cursor": cursor, "changes": [insert("food_entries", &entry()).json()]})).await;
        syncs.push(proxy.turns() - before);
    }
    println!("round trips: push {pushes:?}, pull {pulls:?}, sync of one row {syncs:?}");
    assert!((2..=PUSH).contains(&usual(&pushes)), "a push of one row: {pushes:?}");
    assert!((2..=PULL).contains(&usual(&pulls)), "a pull of one row: {pulls:?}");
    assert!((4..=PUSH + PULL + known).contains(&usual(&syncs)), "a sync of one row: {syncs:?}");
}

#[tokio::test]
async fn a_push_of_one_row_and_a_pull_take_few_round_trips() {
    let cluster = Cluster::start();
    let place = format!("127.0.0.1:{}", cluster.port());
    let proxy = Proxy::in_front_of(&place).await;
    let url = cluster.new_database().replace(&place, &proxy.address());
    let daemon = start(Daemon::builder().env("RYZED_DATABASE__URL", url)).await;
    let me = daemon.account();
    assert_few(&proxy, &me, || food_entry(json!({})), 0).await;

    // Many conflicts that stay open are kept with one statement, as many results are.
    let rows: Vec<Value> = (0..60).map(|_| food_entry(json!({}))).collect();
    me.push(rows.iter().map(|row| insert("food_entries", row))).await;
    let mut turns = Vec::new();
    for quantity in 1..=5 {
        let conflicts = rows
            .iter()
            .map(|row| update("food_entries", &row["id"], json!({"quantity": quantity})).strategy("manual").json());
        let body = json!({"tables": ["users"], "cursor": me.cursor().await, "changes": conflicts.collect::<Vec<_>>()});
        let before = proxy.turns();
        let answer = me.sync(body).await;
        turns.push(proxy.turns() - before);
        assert_eq!(answer["conflicts"].as_array().map(Vec::len), Some(rows.len()), "{answer}");
    }
    println!("round trips of {} open conflicts: {turns:?}", rows.len());
    assert!(usual(&turns) <= PUSH + PULL, "{turns:?}");
}

#[tokio::test]
async fn an_adopted_table_takes_one_more_to_ask_for_the_person() {
    let cluster = Cluster::start();
    let mut app = Application::on(&cluster, 1);
    let _ = app.ryzed(&["adopt"]).ok();
    let place = format!("127.0.0.1:{}", cluster.port());
    let proxy = Proxy::in_front_of(&place).await;
    let person = Person::known(app.user(1));
    app.url = app.url.replace(&place, &proxy.address());
    let daemon = start(app.daemon()).await;
    let entry = || json!({"id": Uuid::new_v4(), "quantity": 1, "consumed_at": "2026-05-01T08:00:00Z"});
    assert_few(&proxy, &daemon.account_of(person), entry, 1).await;
}
