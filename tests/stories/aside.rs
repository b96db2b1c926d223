//! What one person sends is unpacked, parsed and judged aside, where nobody's round trips wait for it, and paid for whatever comes
//! of it.

use std::time::Duration;

use hyper::Method;
use ryzed_tests::hostile::{gzipped, list};
use ryzed_tests::rows::food_entry;
use ryzed_tests::{Account, Answer, Daemon, insert};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{Bytes, Message};

/// A little less than a body may hold, and a message.
const BODY: usize = (8 << 20) - 1000;
const MESSAGE: usize = (1 << 20) - 1000;
const GZIP: [(&str, &str); 2] = [("content-type", "application/json"), ("content-encoding", "gzip")];
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Names of tables, more than may be given.
fn names(bytes: usize) -> String {
    format!(r#"{{"type":"sync","device_id":"phone","tables":{}}}"#, list(r#""a""#, bytes - 100))
}

async fn packed(me: &Account, body: &Bytes) -> Answer {
    me.api.raw(Method::POST, "/sync", &GZIP, body.clone()).await.expect("an answer")
}

/// A daemon that gives each person so much to spend, and next to nothing after that.
fn sparing(requests: u32) -> Daemon {
    Daemon::builder()
        .env("RYZED_LIMITS__REQUESTS_PER_SECOND", 1)
        .env("RYZED_LIMITS__REQUEST_BURST", requests)
        .env("RYZED_LIMITS__WAIT_SECONDS", 2)
        .start()
}

/// The processor's time of the threads that work aside, and of those that serve everybody, in ticks.
fn ticks(daemon: &Daemon) -> (u64, u64) {
    let (mut aside, mut serving) = (0, 0);
    for thread in std::fs::read_dir(format!("/proc/{}/task", daemon.pid())).expect("a process").flatten() {
        let Ok(stat) = std::fs::read_to_string(thread.path().join("stat")) else { continue };
        // The name stands in brackets; user's and system's time are the 14th and 15th field.
        let Some((name, figures)) = stat.split_once(") ") else { continue };
        let used: u64 = figures.split(' ').skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
        match name.split_once('(').map(|(_, name)| name) {
            Some("aside") => aside += used,
            Some("tokio-rt-worker") => serving += used,
            _ => {}
        }
    }
    (aside, serving)
}

/// What some work took of both.
async fn taken(daemon: &Daemon, work: impl Future<Output = ()>) -> (u64, u64) {
    let before = ticks(daemon);
    work.await;
    let after = ticks(daemon);
    (after.0 - before.0, after.1 - before.1)
}

#[tokio::test]
async fn what_costs_much_to_read_is_read_aside_by_whichever_door() {
    let daemon = Daemon::start();
    let me = daemon.account();
    let body: Bytes = gzipped(names(BODY).as_bytes()).into();
    let bodies = async {
        for _ in 0..8 {
            packed(&me, &body).await.problem(&[413, 422]);
        }
    };
    let (aside, serving) = taken(&daemon, bodies).await;
    assert!(aside > 3 * serving, "bodies: {aside} ticks aside, {serving} where everybody is served");

    let mut socket = me.socket("tablet").await;
    let messages = async {
        for _ in 0..40 {
            socket.send_raw(Message::text(names(MESSAGE).replace("phone", "tablet"))).await;
            socket.next("error").await;
            socket.fence().await;
        }
    };
    let (aside, serving) = taken(&daemon, messages).await;
    assert!(aside > serving, "messages: {aside} ticks aside, {serving} where everybody is served");

    // Rows with many fields that nobody knows: read, judged and rejected one by one.
    let row = |n: u32| {
        let mut row = food_entry(json!({}));
        (0..900).for_each(|field| row[format!("{n}_{field}")] = json!([field]));
        row
    };
    let changes: Vec<Value> = (0..200).map(|n| insert("food_entries", &row(n)).json()).collect();
    let body = json!({"device_id": "phone", "tables": ["users"], "changes": changes}).to_string();
    let uploads = async {
        for _ in 0..4 {
            let headers = [("content-type", "application/json")];
            me.api.raw(Method::POST, "/sync", &headers, body.clone()).await.expect("an answer").done();
        }
    };
    let (aside, serving) = taken(&daemon, uploads).await;
    assert!(aside > serving, "uploads: {aside} ticks aside, {serving} where everybody is served");
}

#[tokio::test]
async fn a_body_is_paid_for_as_it_is_unpacked_whatever_comes_of_it() {
    let daemon = sparing(300);
    for (body, refusal) in [(names(BODY), [413, 422]), (" ".repeat(BODY + 10_000), [413, 413])] {
        let (me, body): (_, Bytes) = (daemon.account(), gzipped(body.as_bytes()).into());
        for _ in 0..3 {
            packed(&me, &body).await.problem(&refusal);
        }
        // Three times 128 requests were more than there was.
        let refused = me.api.get("/topics").await;
        refused.problem(&[429]);
        let seconds: u64 = refused.header("retry-after").parse().expect("whole seconds");
        assert!((40..=90).contains(&seconds), "{seconds}");
        packed(&me, &body).await.problem(&[429]);
    }
}

#[tokio::test]
async fn who_pays_with_their_last_is_served() {
    let daemon = sparing(20);
    let me = daemon.account();
    let rows: Vec<Value> = (0..1000).map(|_| insert("food_entries", &food_entry(json!({}))).json()).collect();
    let body = json!({"device_id": "phone", "tables": ["users"], "digest": true, "changes": rows}).to_string();
    let headers = [("content-type", "application/json")];
    let answer = me.api.raw(Method::POST, "/sync", &headers, body).await.expect("an answer").json();
    assert_eq!(answer["results"].as_array().map(Vec::len), Some(1000));
    me.api.get("/topics").await.problem(&[429]);
}

#[tokio::test]
async fn a_message_is_paid_for_before_it_is_read() {
    let daemon = sparing(45);
    let me = daemon.account();
    let mut socket = me.socket("tablet").await;
    // Each is 15 requests, and connecting was five.
    for _ in 0..2 {
        socket.send_raw(Message::text(" ".repeat(MESSAGE))).await;
        assert_eq!(socket.next("error").await["code"], "malformed");
    }
    socket.send_raw(Message::text(" ".repeat(MESSAGE))).await;
    let (code, reason) = socket.expect_close_within(PATIENCE).await;
    assert!(code == 4429 && reason.contains("limits.requests_per_second"), "{code} {reason}");
}
