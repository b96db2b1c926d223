//! `GET /changes` with `wait`: for whoever has no socket.

use std::time::Duration;

use ryzed_tests::account::cursor_text;
use ryzed_tests::polling::{Poll, is_online};
use ryzed_tests::rows::{self, food, food_entry, workout_session};
use ryzed_tests::{Account, insert};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{keepers, shared, somebody};

/// A person whom the daemon knows, and where they stand.
async fn met(me: Account) -> (Account, Value) {
    me.push([]).await;
    let cursor = me.pull(json!({})).await["cursor"].clone();
    (me, cursor)
}

#[tokio::test]
async fn the_answer_comes_once_another_device_writes() {
    let (me, cursor) = met(somebody()).await;
    let poll = Poll::begin(&me, "tablet", &cursor, "").await;
    let entry = food_entry(json!({}));
    me.store("food_entries", &entry).await;
    let page = poll.early().await.ok();
    assert_eq!(page["changes"]["food_entries"][0]["id"], entry["id"], "{page}");
    assert_eq!(page["cursor"], me.cursor().await);
}

#[tokio::test]
async fn what_is_there_is_not_waited_for() {
    let (me, cursor) = met(somebody()).await;
    me.store("food_entries", &food_entry(json!({}))).await;
    let page = Poll::ask(&me, "tablet", &cursor, "").early().await.ok();
    assert_eq!(page["total_changes"], 1);
    let stale = json!({"epoch": "another", "user": 1});
    let page = Poll::ask(&me, "tablet", &stale, "").early().await.ok();
    assert_eq!(page["reset"], true);
}

#[tokio::test]
async fn what_concerns_the_device_not_or_is_its_own_is_no_news() {
    let (me, cursor) = met(somebody()).await;
    let poll = Poll::begin(&me, "phone", &cursor, "&tables=food_entries").await;
    me.store("food_entries", &food_entry(json!({}))).await;
    me.push_from("tablet", [insert("workout_sessions", &workout_session(json!({})))]).await;
    let entry = food_entry(json!({}));
    me.push_from("tablet", [insert("food_entries", &entry)]).await;
    let page = poll.early().await.ok();
    let ids: Vec<&Value> =
        page["changes"]["food_entries"].as_array().into_iter().flatten().map(|row| &row["id"]).collect();
    assert!(ids.contains(&&entry["id"]) && ids.len() == 2, "it was answered before there was news: {page}");
}

#[tokio::test]
async fn the_time_is_over_and_nothing_came() {
    let (me, cursor) = met(somebody()).await;
    let page = me.api.get(&format!("/changes?wait=1&cursor={}", cursor_text(&cursor))).await.ok();
    assert_eq!((&page["total_changes"], &page["cursor"]), (&json!(0), &cursor));
    me.api.get("/changes?wait=soon").await.problem(&[422]);
    me.api.get("/changes?wait=1&device_id=a%20b").await.problem(&[422]);
}

#[tokio::test]
async fn the_catalogue_is_news_to_everybody() {
    let (me, cursor) = met(keepers().account()).await;
    let poll = Poll::begin(&me, "tablet", &cursor, "&tables=foods").await;
    let admin = keepers().account_of(ryzed_tests::Person::admin());
    admin.store("foods", &food(json!({"user_id": null}))).await;
    assert!(poll.early().await.ok()["total_changes"].as_i64() > Some(0));
}

#[tokio::test]
async fn so_is_what_somebody_writes_straight_into_the_database() {
    let (me, cursor) = met(somebody()).await;
    let poll = Poll::begin(&me, "tablet", &cursor, "").await;
    let (id, now) = (Uuid::new_v4(), rows::time(chrono::TimeDelta::zero()));
    shared().database().run(&format!(
        "INSERT INTO food_entries (id, user_id, quantity, unit, consumed_at, created_at, updated_at) \
         VALUES ('{id}', '{}', 1, 'g', '{now}', '{now}', '{now}')",
        me.person.id
    ));
    assert_eq!(poll.early().await.ok()["changes"]["food_entries"][0]["id"], json!(id));
}

#[tokio::test]
async fn a_device_that_is_revoked_does_not_wait_on() {
    let (me, cursor) = met(somebody()).await;
    let lost = me.with_token(me.token());
    lost.push_from("lost", []).await;
    let poll = Poll::begin(&lost, "lost", &cursor, "").await;
    me.api.delete("/devices/lost").await.done();
    let problem = poll.early().await.problem(&[401, 403]);
    assert!(problem["type"].as_str().is_some_and(|kind| kind.ends_with("-revoked")), "{problem}");
    Poll::ask(&me, "lost", &cursor, "").early().await.problem(&[401, 403]);
}

#[tokio::test]
async fn nobody_waits_longer_than_their_token_lasts() {
    let (me, cursor) = met(somebody()).await;
    // It is good for 30 s after its end.
    let short = me.with_token(me.token().expires_in(-26));
    let page = Poll::ask(&short, "tablet", &cursor, "").early().await.ok();
    assert_eq!(page["total_changes"], 0);
}

#[tokio::test]
async fn a_device_waits_once_and_counts_as_connected_meanwhile() {
    let (me, cursor) = met(somebody()).await;
    me.push_from("tablet", []).await;
    let older = Poll::begin(&me, "tablet", &cursor, "").await;
    let newer = Poll::ask(&me, "tablet", &cursor, "");
    assert_eq!(older.early().await.ok()["total_changes"], 0);
    let devices = me.api.get("/devices").await.ok();
    let is_active = |device: &Value| device["device_id"] == "tablet" && device["is_active"] == true;
    assert!(devices.as_array().is_some_and(|devices| devices.iter().any(is_active)), "{devices}");
    me.store("food_entries", &food_entry(json!({}))).await;
    assert_eq!(newer.early().await.ok()["total_changes"], 1);
    for _ in 0..100 {
        if !is_online(&me, "tablet").await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it still counts as connected");
}

#[tokio::test]
async fn many_that_wait_keep_nobody_from_reading() {
    let (me, cursor) = met(somebody()).await;
    let mut polls = Vec::new();
    for device in 0..15 {
        polls.push(Poll::begin(&me, &format!("d-{device}"), &cursor, "").await);
    }
    me.api.get("/digest").await.ok();
    me.store("food_entries", &food_entry(json!({}))).await;
    for poll in polls {
        assert_eq!(poll.early().await.ok()["total_changes"], 1);
    }
}
