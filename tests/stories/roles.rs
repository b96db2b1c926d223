//! Requests for some roles only: to see who is active, try a broadcast, set everybody syncing.

use ryzed_tests::{Daemon, Person};
use serde_json::json;

use crate::{shared, somebody};

#[tokio::test]
async fn only_admins_and_services_see_who_is_active() {
    let me = somebody();
    let _socket = me.socket("phone").await;
    me.api.get("/active-users").await.problem(&[403]);
    for person in [Person::admin(), Person::service()] {
        let active = shared().account_of(person).api.get("/active-users").await.ok();
        let users = active["active_users"].as_array().expect("a list");
        let mine = users.iter().find(|user| user["user_id"] == me.user()).unwrap_or_else(|| panic!("{active}"));
        assert!(mine.get("devices").is_some(), "{active}");
        assert!(active["total"].as_u64() >= Some(1), "{active}");
    }
}

#[tokio::test]
async fn a_test_broadcast_is_nowhere_unless_it_is_switched_on() {
    somebody().api.post("/test-broadcast", &json!({"message": "hello"})).await.problem(&[404]);
}

#[tokio::test]
async fn a_test_broadcast_reaches_ones_devices_where_it_is_switched_on() {
    let daemon = Daemon::builder().env("RYZED_DEV__TEST_BROADCAST", true).start();
    let me = daemon.account();
    let mut socket = me.socket("tablet").await;
    let answer = me.api.post("/test-broadcast", &json!({"message": "hello"})).await.ok();
    assert!(answer["delivered"].as_u64() >= Some(1), "{answer}");
    let broadcast = socket.next("broadcast").await;
    assert!(broadcast.to_string().contains("hello"), "{broadcast}");
}

#[tokio::test]
async fn triggering_a_sync_tells_every_device_of_the_person() {
    let (me, other) = (somebody(), somebody());
    let (mut phone, mut tablet) = (me.socket("phone").await, me.socket("tablet").await);
    let mut theirs = other.socket("theirs").await;
    let answer = me.api.post("/trigger-sync", &json!({})).await.ok();
    assert_eq!(answer["notified"], 2);
    phone.next("sync_triggered").await;
    tablet.next("sync_triggered").await;
    theirs.fence().await;
    assert!(theirs.received("sync_triggered").is_empty());
}
