//! The contents of the log, and what it must never hold.

use hyper::Method;
use ryzed_tests::rows::{food, workout_session};
use ryzed_tests::{Daemon, SECRET, TokenIn, insert, update};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

const MARK: &str = "zebrafinch";

#[tokio::test]
async fn no_log_holds_a_token_or_what_a_row_says() {
    let mut daemon = Daemon::builder().env("RYZED_LOG", "debug").start();
    let me = daemon.account();
    let token = me.person.token();
    let session = workout_session(json!({"name": MARK}));
    let base = me.store("workout_sessions", &session).await;
    me.apply(update("workout_sessions", &session["id"], json!({"name": format!("{MARK}2")})).base(&base)).await;
    me.change(update("workout_sessions", &session["id"], json!({"name": format!("{MARK}3")})).base(&base)).await;
    me.change(insert("foods", &food(json!({"name_en": MARK, "calories": MARK, MARK: 1})))).await;
    me.sync(json!({"changes": [MARK, {"table": MARK}]})).await;
    let broken = format!(r#"{{"device_id":"phone","x":"{MARK}"#);
    me.api.raw(Method::POST, "/sync", &[("content-type", "application/json")], broken).await.expect("an answer");
    me.api.get("/export").await.done();

    for place in [TokenIn::Query, TokenIn::Subprotocol, TokenIn::Message, TokenIn::Header] {
        let mut socket = me.connect("tablet").token_in(place).established().await;
        socket.send(json!({"type": "broadcast", "event": "note", "payload": MARK})).await;
        socket.send_raw(Message::text(format!("{{{MARK}"))).await;
        socket.send(insert("foods", &food(json!({"name_en": MARK}))).message()).await;
        socket.next("change_result").await;
    }
    // Put where a name belongs, as by a client that forgets the question mark.
    for place in ["ws/tablet&token=", "ws/", "devices/", "tables/"] {
        me.api.raw(Method::GET, &format!("/{place}{token}"), &[], "").await.expect("an answer");
        me.api.raw(Method::GET, &format!("//{place}{token}"), &[], "").await.expect("an answer");
    }
    let forged = me.token().forged("role", "admin");
    assert_eq!(me.connect("tablet").token(&forged).token_in(TokenIn::Query).refused().await, 4401);
    daemon.database().run(&format!("UPDATE workout_sessions SET name = '{MARK}9'"));
    daemon.terminate();
    assert_eq!(daemon.exit_code().await, 0);

    let log = daemon.log();
    assert!(log.lines().count() > 10, "there is hardly a log:\n{log}");
    let signature = token.rsplit('.').next().expect("a signature");
    for secret in [MARK, SECRET, &token, signature, "eyJ", &forged] {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "the log holds {secret}");
    }
}

#[tokio::test]
async fn every_request_is_a_line_under_the_id_that_its_answer_carries() {
    let mut daemon = Daemon::builder().alone().env("RYZED_LOG__FORMAT", "json").start();
    let me = daemon.account();
    let good = me.api.get("/devices").await;
    let bad = me.api.get("/tables/passwords/schema").await;
    daemon.terminate();
    assert_eq!(daemon.exit_code().await, 0);
    let log = std::fs::read_to_string(daemon.folder().join("stderr.log")).expect("a log");
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("no JSON ({error}): {line}")))
        .collect();
    for (answer, status) in [(good, "200"), (bad, "404")] {
        let id = answer.header("x-request-id").to_owned();
        assert!(!id.is_empty(), "{:?}", answer.headers);
        let of_it: Vec<String> = lines.iter().map(Value::to_string).filter(|line| line.contains(&id)).collect();
        assert_eq!(of_it.len(), 1, "one line a request: {of_it:#?}\n{log}");
        assert!(of_it[0].contains(status), "{of_it:?}");
    }
}

#[tokio::test]
async fn a_refused_request_says_why_and_whose_it_was() {
    let daemon = Daemon::builder().alone().start();
    let me = daemon.account();
    me.push([]).await;
    let user = me.person.id.to_string();
    me.api.with_token(None).get("/devices").await.problem(&[401]);
    daemon.logged(&["status=401", "unauthenticated: ", "a token is needed"]).await;
    let expired = me.token().expires_in(-3600).sign();
    me.api.with_token(Some(expired)).get("/devices").await.problem(&[401]);
    daemon.logged(&["status=401", "unauthenticated: ", "expired"]).await;
    me.api.post("/sync", &json!({"device_id": "phone", "tables": [MARK]})).await.problem(&[422]);
    daemon.logged(&["status=422", "unknown-table: tables", &user, "phone"]).await;
    me.api.get("/changes?limit=many").await.problem(&[422]);
    daemon.logged(&["status=422", "invalid-fields: limit (", &user]).await;
    for n in 0..21 {
        me.api.post("/sync", &json!({"device_id": format!("device-{n}")})).await;
    }
    daemon.logged(&["status=409", "limit-reached: ", "devices_per_user", &user, "device-20"]).await;
    assert!(!daemon.log().contains(MARK), "{}", daemon.log());
}

#[tokio::test]
async fn the_end_of_a_socket_is_a_line_with_its_reason() {
    let daemon = Daemon::builder().alone().start();
    let me = daemon.account();
    let user = me.person.id.to_string();
    let forged = me.token().forged("role", "admin");
    assert_eq!(me.connect("tablet").token(&forged).token_in(TokenIn::Query).refused().await, 4401);
    let line = daemon.logged(&["a socket ended", "code=4401", "signature", "device_id=tablet"]).await;
    assert!(!line.contains(&user), "nobody knows whose it was: {line}");
    assert_eq!(me.connect("no%20id").refused().await, 4400);
    daemon.logged(&["a socket ended", "code=4400", "device_id"]).await;
    assert_eq!(me.connect("tablet").query("tables", MARK).refused().await, 4400);
    daemon.logged(&["a socket ended", "code=4400", "there is no table", &user]).await;
    for n in 0..21 {
        me.api.post("/sync", &json!({"device_id": format!("device-{n}")})).await;
    }
    assert_eq!(me.connect("one-more").refused().await, 4429);
    daemon.logged(&["a socket ended", "code=4429", "devices_per_user", &user, "device_id=one-more"]).await;

    let mut socket = me.socket("device-1").await;
    socket.fence().await;
    socket.close().await;
    let line = daemon.logged(&["a socket ended", "by=\"client\"", &user, "device_id=device-1", "seconds="]).await;
    assert!(line.contains("received=1") && line.contains("sent="), "{line}");
    me.socket("device-2").await.vanish();
    daemon.logged(&["a socket ended", "by=\"network\"", "device_id=device-2"]).await;
    assert!(!daemon.log().contains(MARK) && !daemon.log().contains("eyJ"), "{}", daemon.log());
}
