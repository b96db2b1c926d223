//! Changes reach a person's other devices live, and in order.

use ryzed_tests::rows::{food, food_entry};
use ryzed_tests::{Person, delete, insert, update};
use serde_json::{Value, json};

use crate::{keepers, somebody};

#[tokio::test]
async fn a_change_reaches_the_other_device_and_not_the_one_that_made_it() {
    let me = somebody();
    let (mut phone, mut tablet) = (me.socket("phone").await, me.socket("tablet").await);
    let entry = food_entry(json!({"quantity": 180}));
    phone.send(insert("food_entries", &entry).message()).await;
    let result = phone.next("change_result").await;
    let message = tablet.next("data_updated").await;
    assert_eq!((&message["table"], &message["operation"]), (&json!("food_entries"), &json!("INSERT")));
    assert_eq!((&message["source_device"], &message["version"]), (&json!("phone"), &result["version"]));
    assert_eq!(message["scope"], format!("user:{}", me.person.id));
    assert_eq!((&message["data"]["id"], &message["data"]["quantity"]), (&entry["id"], &json!(180)));
    assert_eq!(message["data"]["unit"], "g", "the whole row comes, defaults included: {message}");
    phone.fence().await;
    assert!(phone.received("data_updated").is_empty());
}

#[tokio::test]
async fn edits_and_deletes_reach_the_other_device_too() {
    let me = somebody();
    let mut tablet = me.socket("tablet").await;
    let entry = food_entry(json!({"quantity": 1}));
    let version = me.store("food_entries", &entry).await;
    let version = me.apply(update("food_entries", &entry["id"], json!({"quantity": 2})).base(&version)).await;
    me.apply(delete("food_entries", &entry["id"]).base(&version)).await;
    let mut operations = Vec::new();
    for _ in 0..3 {
        let message = tablet.next("data_updated").await;
        assert_eq!(message["data"]["id"], entry["id"]);
        operations.push(message["operation"].clone());
    }
    assert_eq!(operations, ["INSERT", "UPDATE", "DELETE"]);
}

#[tokio::test]
async fn nobody_elses_devices_hear_of_it() {
    let (me, other) = (somebody(), somebody());
    let mut theirs = other.socket("theirs").await;
    me.store("food_entries", &food_entry(json!({}))).await;
    // What comes first is their own.
    other.store("food_entries", &food_entry(json!({"quantity": 5}))).await;
    assert_eq!(theirs.next("data_updated").await["data"]["quantity"], 5);
}

#[tokio::test]
async fn the_catalogue_is_everybodys() {
    let keeper = keepers().account_of(Person::admin());
    let (mut mine, mut theirs) = (keepers().account().socket("mine").await, keepers().account().socket("theirs").await);
    let new = food(json!({"user_id": null}));
    keeper.store("foods", &new).await;
    for socket in [&mut mine, &mut theirs] {
        let message = socket.next_where("data_updated", |m| m["data"]["id"] == new["id"]).await;
        assert_eq!(message["scope"], "global");
    }
}

#[tokio::test]
async fn versions_of_a_scope_arrive_in_order_whoever_writes() {
    const WRITERS: usize = 4;
    const EACH: usize = 25;
    let me = somebody();
    let mut tablet = me.socket("tablet").await;
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let me = me.clone();
            tokio::spawn(async move {
                for _ in 0..EACH {
                    let change = insert("food_entries", &food_entry(json!({})));
                    me.push_from(&format!("writer-{writer}"), [change]).await;
                }
            })
        })
        .collect();
    let mut last = 0;
    for _ in 0..WRITERS * EACH {
        let version = tablet.next("data_updated").await["version"].as_i64().expect("a version");
        assert!(version > last, "{version} after {last}");
        last = version;
    }
    for writer in writers {
        writer.await.expect("a writer");
    }
    assert_eq!(json!(last), me.cursor().await["user"]);
}

#[tokio::test]
async fn an_upload_is_announced_to_all_devices_and_a_plain_download_to_none() {
    let me = somebody();
    let cursor = me.cursor().await;
    let (mut phone, mut tablet) = (me.socket("phone").await, me.socket("tablet").await);
    me.sync(json!({"device_id": "phone", "tables": ["users"], "cursor": cursor})).await;
    me.push([insert("food_entries", &food_entry(json!({})))]).await;
    let completed = phone.next("sync_completed").await;
    assert_eq!(completed["device_id"], "phone");
    assert!(completed["changes_count"].is_u64(), "{completed}");
    let synced = tablet.next("other_device_synced").await;
    assert_eq!((&synced["device_id"], synced["changes_count"].is_u64()), (&json!("phone"), true), "{synced}");
    phone.fence().await;
    tablet.fence().await;
    assert!(phone.received("sync_completed").is_empty(), "the download was announced");
    assert!(tablet.received("other_device_synced").is_empty(), "the download was announced");
}

#[tokio::test]
async fn a_full_sync_is_announced_even_without_uploads() {
    let me = somebody();
    let (mut phone, mut tablet) = (me.socket("phone").await, me.socket("tablet").await);
    me.sync(json!({"device_id": "phone", "tables": ["users"], "force_full_sync": true})).await;
    phone.next("sync_completed").await;
    tablet.next("other_device_synced").await;
}

#[tokio::test]
async fn a_change_is_what_a_pull_would_bring() {
    let me = somebody();
    let mut tablet = me.socket("tablet").await;
    let entry = food_entry(json!({"calories": 12.5}));
    me.store("food_entries", &entry).await;
    let message = tablet.next("data_updated").await;
    let mut pulled = me.row("food_entries", &entry["id"]).await.expect("a row");
    let mut data = message["data"].clone();
    for row in [&mut pulled, &mut data] {
        row.as_object_mut().expect("a row").remove("_version");
    }
    assert_eq!(data, pulled);
}

#[tokio::test]
async fn twenty_devices_hear_of_one_change() {
    let me = somebody();
    let mut sockets = Vec::new();
    for n in 0..19 {
        sockets.push(me.socket(&format!("device-{n}")).await);
    }
    let entry = food_entry(json!({}));
    me.store("food_entries", &entry).await;
    for socket in &mut sockets {
        assert_eq!(socket.next("data_updated").await["data"]["id"], entry["id"]);
    }
    let all: Vec<Value> = sockets.iter().map(|socket| socket.hello["device_id"].clone()).collect();
    assert_eq!(all.len(), 19);
}
