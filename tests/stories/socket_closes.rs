//! Opening sockets, and every code with which they are closed.

use std::time::Duration;

use ryzed_tests::{Daemon, Person, Token, TokenIn};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{Bytes, Message};

use crate::{shared, somebody};

#[tokio::test]
async fn a_token_may_come_in_four_ways() {
    let me = somebody();
    for place in [TokenIn::Header, TokenIn::Query, TokenIn::Subprotocol, TokenIn::Message] {
        let mut socket = me.connect("tablet").token_in(place).established().await;
        assert_eq!(socket.hello["user_id"], me.user(), "{place:?}");
        socket.fence().await;
    }
}

#[tokio::test]
async fn the_first_message_says_where_one_is() {
    let me = somebody();
    let newest = me.cursor().await;
    let socket = me.socket("tablet").await;
    let hello = &socket.hello;
    assert_eq!((&hello["user_id"], &hello["device_id"]), (&me.user(), &json!("tablet")));
    assert_eq!(hello["heartbeat_seconds"], 30);
    assert!(hello["server_version"].is_string(), "{hello}");
    assert_eq!((&hello["cursor"]["epoch"], &hello["cursor"]["user"]), (&newest["epoch"], &newest["user"]));
}

#[tokio::test]
async fn a_given_cursor_is_where_the_stream_starts() {
    let me = somebody();
    let cursor = me.cursor().await;
    me.store("food_entries", &ryzed_tests::rows::food_entry(json!({}))).await;
    let socket = me.connect("tablet").from_cursor(&cursor).established().await;
    assert_eq!(socket.hello["cursor"]["user"], cursor["user"]);
}

#[tokio::test]
async fn bad_tokens_close_with_4401_and_not_a_word() {
    let me = somebody();
    let good = || Token::of(&me.person);
    let bad = [
        "rubbish".to_owned(),
        good().key("somebody else's secret, which is long enough").sign(),
        good().expires_in(-60).sign(),
        good().forged("role", "admin"),
        good().unsigned(),
        good().claim("sub", "bob").sign(),
        good().claim("exp", Value::Null).sign(),
    ];
    for token in bad {
        for place in [TokenIn::Header, TokenIn::Query, TokenIn::Subprotocol, TokenIn::Message] {
            assert_eq!(me.connect("tablet").token(&token).token_in(place).refused().await, 4401, "{place:?}");
        }
    }
}

#[tokio::test]
async fn a_first_message_that_is_no_token_closes_with_4401() {
    let me = somebody();
    for first in [json!({"type": "ping"}), json!({"type": "auth"}), json!({"type": "auth", "token": 7}), json!([])] {
        let mut socket = me.connect("tablet").token_in(TokenIn::Nowhere).open().await;
        socket.send(first).await;
        assert_eq!(socket.expect_close().await.0, 4401);
    }
}

#[tokio::test]
async fn no_token_in_time_closes_with_4401() {
    let daemon = Daemon::builder().env("RYZED_LIMITS__AUTH_SECONDS", 1).start();
    assert_eq!(daemon.account().connect("tablet").token_in(TokenIn::Nowhere).refused().await, 4401);
}

#[tokio::test]
async fn a_living_socket_ends_with_its_token() {
    let me = somebody();
    // It ended 28 s ago, so within the leeway there are 2 s left.
    let token = me.token().expires_in(-28).sign();
    let mut socket = me.connect("tablet").token(token).established().await;
    assert_eq!(socket.expect_close().await.0, 4401);
}

#[tokio::test]
async fn bad_device_ids_close_with_4400() {
    let me = somebody();
    for id in ["", "a%20b", "%C3%A9", "%27--", "a%00b", &"x".repeat(65)] {
        assert_eq!(me.connect(id).refused().await, 4400, "{id}");
    }
    me.connect(&"x".repeat(64)).established().await;
    me.connect("A.b_c-9").established().await;
}

#[tokio::test]
async fn ten_bad_messages_in_a_row_close_with_4400() {
    let mut socket = somebody().socket("tablet").await;
    for _ in 0..9 {
        socket.send_raw(Message::text("not json")).await;
        socket.next("error").await;
    }
    socket.send_raw(Message::text("not json")).await;
    assert_eq!(socket.expect_close().await.0, 4400);
}

#[tokio::test]
async fn ten_changes_that_are_none_close_with_4400() {
    let mut socket = somebody().socket("tablet").await;
    for _ in 0..9 {
        socket.send(json!({"type": "data_updated", "mutation_id": "m", "table": "foods"})).await;
        assert_eq!(socket.next("error").await["mutation_id"], "m");
    }
    socket.send(json!({"type": "data_updated"})).await;
    assert_eq!(socket.expect_close().await.0, 4400);
}

#[tokio::test]
async fn a_good_message_makes_up_for_bad_ones() {
    let mut socket = somebody().socket("tablet").await;
    for _ in 0..3 {
        for _ in 0..9 {
            socket.send_raw(Message::text("not json")).await;
            socket.next("error").await;
        }
        socket.fence().await;
    }
}

#[tokio::test]
async fn a_newer_socket_of_the_same_device_replaces_the_older_with_4409() {
    let me = somebody();
    let mut older = me.socket("tablet").await;
    let mut newer = me.socket("tablet").await;
    assert_eq!(older.expect_close().await.0, 4409);
    newer.fence().await;
}

#[tokio::test]
async fn the_same_device_id_of_another_person_is_another_device() {
    let (mut mine, mut theirs) = (somebody().socket("tablet").await, somebody().socket("tablet").await);
    mine.fence().await;
    theirs.fence().await;
}

#[tokio::test]
async fn silence_for_two_heartbeats_closes_with_4408() {
    let daemon = Daemon::builder().env("RYZED_SYNC__HEARTBEAT_SECONDS", 1).start();
    let me = daemon.account();
    let mut silent = me.socket("silent").await;
    assert_eq!(silent.hello["heartbeat_seconds"], 1);
    let mut lively = me.socket("lively").await;
    // Nothing is read from the silent one meanwhile, or its answers to protocol pings would count as life.
    let mut gone = None;
    for _ in 0..16 {
        lively.fence().await;
        tokio::time::sleep(Duration::from_millis(250)).await;
        gone = lively.received("presence").into_iter().find(|p| p["device_id"] == "silent" && p["is_online"] == false);
        if gone.is_some() {
            break;
        }
    }
    assert!(gone.is_some(), "the silent one is still there after four heartbeats");
    assert_eq!(silent.expect_close().await.0, 4408);
    lively.fence().await;
}

#[tokio::test]
async fn too_many_messages_close_with_4429() {
    let mut socket = somebody().socket("tablet").await;
    for _ in 0..3000 {
        if socket.try_send(Message::text(r#"{"type":"ping"}"#)).await.is_err() {
            break;
        }
    }
    assert_eq!(socket.expect_close().await.0, 4429);
}

#[tokio::test]
async fn a_message_over_a_megabyte_closes_with_1009() {
    let mut socket = somebody().socket("tablet").await;
    let sent = socket.try_send(Message::text("x".repeat((1 << 20) + 1))).await;
    assert!(sent.is_ok(), "the close must be readable after the message: {sent:?}");
    assert_eq!(socket.expect_close().await.0, 1009);
}

#[tokio::test]
async fn a_message_of_just_a_megabyte_is_read() {
    let mut socket = somebody().socket("tablet").await;
    let head = r#"{"type":"ping","padding":""#;
    let message = format!("{head}{}\"}}", "x".repeat((1 << 20) - head.len() - 2));
    assert_eq!(message.len(), 1 << 20);
    socket.send_raw(Message::text(message)).await;
    socket.next("pong").await;
}

#[tokio::test]
async fn a_binary_message_gets_an_error_and_no_disconnect() {
    let mut socket = somebody().socket("tablet").await;
    socket.send_raw(Message::Binary(Bytes::from_static(b"\x00\xff\xfe{}"))).await;
    let error = socket.next("error").await;
    assert!(error["code"].is_string() && error["detail"].is_string(), "{error}");
    socket.fence().await;
}

#[tokio::test]
async fn a_stop_closes_with_1012_and_says_when_to_come_back() {
    let mut daemon = Daemon::start();
    let me = daemon.account();
    let (mut phone, mut tablet) = (me.socket("phone").await, me.socket("tablet").await);
    daemon.terminate();
    for socket in [&mut phone, &mut tablet] {
        let (code, reason) = socket.expect_close_within(Duration::from_secs(10)).await;
        assert_eq!(code, 1012);
        assert!(reason.chars().any(|c| c.is_ascii_digit()), "no delay in {reason:?}");
    }
    assert_eq!(daemon.exit_code().await, 0);
}

#[tokio::test]
async fn an_admins_token_opens_an_ordinary_socket() {
    let keeper = shared().account_of(Person::admin());
    keeper.socket("desk").await.fence().await;
}
