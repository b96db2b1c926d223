//! Every bound on what one client can use: what is over it gets an error that names it.

use std::collections::BTreeSet;
use std::io::Write as _;

use hyper::Method;
use ryzed_tests::rows::{food_entry, row};
use ryzed_tests::{Daemon, insert, readers};
use serde_json::{Value, json};

use crate::somebody;

fn named(problem: &Value, limit: &str) {
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(limit)), "{limit}: {problem}");
}

#[tokio::test]
async fn a_thousand_changes_fit_in_a_request_and_no_more() {
    let me = somebody();
    let rows: Vec<Value> = (0..1001).map(|_| insert("food_entries", &food_entry(json!({}))).json()).collect();
    let body = |count: usize| json!({"device_id": "phone", "tables": ["users"], "changes": rows[..count]});
    let answer = me.api.post("/sync", &body(1000)).await.ok();
    assert!(answer["results"].as_array().expect("results").iter().all(|result| result["status"] == "applied"));
    named(&me.api.post("/sync", &body(1001)).await.problem(&[413]), "changes_per_request");
}

#[tokio::test]
async fn eight_megabytes_fit_in_a_request_and_no_more() {
    let me = somebody();
    let body = |size: usize| {
        let mut body = br#"{"device_id":"phone","tables":["users"]"#.to_vec();
        body.resize(size - 1, b' ');
        body.push(b'}');
        body
    };
    let json = [("content-type", "application/json")];
    me.api.raw(Method::POST, "/sync", &json, body(8 << 20)).await.expect("an answer").ok();
    let answer = me.api.raw(Method::POST, "/sync", &json, body((8 << 20) + 1)).await;
    named(&answer.expect("an answer, even while the body is still coming").problem(&[413]), "request_bytes");
}

#[tokio::test]
async fn a_compressed_body_counts_as_large_as_it_is() {
    let me = somebody();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let spaces = [b' '; 1 << 16];
    for _ in 0..(64 << 20) / spaces.len() {
        encoder.write_all(&spaces).expect("memory");
    }
    let bomb = encoder.finish().expect("memory");
    let headers = [("content-type", "application/json"), ("content-encoding", "gzip")];
    let answer = me.api.raw(Method::POST, "/sync", &headers, bomb).await;
    named(&answer.expect("an answer").problem(&[413]), "request_bytes");
}

#[tokio::test]
async fn twenty_devices_are_enough_for_anybody() {
    let me = somebody();
    for n in 0..20 {
        me.push_from(&format!("device-{n}"), []).await;
    }
    let problem = me.api.post("/sync", &json!({"device_id": "device-20"})).await.problem(&[409]);
    named(&problem, "devices_per_user");
    assert_eq!(me.connect("device-20").refused().await, 4429);
    me.push_from("device-7", []).await;
}

#[tokio::test]
async fn limits_are_what_the_operator_says() {
    let daemon = Daemon::builder()
        .env("RYZED_LIMITS__CHANGES_PER_REQUEST", 2)
        .env("RYZED_LIMITS__REQUEST_BYTES", 4000)
        .env("RYZED_LIMITS__MESSAGE_BYTES", 2000)
        .env("RYZED_LIMITS__DEVICES_PER_USER", 3)
        .env("RYZED_LIMITS__SUBSCRIPTIONS", 2)
        .env("RYZED_LIMITS__MESSAGES_PER_SECOND", 1)
        .env("RYZED_LIMITS__MESSAGE_BURST", 5)
        .start();
    let me = daemon.account();
    let three = [0; 3].map(|_| insert("food_entries", &food_entry(json!({}))).json());
    let body = json!({"device_id": "phone", "changes": three});
    named(&me.api.post("/sync", &body).await.problem(&[413]), "changes_per_request");
    let body = json!({"device_id": "phone", "app_version": "x".repeat(5000)});
    named(&me.api.post("/sync", &body).await.problem(&[413]), "request_bytes");

    for device in ["phone", "tablet", "watch"] {
        me.push_from(device, []).await;
    }
    named(&me.api.post("/sync", &json!({"device_id": "fridge"})).await.problem(&[409]), "devices_per_user");

    let mut tablet = me.socket("tablet").await;
    tablet.send(json!({"type": "subscribe", "tables": ["foods", "recipes", "exercises"]})).await;
    let error = tablet.next("error").await;
    assert!(error["detail"].as_str().is_some_and(|detail| detail.contains("subscriptions")), "{error}");
    tablet.send(json!({"type": "subscribe", "tables": ["foods", "recipes"]})).await;
    tablet.fence().await;
    tablet.send(json!({"type": "ping", "padding": "x".repeat(2000)})).await;
    assert_eq!(tablet.expect_close().await.0, 1009);

    let mut watch = me.socket("watch").await;
    for _ in 0..10 {
        watch.send(json!({"type": "ping"})).await;
    }
    assert_eq!(watch.expect_close().await.0, 4429);
}

#[tokio::test]
async fn a_reader_too_slow_is_told_to_pull_and_misses_nothing() {
    const ROWS: usize = 20;
    const PUSHES: usize = 30;
    let daemon = Daemon::builder().env("RYZED_LIMITS__OUTBOX_BYTES", 100_000).start();
    let me = daemon.account();
    me.push([]).await;
    let mut slow = me
        .connect("slow")
        .receive_buffer(readers::RECEIVE_BUFFER)
        .query("tables", "cardio_sessions")
        .established()
        .await;
    // More than the sockets' buffers hold, so that the daemon has to keep it or let it go.
    let notes = "breath ".repeat(2800);
    let mut written = BTreeSet::new();
    for _ in 0..PUSHES {
        let runs: Vec<Value> = (0..ROWS).map(|_| row("cardio_sessions", json!({"notes": notes}))).collect();
        written.extend(runs.iter().map(|run| run["id"].to_string()));
        me.push(runs.iter().map(|run| insert("cardio_sessions", run))).await;
    }
    let required = slow.next("sync_required").await;
    assert_eq!(required["reason"], "too_slow", "{required}");
    let mut held: BTreeSet<String> =
        slow.received("data_updated").iter().map(|message| message["data"]["id"].to_string()).collect();
    assert!(held.len() < written.len(), "the buffers held everything, so the story proves nothing");
    let pulled = me.pull(json!({"cursor": required["cursor"], "tables": ["cardio_sessions"]})).await;
    held.extend(pulled["changes"]["cardio_sessions"].as_array().into_iter().flatten().map(|row| row["id"].to_string()));
    assert_eq!(held, written, "what came before the notice and what a pull from its cursor brings is everything");
    slow.fence().await;
}
