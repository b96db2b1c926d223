//! Coming back: from the last version seen, without a hole.

use std::collections::BTreeSet;

use ryzed_tests::rows::food_entry;
use ryzed_tests::{Daemon, delete, insert, update};
use serde_json::{Value, json};

use crate::somebody;

#[tokio::test]
async fn what_was_missed_comes_first_and_then_what_is_new() {
    let me = somebody();
    let cursor = me.cursor().await;
    let missed: Vec<Value> = (0..5).map(|n| food_entry(json!({"quantity": n + 1}))).collect();
    me.push_from("desk", missed.iter().map(|row| insert("food_entries", row))).await;
    let mut tablet = me.connect("tablet").from_cursor(&cursor).established().await;
    me.push_from("desk", [insert("food_entries", &food_entry(json!({"quantity": 6})))]).await;
    let mut last = cursor["user"].as_i64().expect("a version");
    let mut quantities = Vec::new();
    for _ in 1..=6 {
        let message = tablet.next("data_updated").await;
        quantities.push(message["data"]["quantity"].as_i64().expect("a quantity"));
        let version = message["version"].as_i64().expect("a version");
        assert!(version > last);
        last = version;
    }
    assert_eq!(quantities.pop(), Some(6), "what is new comes last");
    quantities.sort_unstable();
    assert_eq!(quantities, [1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn missed_deletes_come_too() {
    let me = somebody();
    let entry = food_entry(json!({}));
    let version = me.store("food_entries", &entry).await;
    let cursor = me.cursor().await;
    me.apply(delete("food_entries", &entry["id"]).base(&version)).await;
    let mut tablet = me.connect("tablet").from_cursor(&cursor).established().await;
    let message = tablet.next("data_updated").await;
    assert_eq!((&message["operation"], &message["data"]["id"]), (&json!("DELETE"), &entry["id"]));
}

#[tokio::test]
async fn nothing_comes_twice_for_who_missed_nothing() {
    let me = somebody();
    me.store("food_entries", &food_entry(json!({}))).await;
    let newest = me.pull(json!({})).await["cursor"].clone();
    let mut tablet = me.connect("tablet").from_cursor(&newest).query("tables", "food_entries").established().await;
    me.store("food_entries", &food_entry(json!({"quantity": 77}))).await;
    assert_eq!(tablet.next("data_updated").await["data"]["quantity"], 77);
    assert!(tablet.received("data_updated").is_empty());
}

#[tokio::test]
async fn a_line_that_breaks_all_the_time_loses_nothing() {
    const ROWS: usize = 300;
    let me = somebody();
    let mut cursor = me.pull(json!({})).await["cursor"].clone();
    let writer = {
        let me = me.clone();
        tokio::spawn(async move {
            for n in 0..ROWS / 3 {
                let rows = [0, 1, 2].map(|k| insert("food_entries", &food_entry(json!({"quantity": n * 3 + k + 1}))));
                me.push_from("desk", rows).await;
            }
        })
    };
    let mut seen = BTreeSet::new();
    let mut connections = 0;
    while seen.len() < ROWS {
        connections += 1;
        let mut tablet = me.connect("tablet").from_cursor(&cursor).query("tables", "food_entries").established().await;
        // Some messages, then the line breaks.
        for _ in 0..(connections % 13 + 1) {
            if seen.len() == ROWS {
                break;
            }
            let message = tablet.next("data_updated").await;
            assert!(message["version"].as_i64() > cursor["user"].as_i64(), "{message} after {cursor}");
            cursor["user"] = message["version"].clone();
            seen.insert(message["data"]["quantity"].as_i64().expect("a quantity"));
        }
        tablet.vanish();
    }
    writer.await.expect("the writer");
    assert_eq!(seen, (1..=ROWS as i64).collect());
}

#[tokio::test]
async fn a_cursor_of_another_epoch_is_told_to_pull() {
    let me = somebody();
    let cursor = json!({"epoch": "another", "user": 1, "global": 1});
    let mut tablet = me.connect("tablet").from_cursor(&cursor).open().await;
    let required = tablet.next("sync_required").await;
    assert!(required["reason"].is_string() && required["cursor"].is_object(), "{required}");
}

#[tokio::test]
async fn what_is_no_cursor_gets_an_answer_and_no_stream() {
    let me = somebody();
    let mut tablet = me.connect("tablet").query("cursor", "nonsense:x,,").open().await;
    assert_eq!(tablet.expect_close().await.0, 4400);
}

#[tokio::test]
async fn a_device_resumes_after_the_daemon_was_killed() {
    let mut daemon = Daemon::start();
    let me = daemon.account();
    let entry = food_entry(json!({"quantity": 1}));
    let version = me.store("food_entries", &entry).await;
    let cursor = me.pull(json!({})).await["cursor"].clone();
    let tablet = me.socket("tablet").await;
    me.apply(update("food_entries", &entry["id"], json!({"quantity": 2})).base(&version)).await;
    daemon.kill9();
    tablet.vanish();
    daemon.restart();
    let me = daemon.account_of(me.person);
    let mut tablet = me.connect("tablet").from_cursor(&cursor).established().await;
    assert_eq!(tablet.next("data_updated").await["data"]["quantity"], 2);
    me.store("food_entries", &food_entry(json!({"quantity": 3}))).await;
    assert_eq!(tablet.next("data_updated").await["data"]["quantity"], 3);
}
