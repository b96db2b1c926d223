//! Requests that wait for news, at daemons of their own: how many there may be, and what becomes of them when parts of the daemon
//! fail or all of it ends.

use ryzed_tests::polling::Poll;
use ryzed_tests::rows::food_entry;
use ryzed_tests::supervision::{breakable, fail};
use ryzed_tests::{Account, Daemon, Metrics};
use serde_json::{Value, json};

async fn met(daemon: &Daemon) -> (Account, Value) {
    let me = daemon.account();
    me.push([]).await;
    let cursor = me.pull(json!({})).await["cursor"].clone();
    (me, cursor)
}

#[tokio::test]
async fn so_many_of_one_person_wait_and_so_many_of_all() {
    let daemon = Daemon::builder().env("RYZED_LIMITS__POLLS_PER_USER", 2).env("RYZED_LIMITS__POLLS", 3).start();
    let ((me, cursor), (other, theirs)) = (met(&daemon).await, met(&daemon).await);
    let mut polls = Vec::new();
    for device in ["a", "b"] {
        polls.push(Poll::begin(&me, device, &cursor, "").await);
    }
    let over = Poll::ask(&me, "c", &cursor, "").early().await;
    assert!(over.problem(&[429])["detail"].as_str().is_some_and(|detail| detail.contains("limits.polls_per_user")));
    assert!(!over.header("retry-after").is_empty());
    polls.push(Poll::begin(&other, "a", &theirs, "").await);
    let metrics = Metrics::of(&daemon.address()).await;
    assert_eq!(metrics.value("ryzed_polls"), 3.0, "{}", metrics.text());
    let over = Poll::ask(&other, "b", &theirs, "").early().await;
    assert!(over.problem(&[503])["detail"].as_str().is_some_and(|detail| detail.contains("limits.polls")));
    me.store("food_entries", &food_entry(json!({}))).await;
    other.store("food_entries", &food_entry(json!({}))).await;
    for poll in polls {
        assert_eq!(poll.early().await.ok()["total_changes"], 1);
    }
    let metrics = Metrics::of(&daemon.address()).await;
    let counted =
        r#"ryzed_http_request_duration_seconds_count{route="/api/realtime/changes?wait",method="GET",status="200"}"#;
    assert_eq!((metrics.value("ryzed_polls"), metrics.value(counted)), (0.0, 3.0), "{}", metrics.text());
}

#[tokio::test]
async fn who_waits_has_an_answer_when_the_daemon_ends() {
    let mut daemon = Daemon::start();
    let (me, cursor) = met(&daemon).await;
    let poll = Poll::begin(&me, "tablet", &cursor, "").await;
    daemon.terminate();
    assert_eq!(poll.early().await.ok()["total_changes"], 0);
    assert_eq!(daemon.exit_code().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_does_not_notice_that_a_session_fails() {
    let daemon = breakable().start();
    let (me, mut cursor) = met(&daemon).await;
    for (device, actor, how) in [("a", "session", "panic"), ("b", "session", "hang"), ("c", "sessions", "panic")] {
        let poll = Poll::begin(&me, device, &cursor, "").await;
        fail(&daemon, actor, how, (actor == "session").then_some(&me)).await;
        me.store("food_entries", &food_entry(json!({}))).await;
        assert!(poll.early().await.ok()["total_changes"].as_i64() > Some(0));
        cursor = me.pull(json!({})).await["cursor"].clone();
    }
}
