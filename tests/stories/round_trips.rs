//! How often the daemon waits for PostgreSQL: counted by a proxy between the two.

use ryzed_tests::postgres::Cluster;
use ryzed_tests::rows::food_entry;
use ryzed_tests::{Daemon, Proxy, insert};
use serde_json::json;

/// The most round trips of a push of one row: what is known, the write, what came of it, the commit.
const PUSH: u64 = 4;
/// The most of a pull of one table's rows: where the scopes are, what changed in each, the rows, and an end that nobody waits for.
const PULL: u64 = 5;
/// How often each is done. What is sent together may arrive in two parts, which counts twice, so the least counts.
const TIMES: usize = 10;

#[tokio::test]
async fn a_push_of_one_row_and_a_pull_take_few_round_trips() {
    let cluster = Cluster::start();
    let place = format!("127.0.0.1:{}", cluster.port());
    let proxy = Proxy::in_front_of(&place).await;
    let url = cluster.new_database().replace(&place, &proxy.address());
    // Nothing else speaks while it is counted.
    let builder = Daemon::builder().env("RYZED_DATABASE__URL", url).env("RYZED_SYNC__SWEEP_SECONDS", 3600);
    let daemon = tokio::task::spawn_blocking(|| builder.env("RYZED_DATABASE__CONNECTIONS", 1).start()).await;
    let daemon = daemon.expect("a daemon");
    let me = daemon.account();
    me.push([]).await;
    let mut phone = me.socket("phone").await;

    let (mut pushes, mut pulls, mut syncs) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..TIMES {
        let cursor = ryzed_tests::account::cursor_text(&me.cursor().await);
        let before = proxy.turns();
        phone.send(insert("food_entries", &food_entry(json!({}))).message()).await;
        assert_eq!(phone.next("change_result").await["status"], "applied");
        pushes.push(proxy.turns() - before);

        let before = proxy.turns();
        let pulled = me.api.get(&format!("/changes?cursor={cursor}")).await.ok();
        pulls.push(proxy.turns() - before);
        assert_eq!(pulled["changes"]["food_entries"].as_array().map(Vec::len), Some(1), "{pulled}");

        let before = proxy.turns();
        me.push([insert("food_entries", &food_entry(json!({})))]).await;
        syncs.push(proxy.turns() - before);
    }
    println!("round trips: push {pushes:?}, pull {pulls:?}, sync of one row {syncs:?}");
    let least = |counts: &[u64]| counts.iter().copied().min().unwrap_or_default();
    assert!((2..=PUSH).contains(&least(&pushes)), "a push of one row: {pushes:?}");
    assert!((2..=PULL).contains(&least(&pulls)), "a pull of one row: {pulls:?}");
    assert!((4..=PUSH + PULL).contains(&least(&syncs)), "a sync of one row: {syncs:?}");
}
