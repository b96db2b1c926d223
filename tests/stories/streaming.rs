//! `GET /changes` as server-sent events: what a socket says, where only answers get through.

use ryzed_tests::events::Events;
use ryzed_tests::polling::is_online;
use ryzed_tests::rows::food_entry;
use ryzed_tests::{Account, Daemon, Person, insert};
use serde_json::{Value, json};

use crate::{shared, somebody};

async fn met(me: Account) -> (Account, Value) {
    me.push([]).await;
    let cursor = me.pull(json!({})).await["cursor"].clone();
    (me, cursor)
}

async fn open(me: &Account, device: &str, cursor: &Value) -> Events {
    Events::open(&shared().address(), me, device, cursor, "").await
}

#[tokio::test]
async fn it_begins_with_what_was_missed_and_goes_on_with_what_comes() {
    let (me, cursor) = met(somebody()).await;
    let missed = food_entry(json!({}));
    me.store("food_entries", &missed).await;
    let mut events = open(&me, "tablet", &cursor).await;
    for header in ["content-type: text/event-stream", "cache-control: no-store", "x-accel-buffering: no"] {
        assert!(events.head.contains(header), "{}", events.head);
    }
    assert!(!events.head.contains("content-encoding"), "{}", events.head);
    let welcome = events.next("connection_established").await;
    assert_eq!((&welcome["device_id"], &welcome["cursor"]), (&json!("tablet"), &cursor));
    let first = events.next("data_updated").await;
    assert_eq!((&first["data"]["id"], &first["source_device"]), (&missed["id"], &json!("phone")));
    let begun = first["version"].as_i64().expect("a version");
    for quantity in 1..=20 {
        me.push([insert("food_entries", &food_entry(json!({"quantity": quantity})))]).await;
        let event = events.next("data_updated").await;
        assert_eq!(event["data"]["quantity"], quantity);
        assert_eq!(event["version"].as_i64(), Some(begun + quantity));
    }
}

#[tokio::test]
async fn the_device_is_connected_and_hears_what_is_not_stored() {
    let (me, cursor) = met(somebody()).await;
    let mut phone = me.socket("phone").await;
    let mut events = open(&me, "tablet", &cursor).await;
    events.next("connection_established").await;
    assert_eq!(phone.next("presence").await["is_online"], true);
    assert!(is_online(&me, "tablet").await);
    phone.send(json!({"type": "broadcast", "event": "round", "payload": 3})).await;
    assert_eq!(events.next("broadcast").await["payload"], 3);
    drop(events);
    assert_eq!(phone.next("presence").await["is_online"], false);
}

#[tokio::test]
async fn it_is_closed_with_the_codes_of_a_socket() {
    let (me, cursor) = met(somebody()).await;
    let mut older = open(&me, "tablet", &cursor).await;
    older.next("connection_established").await;
    let mut newer = open(&me, "tablet", &cursor).await;
    assert_eq!(older.closed().await, 4409);
    newer.next("connection_established").await;
    me.api.delete("/devices/tablet").await.done();
    assert_eq!(newer.closed().await, 4403);
    let again = me.with_token(me.token().issued_in(20));
    assert_eq!(open(&again, "tablet", &cursor).await.closed().await, 4403);
    let (other, cursor) = met(somebody()).await;
    let mut short = open(&other.with_token(other.token().expires_in(-26)), "tablet", &cursor).await;
    short.next("token_expiring").await;
    assert_eq!(short.closed().await, 4401);
}

#[tokio::test]
async fn a_silent_one_shows_that_it_is_there_and_lives_on() {
    let daemon = Daemon::builder().env("RYZED_SYNC__HEARTBEAT_SECONDS", 1).start();
    let (me, cursor) = met(daemon.account()).await;
    let mut events = Events::open(&daemon.address(), &me, "tablet", &cursor, "").await;
    for _ in 0..8 {
        events.sign().await;
    }
    me.store("food_entries", &food_entry(json!({}))).await;
    events.next("data_updated").await;
}

#[tokio::test]
async fn it_is_told_when_the_daemon_ends() {
    let mut daemon = Daemon::start();
    let (me, cursor) = met(daemon.account_of(Person::new())).await;
    let mut events = Events::open(&daemon.address(), &me, "tablet", &cursor, "").await;
    events.next("connection_established").await;
    daemon.terminate();
    assert_eq!(events.closed().await, 1012);
    assert_eq!(daemon.exit_code().await, 0);
}
