//! A person's devices: the list, names, revoking, where each stands.

use ryzed_tests::{insert, rows::food_entry};
use serde_json::{Value, json};

use crate::somebody;

fn find<'a>(devices: &'a Value, id: &str) -> &'a Value {
    let mut found = devices.as_array().expect("a list of devices").iter().filter(|device| device["device_id"] == id);
    found.next().unwrap_or_else(|| panic!("no {id} in {devices}"))
}

#[tokio::test]
async fn the_list_shows_what_a_device_said_of_itself() {
    let me = somebody();
    let cursor = me.cursor().await;
    let answer = me
        .sync(json!({"device_id": "pixel-8", "cursor": cursor, "device_type": "mobile", "app_version": "1.4.2",
            "device_name": "Kitchen phone", "pending_uploads": 3, "tables": ["users"]}))
        .await;
    let devices = me.api.get("/devices").await.ok();
    let device = find(&devices, "pixel-8");
    assert_eq!(device["device_type"], "mobile");
    assert_eq!(device["app_version"], "1.4.2");
    assert_eq!(device["name"], "Kitchen phone");
    assert_eq!(device["pending_uploads"], 3);
    assert_eq!(device["is_active"], false);
    assert!(device["last_seen"].is_string());
    assert_eq!(device["cursor"]["user"], answer["cursor"]["user"]);
}

#[tokio::test]
async fn a_device_is_active_while_its_socket_is_open() {
    let me = somebody();
    let watch = me.connect("watch").query("device_type", "watch").query("app_version", "2.0").established().await;
    let mut other = me.socket("other").await;
    let devices = me.api.get("/devices").await.ok();
    assert_eq!(find(&devices, "watch")["is_active"], true);
    assert_eq!(find(&devices, "watch")["device_type"], "watch");
    assert_eq!(find(&devices, "watch")["app_version"], "2.0");
    watch.close().await;
    other.next_where("presence", |p| p["device_id"] == "watch" && p["is_online"] == false).await;
    assert_eq!(find(&me.api.get("/devices").await.ok(), "watch")["is_active"], false);
}

#[tokio::test]
async fn nobody_sees_anothers_devices() {
    let (me, other) = (somebody(), somebody());
    me.push([]).await;
    other.sync(json!({"device_id": "theirs", "tables": ["users"]})).await;
    let devices = me.api.get("/devices").await.ok();
    assert!(devices.as_array().expect("a list").iter().all(|device| device["device_id"] != "theirs"), "{devices}");
    me.api.patch("/devices/theirs", &json!({"name": "mine"})).await.problem(&[404]);
    me.api.delete("/devices/theirs").await.problem(&[404]);
}

#[tokio::test]
async fn a_device_can_be_renamed() {
    let me = somebody();
    me.push([]).await;
    me.api.patch("/devices/phone", &json!({"name": "Old phone"})).await.done();
    assert_eq!(find(&me.api.get("/devices").await.ok(), "phone")["name"], "Old phone");
}

#[tokio::test]
async fn a_revoked_device_is_thrown_out_and_stays_out_until_it_is_allowed_again() {
    let me = somebody();
    let mut lost = me.socket("lost").await;
    me.api.delete("/devices/lost").await.done();
    assert_eq!(lost.expect_close().await.0, 4403);
    assert_eq!(me.connect("lost").refused().await, 4403);
    me.api.post("/sync", &json!({"device_id": "lost"})).await.problem(&[403]);

    let me = me.with_token(me.token().issued_in(1));
    me.api.patch("/devices/lost", &json!({"is_active": true})).await.done();
    me.socket("lost").await;
    me.sync(json!({"device_id": "lost", "tables": ["users"]})).await;
}

#[tokio::test]
async fn revoking_one_device_leaves_the_others_alone() {
    let me = somebody();
    let mut kept = me.socket("kept").await;
    let mut lost = me.socket("lost").await;
    me.api.delete("/devices/lost").await.done();
    assert_eq!(lost.expect_close().await.0, 4403);
    kept.fence().await;
}

#[tokio::test]
async fn sync_status_tells_what_waits_on_both_sides() {
    let me = somebody();
    let answer = me.sync(json!({"device_id": "tablet", "pending_uploads": 4})).await;
    let settled = me.pull(json!({"device_id": "tablet", "cursor": answer["cursor"], "pending_uploads": 4})).await;
    me.push([1, 2, 3].map(|n| insert("food_entries", &food_entry(json!({"quantity": n}))))).await;

    let status = me.api.get("/sync-status?device_id=tablet").await.ok();
    assert_eq!(status["device_id"], "tablet");
    assert_eq!(status["pending_uploads"], 4);
    assert_eq!(status["pending_downloads"], 3);
    assert_eq!(status["cursor"], settled["cursor"]);
    assert_eq!(status["is_online"], false);
    assert!(status["last_sync"].is_string(), "{status}");
    assert!(status["server_version"].as_str().is_some_and(|version| version.contains('.')), "{status}");

    let _socket = me.socket("tablet").await;
    assert_eq!(me.api.get("/sync-status?device_id=tablet").await.ok()["is_online"], true);
}

#[tokio::test]
async fn a_ping_reports_what_a_device_has_queued() {
    let me = somebody();
    let mut socket = me.socket("tablet").await;
    socket.send(json!({"type": "ping", "pending_uploads": 7})).await;
    socket.next("pong").await;
    assert_eq!(me.api.get("/sync-status?device_id=tablet").await.ok()["pending_uploads"], 7);
}

#[tokio::test]
async fn sync_status_needs_a_device_id_that_is_one() {
    let me = somebody();
    me.api.get("/sync-status").await.problem(&[400, 422]);
    me.api.get("/sync-status?device_id=a%20b").await.problem(&[400, 422]);
}
