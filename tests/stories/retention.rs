//! Tombstones are kept for a stated time. What happens to devices that stay away longer.

use std::time::{Duration, Instant};

use ryzed_tests::rows::food_entry;
use ryzed_tests::{Account, Daemon, delete, insert, update, upsert};
use serde_json::{Value, json};

use crate::somebody;

/// The time that the janitor may take after a start.
const SWEPT: Duration = Duration::from_secs(15);

/// A person whose tombstones have been swept away: `before` is a cursor below the floor, `gone` was deleted since.
struct Swept {
    me: Account,
    before: Value,
    gone: Value,
    gone_version: Value,
    kept: Vec<Value>,
    daemon: Daemon,
}

impl Swept {
    async fn away() -> Self {
        let mut daemon = Daemon::start();
        let me = daemon.account();
        let gone = food_entry(json!({"quantity": 9}));
        let gone_version = me.store("food_entries", &gone).await;
        let kept: Vec<Value> = (0..30).map(|n| food_entry(json!({"quantity": n + 1}))).collect();
        me.push(kept.iter().map(|row| insert("food_entries", row))).await;
        let before = me.cursor().await;
        me.apply(delete("food_entries", &gone["id"]).base(&gone_version)).await;
        me.store("food_entries", &food_entry(json!({}))).await;

        daemon.database().age_tombstones(me.person.id);
        daemon.terminate();
        assert_eq!(daemon.exit_code().await, 0);
        daemon.restart();
        let started = Instant::now();
        while daemon.database().tombstones(me.person.id) != "0" {
            assert!(started.elapsed() < SWEPT, "old tombstones are not swept away");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let me = daemon.account_of(me.person);
        Self { me, before, gone, gone_version, kept, daemon }
    }
}

#[tokio::test]
async fn a_cursor_of_another_epoch_starts_over() {
    let me = somebody();
    me.store("food_entries", &food_entry(json!({}))).await;
    let answer = me.sync(json!({"cursor": {"epoch": "another", "user": 1, "global": 1}})).await;
    assert_eq!(answer["reset"], true, "{answer}");
    assert_ne!(answer["cursor"]["epoch"], "another");
    assert_eq!(me.api.get("/changes?cursor=another,user:1").await.ok()["reset"], true);
}

#[tokio::test]
async fn what_can_be_no_epoch_of_ours_is_another_one() {
    let me = somebody();
    for epoch in ["an-other", "\u{1F4A9}", " ", &"e".repeat(5000)] {
        let answer = me.sync(json!({"cursor": {"epoch": epoch, "user": 1}})).await;
        assert_eq!(answer["reset"], true, "{epoch}: {answer}");
        assert_eq!(me.api.get("/sync-status?device_id=phone").await.ok()["cursor"]["user"], 1);
    }
    for epoch in ["an-other", "%27;--", "%00"] {
        let answer = me.api.get(&format!("/changes?cursor={epoch},user:1")).await.ok();
        assert_eq!(answer["reset"], true, "{epoch}: {answer}");
    }
}

#[tokio::test]
async fn a_delete_of_another_life_is_stale_where_the_row_is_there() {
    let me = somebody();
    let entry = food_entry(json!({}));
    let version = me.store("food_entries", &entry).await;
    let gone = json!(uuid::Uuid::new_v4());
    let from = |id: &Value| delete("food_entries", id).base(&version).strategy("client_wins").json();
    let answer =
        me.sync(json!({"cursor": {"epoch": "another", "user": 9}, "changes": [from(&entry["id"]), from(&gone)]})).await;
    assert_eq!(
        (&answer["results"][0]["status"], &answer["results"][1]["status"]),
        (&json!("rejected"), &json!("applied")),
        "{answer}"
    );
    assert_eq!(answer["results"][0]["errors"][0]["code"], "stale");
    assert!(me.row("food_entries", &entry["id"]).await.is_some());
}

#[tokio::test]
async fn a_cursor_from_the_future_starts_over() {
    let me = somebody();
    let mut cursor = me.cursor().await;
    cursor["user"] = json!(1_000_000);
    assert_eq!(me.sync(json!({"cursor": cursor})).await["reset"], true);
}

#[tokio::test]
async fn a_device_that_starts_over_ends_with_a_whole_copy() {
    let me = somebody();
    let mut tablet = me.device("tablet");
    let entry = food_entry(json!({}));
    me.store("food_entries", &entry).await;
    tablet.sync().await;
    tablet.cursor["epoch"] = json!("another");
    tablet.rows.entry("food_entries".into()).or_default().insert("ghost".into(), json!({"id": "ghost"}));
    tablet.sync().await;
    assert_eq!(tablet.resets, 1);
    assert!(tablet.row("food_entries", &json!("ghost")).is_none());
    assert!(tablet.row("food_entries", &entry["id"]).is_some());
}

#[tokio::test]
async fn a_phone_lost_for_too_long_starts_over_and_brings_nothing_back() {
    let swept = Swept::away().await;
    let (me, gone) = (&swept.me, &swept.gone);
    assert_eq!(me.sync(json!({"cursor": swept.before})).await["reset"], true, "the cursor is below the floor");

    // Its queued edits of a row that was deleted meanwhile come in the same request, or alone.
    let edit = update("food_entries", &gone["id"], json!({"quantity": 99})).base(&swept.gone_version);
    let again = upsert("food_entries", gone).base(&swept.gone_version);
    let forced = update("food_entries", &gone["id"], json!({"quantity": 98})).base(&swept.gone_version);
    let changes = [edit.json(), again.json(), forced.strategy("client_wins").json()];
    for cursor in [swept.before.clone(), me.cursor().await] {
        let changes: Vec<Value> = changes
            .iter()
            .map(|change| {
                let mut change = change.clone();
                change["mutation_id"] = json!(uuid::Uuid::new_v4());
                change
            })
            .collect();
        let answer = me.sync(json!({"cursor": cursor, "changes": changes})).await;
        for result in answer["results"].as_array().expect("results") {
            assert_eq!(result["status"], "rejected", "{result}");
            assert_eq!(result["errors"][0]["code"], "stale", "{result}");
        }
    }
    assert_eq!(me.row("food_entries", &gone["id"]).await, None, "the deleted row stays deleted");

    let mut phone = me.device("phone");
    phone.cursor = swept.before.clone();
    phone
        .rows
        .entry("food_entries".into())
        .or_default()
        .insert(gone["id"].as_str().expect("an id").into(), gone.clone());
    phone.sync().await;
    assert_eq!(phone.resets, 1);
    assert!(phone.row("food_entries", &gone["id"]).is_none());
    assert!(phone.is_complete().await.expect("a digest"));
    assert!(swept.daemon.database().is_sound());
}

#[tokio::test]
async fn a_time_from_before_all_that_is_kept_starts_over_too() {
    let swept = Swept::away().await;
    let since = |time: &str| json!({"last_sync_timestamp": time});
    // Whoever synced then may hold the row whose tombstone is gone, though nothing that is left is as old.
    let old = swept.me.sync(since("2002-01-01T00:00:00Z")).await;
    assert_eq!((&old["reset"], &old["changes"]), (&json!(true), &json!({})), "{old}");
    let asked = swept.me.api.get("/changes?last_sync_timestamp=2002-01-01T00:00:00Z").await.ok();
    assert_eq!(asked["reset"], true, "{asked}");
    // Nobody has synced before there were clocks: this is how a client says that it holds nothing.
    let new = swept.me.sync(since("1970-01-01T00:00:00Z")).await;
    assert_eq!(new["reset"], false, "{new}");
    assert!(new["changes"]["food_entries"].is_array(), "{new}");
}

#[tokio::test]
async fn a_copy_begun_from_zero_pages_through_though_the_floor_is_above_it() {
    let swept = Swept::away().await;
    let mut tablet = swept.me.device("tablet");
    tablet.limit = 5;
    tablet.sync().await;
    assert_eq!(tablet.resets, 0, "its first pages stand below the floor, but it never saw the rows that are gone");
    assert_eq!(tablet.rows["food_entries"].len(), swept.kept.len() + 1);
    assert!(tablet.is_complete().await.expect("a digest"));
}

#[tokio::test]
async fn a_socket_that_resumes_from_below_the_floor_is_told_to_pull() {
    let swept = Swept::away().await;
    let mut socket = swept.me.connect("tablet").from_cursor(&swept.before).open().await;
    let required = socket.next("sync_required").await;
    assert_eq!(required["reason"], "cursor_too_old", "{required}");
    assert!(required["cursor"].is_object(), "{required}");
}

#[tokio::test]
async fn tombstones_that_are_not_kept_at_all_leave_receipts_and_devices_alone() {
    let mut daemon = Daemon::builder().env("RYZED_SYNC__TOMBSTONE_DAYS", 0).start();
    let me = daemon.account();
    let entry = food_entry(json!({}));
    let version = me.store("food_entries", &entry).await;
    let again = delete("food_entries", &entry["id"]).base(&version);
    let deleted = me.apply(again.clone()).await;
    daemon.terminate();
    assert_eq!(daemon.exit_code().await, 0);
    daemon.restart();
    let started = Instant::now();
    while daemon.database().tombstones(me.person.id) != "0" {
        assert!(started.elapsed() < SWEPT, "tombstones are not swept away");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let me = daemon.account_of(me.person);
    assert_eq!(me.api.get("/devices").await.ok()[0]["device_id"], "phone");
    assert_eq!(me.apply(again).await, deleted);
}
