//! Every message that a client can send over a socket, and what comes of it.

use ryzed_tests::rows::{food_entry, workout_session};
use ryzed_tests::{delete, insert, update};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::somebody;

#[tokio::test]
async fn a_ping_gets_a_pong() {
    let mut socket = somebody().socket("tablet").await;
    socket.send(json!({"type": "ping", "pending_uploads": null})).await;
    socket.next("pong").await;
}

#[tokio::test]
async fn a_change_gets_its_result_and_the_row_is_stored() {
    let me = somebody();
    let mut socket = me.socket("tablet").await;
    let entry = food_entry(json!({"quantity": 180}));
    let change = insert("food_entries", &entry);
    socket.send(change.message()).await;
    let result = socket.next("change_result").await;
    assert_eq!((&result["mutation_id"], &result["status"]), (&change.id(), &json!("applied")));
    assert_eq!((&result["table"], &result["id"]), (&json!("food_entries"), &entry["id"]));
    assert!(result.get("conflict").is_none_or(Value::is_null), "{result}");
    assert_eq!(me.row("food_entries", &entry["id"]).await.expect("a row")["_version"], result["version"]);

    socket.send(change.message()).await;
    assert_eq!(socket.next("change_result").await["version"], result["version"], "a retry applies nothing");
}

#[tokio::test]
async fn a_change_needs_no_mutation_id() {
    let mut socket = somebody().socket("tablet").await;
    let message =
        json!({"type": "data_updated", "table": "food_entries", "operation": "INSERT", "data": food_entry(json!({}))});
    socket.send(message).await;
    assert_eq!(socket.next("change_result").await["status"], "applied");
}

#[tokio::test]
async fn a_conflict_comes_with_the_result() {
    let me = somebody();
    let session = workout_session(json!({"name": "Legs"}));
    let base = me.store("workout_sessions", &session).await;
    me.apply(update("workout_sessions", &session["id"], json!({"name": "Server"})).base(&base)).await;
    let mut socket = me.socket("tablet").await;
    let change =
        update("workout_sessions", &session["id"], json!({"name": "Client"})).base(&base).strategy("server_wins");
    socket.send(change.message()).await;
    let result = socket.next("change_result").await;
    assert_eq!(result["status"], "conflict");
    assert_eq!(result["conflict"]["fields"][0]["resolved"], "Server", "{result}");
}

#[tokio::test]
async fn a_rejected_change_says_why() {
    let mut socket = somebody().socket("tablet").await;
    socket.send(insert("food_entries", &food_entry(json!({"quantity": -1}))).message()).await;
    let result = socket.next("change_result").await;
    assert_eq!((&result["status"], &result["errors"][0]["field"]), (&json!("rejected"), &json!("quantity")));
}

#[tokio::test]
async fn a_sync_over_the_socket_is_the_same_as_over_http() {
    let me = somebody();
    let mut socket = me.socket("tablet").await;
    let entry = food_entry(json!({}));
    socket
        .send(json!({"type": "sync", "request_id": "r-1", "device_id": "tablet", "tables": ["food_entries"],
            "digest": true, "changes": [insert("food_entries", &entry).json()]}))
        .await;
    let response = socket.next("sync_response").await;
    assert_eq!(response["request_id"], "r-1");
    assert_eq!(response["results"][0]["status"], "applied", "{response}");
    assert_eq!(response["changes"]["food_entries"][0]["id"], entry["id"]);
    assert_eq!(response["digest"]["food_entries"]["rows"], 1);
    assert_eq!((&response["has_more"], &response["reset"]), (&json!(false), &json!(false)));
    socket.next("sync_completed").await;
}

#[tokio::test]
async fn a_sync_over_the_socket_may_be_wrong_and_says_so() {
    let mut socket = somebody().socket("tablet").await;
    for body in [json!({"tables": ["passwords"]}), json!({"limit": "many"}), json!({"cursor": 7})] {
        let mut message = body;
        message["type"] = json!("sync");
        message["request_id"] = json!("r-2");
        socket.send(message).await;
        let error = socket.next("error").await;
        assert!(error["code"].is_string() && error["detail"].is_string(), "{error}");
    }
    socket.fence().await;
}

#[tokio::test]
async fn triggering_a_sync_reaches_the_other_devices() {
    let me = somebody();
    let (mut phone, mut tablet) = (me.socket("phone").await, me.socket("tablet").await);
    phone.send(json!({"type": "trigger_sync"})).await;
    tablet.next("sync_triggered").await;
}

#[tokio::test]
async fn a_broadcast_reaches_the_other_devices_of_the_person_and_nobody_else() {
    let (me, other) = (somebody(), somebody());
    let (mut phone, mut tablet) = (me.socket("phone").await, me.socket("tablet").await);
    let mut theirs = other.socket("theirs").await;
    phone.send(json!({"type": "broadcast", "event": "timer", "payload": {"seconds": 30, "note": "é\u{1F600}"}})).await;
    let broadcast = tablet.next("broadcast").await;
    assert_eq!((&broadcast["event"], &broadcast["source_device"]), (&json!("timer"), &json!("phone")));
    assert_eq!(broadcast["payload"], json!({"seconds": 30, "note": "é\u{1F600}"}));
    phone.fence().await;
    theirs.fence().await;
    assert!(phone.received("broadcast").is_empty(), "it came back to its sender");
    assert!(theirs.received("broadcast").is_empty(), "it reached somebody else");
}

#[tokio::test]
async fn presence_tells_who_comes_and_goes() {
    let me = somebody();
    let mut phone = me.socket("phone").await;
    let watch = me.connect("watch").query("device_type", "watch").established().await;
    let came = phone.next_where("presence", |p| p["device_id"] == "watch").await;
    assert_eq!((&came["is_online"], &came["device_type"]), (&json!(true), &json!("watch")));
    watch.vanish();
    let went = phone.next_where("presence", |p| p["device_id"] == "watch").await;
    assert_eq!(went["is_online"], false);
}

#[tokio::test]
async fn presence_is_nobody_elses_business() {
    let mut theirs = somebody().socket("theirs").await;
    let _mine = somebody().socket("mine").await;
    theirs.fence().await;
    assert!(theirs.received("presence").iter().all(|presence| presence["device_id"] != "mine"));
}

#[tokio::test]
async fn a_token_about_to_end_is_announced_and_can_be_renewed() {
    let me = somebody();
    let mut socket = me.connect("tablet").token(me.token().expires_in(61).sign()).established().await;
    socket.next("token_expiring").await;
    socket.send(json!({"type": "auth", "token": me.person.token()})).await;
    socket.fence().await;
}

#[tokio::test]
async fn a_renewed_token_keeps_the_socket_open() {
    let me = somebody();
    let mut socket = me.connect("tablet").token(me.token().expires_in(-28).sign()).established().await;
    socket.send(json!({"type": "auth", "token": me.token().expires_in(-27).sign()})).await;
    socket.send(json!({"type": "auth", "token": me.person.token()})).await;
    socket.fence().await;
    // Past the end of the first two tokens.
    socket.expect_silence(4000).await;
    socket.fence().await;
}

#[tokio::test]
async fn a_token_of_another_person_renews_nothing() {
    let me = somebody();
    for token in [somebody().person.token(), "rubbish".into(), me.token().expires_in(-60).sign()] {
        let mut socket = me.socket("tablet").await;
        socket.send(json!({"type": "auth", "token": token})).await;
        assert_eq!(socket.expect_close().await.0, 4401);
    }
}

#[tokio::test]
async fn only_the_tables_that_are_subscribed_to_come() {
    let me = somebody();
    let mut tablet = me.connect("tablet").query("tables", "workout_sessions").established().await;
    let (entry, session) = (food_entry(json!({})), workout_session(json!({})));
    me.push([insert("food_entries", &entry), insert("workout_sessions", &session)]).await;
    assert_eq!(tablet.next("data_updated").await["table"], "workout_sessions");

    tablet.send(json!({"type": "subscribe", "tables": ["food_entries"]})).await;
    tablet.fence().await;
    me.store("food_entries", &food_entry(json!({}))).await;
    assert_eq!(tablet.next("data_updated").await["table"], "food_entries");

    tablet.send(json!({"type": "unsubscribe", "tables": ["workout_sessions"]})).await;
    tablet.fence().await;
    me.store("workout_sessions", &workout_session(json!({}))).await;
    me.store("food_entries", &food_entry(json!({}))).await;
    assert_eq!(tablet.next("data_updated").await["table"], "food_entries");
    assert!(tablet.received("data_updated").is_empty());
}

#[tokio::test]
async fn subscribing_to_no_table_in_particular_means_all() {
    let me = somebody();
    for before in [json!({"type": "ping"}), json!({"type": "subscribe", "tables": ["foods"]})] {
        let mut tablet = me.socket("tablet").await;
        tablet.send(before).await;
        tablet.send(json!({"type": "subscribe", "tables": []})).await;
        tablet.fence().await;
        me.store("food_entries", &food_entry(json!({}))).await;
        assert_eq!(tablet.next("data_updated").await["table"], "food_entries");
    }
}

#[tokio::test]
async fn subscribing_to_an_unknown_table_is_an_error() {
    let mut socket = somebody().socket("tablet").await;
    for kind in ["subscribe", "unsubscribe"] {
        socket.send(json!({"type": kind, "tables": ["passwords"]})).await;
        let error = socket.next("error").await;
        assert!(error.to_string().contains("passwords"), "{error}");
    }
    socket.fence().await;
}

#[tokio::test]
async fn a_malformed_message_gets_an_error_that_names_it_and_no_disconnect() {
    let mut socket = somebody().socket("tablet").await;
    let fine = insert("food_entries", &food_entry(json!({})));
    for message in [
        json!({"type": "dance"}),
        json!({"no": "type"}),
        json!([1, 2]),
        json!("ping"),
        json!(null),
        json!({"type": 7}),
        json!({"type": "broadcast"}),
        json!({"type": "subscribe", "tables": "foods"}),
        json!({"type": "data_updated"}),
        json!({"type": "data_updated", "operation": "DELETE", "data": {"id": "x"}}),
        json!({"type": "data_updated", "table": "foods", "data": {"id": "x"}}),
        json!({"type": "data_updated", "table": "foods", "operation": "DELETE"}),
        json!({"type": "data_updated", "table": 7, "operation": "DELETE", "data": {"id": "x"}}),
        json!({"type": "data_updated", "table": "foods", "operation": "DELETE", "data": ["x"]}),
    ] {
        socket.send(message.clone()).await;
        let error = socket.next("error").await;
        assert!(error["code"].is_string() && error["detail"].is_string(), "{message}: {error}");
        // Else ten of them in a row would close it.
        socket.fence().await;
    }
    socket.send(fine.message()).await;
    assert_eq!(socket.next("change_result").await["status"], "applied");
}

#[tokio::test]
async fn a_change_that_can_not_be_read_is_answered_under_its_mutation_id() {
    let mut socket = somebody().socket("tablet").await;
    for wrong in [
        insert("passwords", &food_entry(json!({}))),
        insert("food_entries", &json!([])),
        delete("food_entries", &json!(7)),
        insert("food_entries", &food_entry(json!({}))).with("operation", "EXPLODE"),
    ] {
        let message = wrong.message();
        socket.send_raw(Message::text(message.to_string())).await;
        // Either is an answer: a result that is rejected, or an error.
        socket.fence().await;
        let mut answers = socket.received("change_result");
        answers.extend(socket.received("error"));
        assert_eq!(answers.len(), 1, "{message}: {answers:?}");
        assert!(answers[0].to_string().contains(wrong.id().as_str().expect("an id")), "{message}: {}", answers[0]);
    }
}
