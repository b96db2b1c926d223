//! The bound on open conflicts, and the cost of listing them.

use std::collections::BTreeSet;

use ryzed_tests::rows::{row, workout_exercise, workout_session};
use ryzed_tests::{Account, Change, Daemon, delete, insert, update};
use serde_json::{Value, json};

const TABLE: &str = "workout_sessions";
const MEGABYTE: usize = 1_000_000;

/// A session whose name another device has changed, and an edit that has not seen it.
async fn contested(me: &Account) -> (Value, Change) {
    let session = workout_session(json!({"name": "Legs"}));
    let base = me.store(TABLE, &session).await;
    me.push_from("tablet", [update(TABLE, &session["id"], json!({"name": "Server"})).base(&base)]).await;
    let edit = update(TABLE, &session["id"], json!({"name": "Client", "is_completed": true}));
    (session["id"].clone(), edit.base(&base).strategy("manual"))
}

async fn list(me: &Account, query: &str) -> Value {
    me.api.get(&format!("/conflicts{query}")).await.ok()
}

fn fields(conflict: &Value) -> Value {
    let fields = conflict["fields"].as_array().expect("fields").iter();
    fields.map(|field| (field["field"].as_str().expect("a name").to_owned(), field["client"].clone())).collect()
}

#[tokio::test]
async fn what_a_device_left_open_of_a_row_is_one_conflict() {
    let me = crate::somebody();
    let (id, first) = contested(&me).await;
    let base = first.json()["base_version"].clone();
    let edit = |fields: Value| update(TABLE, &id, fields).base(&base).strategy("manual");
    let ended = update(TABLE, &id, json!({"end_time": "2026-01-05T20:00:00Z"})).strategy("client_wins");
    me.push_from("tablet", [ended]).await;
    let opened = me.push([first]).await["conflicts"][0]["conflict_id"].clone();
    let again = me.push([edit(json!({"name": "Later"})), edit(json!({"end_time": "2026-01-05T21:00:00Z"}))]).await;
    for conflict in again["conflicts"].as_array().expect("conflicts") {
        assert_eq!(conflict["conflict_id"], opened, "{conflict}");
    }
    // Another device wants something of its own.
    me.push_from("watch", [edit(json!({"name": "Watch"}))]).await;
    let open = list(&me, "").await["conflicts"].as_array().expect("conflicts").clone();
    assert_eq!(open.len(), 2, "{open:?}");
    assert_eq!(fields(&open[0]), json!({"name": "Later", "end_time": "2026-01-05T21:00:00.000000Z"}));
    assert_eq!((&open[1]["fields"][0]["client"], &open[1]["row"]["name"]), (&json!("Watch"), &json!("Server")));
    let path = format!("/conflicts/{}/resolve", opened.as_str().expect("an id"));
    me.api.post(&path, &json!({"resolution": "client"})).await.done();
    let settled = me.row(TABLE, &id).await.expect("a row");
    assert_eq!((&settled["name"], &settled["end_time"]), (&json!("Later"), &json!("2026-01-05T21:00:00.000000Z")));
    // What is still open is told as the row is now.
    let open = list(&me, "").await;
    assert_eq!(open["conflicts"].as_array().map(Vec::len), Some(1));
    assert_eq!(open["conflicts"][0]["fields"][0]["server"], "Later", "{open}");
}

#[tokio::test]
async fn open_conflicts_come_in_pages() {
    const OPEN: usize = 130;
    let me = crate::somebody();
    let mut edits = Vec::new();
    for _ in 0..OPEN {
        edits.push(contested(&me).await.1);
    }
    me.push(edits).await;
    let first = list(&me, "").await;
    assert_eq!(first["conflicts"].as_array().map(Vec::len), Some(100), "who asks for no page gets the first");
    assert_eq!(first["has_more"], true);
    let (mut found, mut after, mut pages) = (BTreeSet::new(), String::new(), 0);
    loop {
        let page = list(&me, &format!("?limit=40{after}")).await;
        pages += 1;
        let conflicts = page["conflicts"].as_array().expect("conflicts").iter();
        found.extend(conflicts.map(|met| met["conflict_id"].to_string()));
        if page["has_more"] == false {
            break;
        }
        after = format!("&after={}", page["after"].as_str().expect("where to go on"));
    }
    assert_eq!((found.len(), pages), (OPEN, 4));
    for bad in ["?limit=0", "?limit=x", "?after=x"] {
        me.api.get(&format!("/conflicts{bad}")).await.problem(&[422]);
    }
}

#[tokio::test]
async fn open_conflicts_of_a_large_row_cost_about_one_row() {
    let daemon = Daemon::start();
    let me = daemon.account();
    let recipe = row("recipes", json!({"steps_en": ["x".repeat(MEGABYTE)]}));
    let base = me.store("recipes", &recipe).await;
    let theirs = json!({"steps_en": ["y".repeat(MEGABYTE)]});
    me.push_from("tablet", [update("recipes", &recipe["id"], theirs).base(&base)]).await;
    let edit = |n: usize| update("recipes", &recipe["id"], json!({"steps_en": [format!("{n}")]})).base(&base);
    me.push((0..100).map(|n| edit(n).strategy("manual"))).await;
    for device in ["a", "b", "c", "d", "e", "f"] {
        me.push_from(device, [edit(0).strategy("manual")]).await;
    }
    daemon.forget_peak();
    let before = daemon.resident_kib();
    let (mut count, mut after) = (0, String::new());
    loop {
        let answer = me.api.get(&format!("/conflicts{after}")).await;
        assert!(answer.body.len() < 6 * MEGABYTE, "an answer of {} bytes", answer.body.len());
        let page = answer.ok();
        for conflict in page["conflicts"].as_array().expect("conflicts") {
            count += 1;
            assert_eq!(conflict["row"]["steps_en"][0].as_str().map(str::len), Some(MEGABYTE));
            assert_eq!(conflict["fields"][0]["server"], conflict["row"]["steps_en"], "nothing is lost");
        }
        if page["has_more"] == false {
            break;
        }
        after = format!("?after={}", page["after"].as_str().expect("where to go on"));
    }
    let cost = daemon.peak_kib().saturating_sub(before);
    assert_eq!(count, 7, "one of each device");
    assert!(cost < 100 << 10, "{cost} KiB");
}

#[tokio::test]
async fn where_enough_conflicts_are_open_nothing_is_done_until_one_is_settled() {
    let daemon = Daemon::builder().env("RYZED_LIMITS__OPEN_CONFLICTS", 2).start();
    let me = daemon.account();
    let (mut ids, mut edits) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let (id, edit) = contested(&me).await;
        ids.push(id);
        edits.push(edit);
    }
    let answer = me.push(edits.clone()).await;
    let result = &answer["results"][2];
    assert_eq!((&result["status"], &result["errors"][0]["code"]), (&json!("rejected"), &json!("too_many_conflicts")));
    let held = me.row(TABLE, &ids[2]).await.expect("a row");
    assert_eq!((&held["name"], &held["is_completed"]), (&json!("Server"), &json!(false)), "nothing of it was done");
    assert_eq!(list(&me, "").await["conflicts"].as_array().map(Vec::len), Some(2));
    // One that is open already may change, and somebody else has room of their own.
    let base = edits[0].json()["base_version"].clone();
    let joined = update(TABLE, &ids[0], json!({"name": "Joined"})).base(&base).strategy("manual");
    assert_eq!(me.change(joined).await["status"], "conflict");
    // The same again goes well once there is room.
    assert_eq!(me.change(edits[2].clone()).await["status"], "rejected");
    let open = list(&me, "").await["conflicts"][0]["conflict_id"].as_str().expect("an id").to_owned();
    me.api.post(&format!("/conflicts/{open}/resolve"), &json!({"resolution": "server"})).await.done();
    assert_eq!(me.change(edits[2].clone()).await["status"], "conflict");
    assert_eq!(me.row(TABLE, &ids[2]).await.expect("a row")["is_completed"], true);
}

#[tokio::test]
async fn open_conflicts_take_no_more_than_they_may() {
    let daemon = Daemon::builder().env("RYZED_LIMITS__OPEN_CONFLICT_BYTES", 20_000).start();
    let me = daemon.account();
    let mut statuses = Vec::new();
    for _ in 0..3 {
        let recipe = row("recipes", json!({}));
        let base = me.store("recipes", &recipe).await;
        me.push_from("tablet", [update("recipes", &recipe["id"], json!({"steps_en": ["theirs"]})).base(&base)]).await;
        let edit = update("recipes", &recipe["id"], json!({"steps_en": ["x".repeat(8000)]})).base(&base);
        statuses.push(me.change(edit.strategy("manual")).await["status"].clone());
    }
    assert_eq!(statuses, ["conflict", "conflict", "rejected"]);
}

#[tokio::test]
async fn no_more_parts_of_a_row_wait_than_may() {
    let daemon = Daemon::builder().env("RYZED_LIMITS__OPEN_CONFLICT_PARTS", 2).start();
    let me = daemon.account();
    let session = workout_session(json!({}));
    let base = me.store("workout_sessions", &session).await;
    me.push_from("tablet", [delete("workout_sessions", &session["id"]).base(&base)]).await;
    let rows: Vec<Value> = (0..3).map(|_| workout_exercise(&session)).collect();
    let parts: Vec<_> = rows.iter().map(|row| insert("workout_exercises", row)).collect();
    let answer = me.push(parts.clone()).await;
    let told: Vec<&Value> = answer["results"].as_array().expect("results").iter().collect();
    let statuses: Vec<&Value> = told.iter().map(|result| &result["status"]).collect();
    assert_eq!(statuses, ["conflict", "conflict", "rejected"], "{answer}");
    assert_eq!(told[2]["errors"][0]["code"], "too_many_conflicts");
    // An edit of one that waits needs no more room, and one that is taken out makes room for the last: the same change again.
    let edit = update("workout_exercises", &rows[0]["id"], json!({"order_index": 7}));
    assert_eq!(me.change(edit).await["status"], "conflict");
    assert_eq!(me.change(delete("workout_exercises", &rows[0]["id"])).await["status"], "applied");
    assert_eq!(me.change(parts[2].clone()).await["status"], "conflict");
    assert_eq!(list(&me, "").await["conflicts"][0]["parts"].as_array().map(Vec::len), Some(2));
}
