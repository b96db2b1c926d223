//! Unknown words of a client, most of them misspelt: the answer names them. Malformed requests get an answer in the
//! daemon's words, not a parser's.

use ryzed_tests::rows::food;
use ryzed_tests::{TokenIn, insert, update};
use serde_json::{Value, json};

use crate::somebody;

/// The header of an answer that names them.
const HEADER: &str = "ryzed-ignored";

#[tokio::test]
async fn a_misspelt_key_of_a_request_is_named_by_its_answer() {
    let me = somebody();
    let food = food(json!({}));
    me.store("foods", &food).await;
    let mut change = update("foods", &food["id"], json!({"calories": 3})).json();
    change["base_verison"] = json!(7);
    let body = json!({"device_id": "phone", "chnges": [], "changes": [change]});
    let answer = me.api.post("/sync", &body).await;
    assert_eq!(answer.header(HEADER), "chnges, changes.base_verison");
    answer.done();

    let answer = me.api.get("/changes?table=foods&limit=10").await;
    assert_eq!((answer.header(HEADER), answer.status), ("table", 200));
    let answer = me.api.get("/devices?device=phone").await;
    assert_eq!((answer.header(HEADER), answer.status), ("device", 200));
    let answer = me.api.get("/changes?limit=ten&tabels=foods").await;
    assert_eq!((answer.header(HEADER), answer.status), ("tabels", 422), "refusals name it, too");
    for path in [
        "/changes?tables=foods&limit=10&cursor=",
        "/digest?tables=foods",
        "/sync-status?device_id=phone",
        "/conflicts?limit=3",
    ] {
        let answer = me.api.get(path).await;
        assert_eq!((answer.header(HEADER), answer.status), ("", 200), "{path}");
    }
    let answer = me.api.post("/sync", &json!({"device_id": "phone", "tables": ["foods"], "digest": true})).await;
    assert_eq!(answer.header(HEADER), "");
}

#[tokio::test]
async fn what_is_named_is_short_and_no_header_is_smuggled_in() {
    let me = somebody();
    let mut body = json!({"device_id": "phone"});
    for number in 0..200 {
        body[format!("{number}\r\nset-cookie: é{}", "x".repeat(1000))] = json!(1);
    }
    let answer = me.api.post("/sync", &body).await;
    assert_eq!(answer.header("set-cookie"), "");
    let named = answer.header(HEADER);
    assert!((100..500).contains(&named.len()), "{named}");
    assert!(named.split(", ").count() == 10 && named.contains("0??set-cookie??"), "{named}");
    answer.done();
}

#[tokio::test]
async fn a_socket_names_misspelt_keys_in_its_answers() {
    let me = somebody();
    let mut phone = me.socket("phone").await;
    phone.send(json!({"type": "sync", "request_id": "r", "limits": 10, "changes": []})).await;
    assert_eq!(phone.next("sync_response").await["ignored"], json!(["limits"]));
    let mut message = insert("foods", &food(json!({}))).message();
    message["base_verison"] = json!(3);
    phone.send(message.clone()).await;
    let result = phone.next("change_result").await;
    assert_eq!((&result["status"], &result["ignored"]), (&json!("applied"), &json!(["base_verison"])));
    phone.send(json!({"type": "sync", "request_id": "r", "limit": 10})).await;
    assert_eq!(phone.next("sync_response").await.get("ignored"), None);
}

#[tokio::test]
async fn a_socket_names_misspelt_keys_of_every_message() {
    let me = somebody();
    let mut phone = me.socket("phone").await;
    let token = me.token().sign();
    phone.send(json!({"type": "ping", "pending_uplods": 3})).await;
    assert_eq!(phone.next("pong").await["ignored"], json!(["pending_uplods"]));
    phone.send(json!({"type": "ping", "pending_uploads": 3})).await;
    assert_eq!(phone.next("pong").await.get("ignored"), None);
    for message in [
        json!({"type": "subscribe", "tables": ["foods"]}),
        json!({"type": "unsubscribe", "tables": ["foods"]}),
        json!({"type": "trigger_sync"}),
        json!({"type": "broadcast", "event": "e", "payload": {"any": 1}}),
        json!({"type": "auth", "token": token}),
    ] {
        let mut misspelt = message.clone();
        misspelt["tabels"] = json!(1);
        phone.send(misspelt).await;
        let told = phone.next("ignored").await;
        assert_eq!((&told["answers"], &told["ignored"]), (&message["type"], &json!(["tabels"])));
        phone.send(message).await;
        phone.fence().await;
        assert_eq!(phone.received("ignored"), Vec::<Value>::new());
    }
    // The address, and a token that comes as the first message.
    let mut tablet = me.connect("tablet").query("tabels", "foods").token_in(TokenIn::Nowhere).open().await;
    tablet.send(json!({"type": "auth", "token": token, "devise": 1})).await;
    assert_eq!(tablet.next("connection_established").await["ignored"], json!(["tabels", "devise"]));
}

#[tokio::test]
async fn no_message_of_a_socket_is_answered_in_a_parsers_words() {
    let me = somebody();
    let mut phone = me.socket("phone").await;
    for (message, words) in [
        (json!({"type": "ping", "pending_uploads": "many"}), "pending_uploads: must be a whole number of 0 or more"),
        (json!({"type": "subscribe"}), "tables: must be given"),
        (json!({"type": "sync", "cursor": {"epoch": "e", "user": "x"}}), "cursor.user: must be a whole number"),
        (json!({"type": "sync", "tables": "foods"}), "tables: must be a list"),
        (json!({"type": "sync", "last_sync_timestamp": "yesterday"}), "last_sync_timestamp: must be a time such as"),
        (json!({"type": 7}), "type: must be a text"),
    ] {
        phone.send(message.clone()).await;
        let error = phone.next("error").await;
        let detail = error["detail"].as_str().unwrap_or_default();
        assert!(detail.starts_with(words) && error["code"] == "malformed", "{message}: {error}");
        for word in ["usize", "u32", "i64", "found", "expected", "column", "invalid type"] {
            assert!(!detail.contains(word), "{message}: {detail}");
        }
    }
    phone.send(Value::from("no object")).await;
    assert!(phone.next("error").await["detail"].as_str().is_some_and(|detail| detail.contains("a JSON object")));
}
