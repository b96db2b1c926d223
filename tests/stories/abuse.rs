//! Bad input of every kind gets its error, and the daemon goes on.

use hyper::Method;
use ryzed_tests::rows::{food, food_entry, row};
use ryzed_tests::{Account, Change, insert, update};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{Bytes, Message};

use crate::somebody;

const SQL: [&str; 5] = [
    "'); DROP TABLE food_entries; --",
    "' OR '1'='1",
    "\"; DELETE FROM users; --",
    "x' UNION SELECT secret FROM sync_meta --",
    "$1; COMMIT; --",
];

const JSON: (&str, &str) = ("content-type", "application/json");

/// Still there, with the same process and its data.
async fn goes_on(me: &Account) {
    let entry = food_entry(json!({}));
    me.store("food_entries", &entry).await;
    assert!(me.row("food_entries", &entry["id"]).await.is_some());
}

fn deep(depth: usize) -> String {
    format!("{}{}", "[".repeat(depth), "]".repeat(depth))
}

#[tokio::test]
async fn a_body_that_is_not_json_is_refused() {
    let me = somebody();
    let bodies: [&[u8]; 9] = [
        b"",
        b"{",
        b"not json",
        b"{'a': 1}",
        b"\xff\xfe\x00",
        b"{\"device_id\": NaN}",
        b"{} {}",
        b"<xml/>",
        b"\x1f\x8b\x08",
    ];
    for body in bodies {
        let answer = me.api.raw(Method::POST, "/sync", &[JSON], Bytes::copy_from_slice(body)).await.expect("an answer");
        answer.problem(&[400, 422]);
    }
    goes_on(&me).await;
}

#[tokio::test]
async fn a_body_of_wrong_types_is_refused() {
    let me = somebody();
    for body in [
        json!([]),
        json!("text"),
        json!(null),
        json!({}),
        json!({"device_id": 7}),
        json!({"device_id": ""}),
        json!({"device_id": "a b"}),
        json!({"device_id": "x".repeat(65)}),
        json!({"device_id": "phone", "tables": "foods"}),
        json!({"device_id": "phone", "tables": [7]}),
        json!({"device_id": "phone", "changes": {}}),
        json!({"device_id": "phone", "limit": "many"}),
        json!({"device_id": "phone", "force_full_sync": "yes"}),
        json!({"device_id": "phone", "last_sync_timestamp": "yesterday"}),
        json!({"device_id": "phone", "last_sync_timestamp": 1_700_000_000}),
        json!({"device_id": "phone", "pending_uploads": -1}),
        json!({"device_id": "phone", "atomic": 1}),
    ] {
        let problem = me.api.post("/sync", &body).await.problem(&[400, 422]);
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.len() > 5), "{problem}");
    }
    goes_on(&me).await;
}

#[tokio::test]
async fn ten_thousand_levels_of_json_are_refused() {
    let me = somebody();
    for body in [deep(10_000), format!(r#"{{"device_id":"phone","changes":[{}]}}"#, deep(10_000))] {
        me.api.raw(Method::POST, "/sync", &[JSON], body).await.expect("an answer").problem(&[400, 422]);
    }
    let mut socket = me.socket("tablet").await;
    for text in [deep(10_000), format!(r#"{{"type":"broadcast","event":"x","payload":{}}}"#, deep(10_000))] {
        socket.send_raw(Message::text(text)).await;
        socket.next("error").await;
    }
    socket.fence().await;
    goes_on(&me).await;
}

#[tokio::test]
async fn a_hundred_levels_in_a_json_column_are_data() {
    let me = somebody();
    let nested: Value = serde_json::from_str(&deep(100)).expect("JSON");
    let recipe = row("recipes", json!({"ingredients": [nested]}));
    me.store("recipes", &recipe).await;
    assert_eq!(me.row("recipes", &recipe["id"]).await.expect("a row")["ingredients"], recipe["ingredients"]);
}

#[tokio::test]
async fn sql_in_a_text_is_text() {
    let me = somebody();
    for sql in SQL {
        let food = food(json!({"name_en": sql, "name_fr": sql, "category": sql}));
        let version = me.store("foods", &food).await;
        let recipe = row("recipes", json!({"tags": [sql], "ingredients": [{ sql: sql }], "steps_en": [sql]}));
        me.store("recipes", &recipe).await;
        me.apply(update("foods", &food["id"], json!({"name_en": format!("{sql}{sql}")})).base(&version)).await;
        let stored = me.row("foods", &food["id"]).await.expect("a row");
        assert_eq!((&stored["name_en"], &stored["category"]), (&json!(format!("{sql}{sql}")), &json!(sql)));
        assert_eq!(me.row("recipes", &recipe["id"]).await.expect("a row")["ingredients"], json!([{ sql: sql }]));
    }
    goes_on(&me).await;
}

#[tokio::test]
async fn sql_where_a_name_belongs_is_refused() {
    let me = somebody();
    for sql in SQL {
        me.api.post("/sync", &json!({"device_id": sql})).await.problem(&[400, 422]);
        me.api.post("/sync", &json!({"device_id": "phone", "tables": [sql]})).await.problem(&[422]);
        let cursor = json!({"device_id": "phone", "cursor": {"epoch": sql, "user": 1}});
        assert_eq!(me.api.post("/sync", &cursor).await.json().get("reset").cloned().unwrap_or(json!(true)), true);
        me.refusal(Change::new("INSERT", sql, food_entry(json!({})))).await;
        me.refusal(insert("food_entries", &food_entry(json!({"id": sql})))).await;
        me.refusal(insert("food_entries", &food_entry(json!({ sql: 1 })))).await;
        me.refusal(insert("food_entries", &food_entry(json!({"user_id": sql})))).await;
        me.refusal(insert("food_entries", &food_entry(json!({"food_id": sql})))).await;
    }
    // As a device's type, release and name, SQL is as good a text as any.
    let body = json!({"device_id": "phone", "device_type": SQL[0], "app_version": SQL[1], "device_name": SQL[2]});
    assert!(me.api.post("/sync", &body).await.status < 500);
    goes_on(&me).await;
}

#[tokio::test]
async fn strange_queries_get_an_answer() {
    let me = somebody();
    for query in [
        "limit=0",
        "limit=-1",
        "limit=999999999999999999999",
        "limit=x",
        "tables=",
        "tables=,,,",
        "tables=%00",
        "tables=%ff",
        "cursor=%F0%9F%92%A9",
        "cursor=a,user:9223372036854775807",
        "cursor=a,user:9223372036854775808",
        "cursor=&cursor=",
        "x=%27%3B--",
        "%",
    ] {
        let answer = me.api.get(&format!("/changes?{query}")).await;
        assert!(answer.status < 500, "{query}: {} {}", answer.status, answer.text());
    }
    for path in ["/devices/%00", "/devices/..%2F..", "/conflicts/x/resolve", "/tables/%ff/schema", "/ws/tablet"] {
        let answer = me.api.get(path).await;
        assert!((400..500).contains(&answer.status), "{path}: {}", answer.status);
    }
    goes_on(&me).await;
}

#[tokio::test]
async fn huge_and_strange_numbers_are_refused_or_kept() {
    let me = somebody();
    for quantity in ["1e400", "-1e400", "1e308", "99999999999999999999999999", "-0.0", "0.1e-400"] {
        let body = format!(
            r#"{{"device_id":"phone","tables":["users"],"changes":[{{"table":"food_entries","operation":"INSERT",
            "data":{{"id":"{}","consumed_at":"2026-01-05T12:00:00Z","quantity":{quantity}}}}}]}}"#,
            uuid::Uuid::new_v4()
        );
        let answer = me.api.raw(Method::POST, "/sync", &[JSON], body).await.expect("an answer");
        let refused = answer.status == 400 || answer.status == 422;
        assert!(refused || answer.ok()["results"][0]["status"] == "rejected", "{quantity}: {}", answer.text());
    }
    goes_on(&me).await;
}

#[tokio::test]
async fn the_same_key_twice_is_no_way_round_a_check() {
    let me = somebody();
    let id = uuid::Uuid::new_v4();
    let other = somebody();
    let body = format!(
        r#"{{"device_id":"phone","tables":["users"],"changes":[{{"table":"food_entries","operation":"INSERT",
        "data":{{"id":"{id}","consumed_at":"2026-01-05T12:00:00Z","quantity":5,"user_id":"{}","user_id":"{}"}}}}]}}"#,
        me.person.id, other.person.id
    );
    let answer = me.api.raw(Method::POST, "/sync", &[JSON], body).await.expect("an answer");
    let text = answer.text();
    assert!(
        answer.status == 400 || answer.status == 422 || answer.ok()["results"][0]["status"] == "rejected",
        "{text}"
    );
    assert!(other.rows("food_entries").await.is_empty());
}

#[tokio::test]
async fn binary_frames_and_broken_text_leave_the_daemon_standing() {
    let me = somebody();
    let mut socket = me.socket("tablet").await;
    for bytes in [&b""[..], b"\x00", b"{\"type\":\"ping\"}", &[0xff; 1000]] {
        socket.send_raw(Message::Binary(Bytes::copy_from_slice(bytes))).await;
        socket.next("error").await;
    }
    for text in ["", " ", "\u{0}", "{", "[]", "{\"type\":\"ping\"", "ping"] {
        let mut socket = me.socket("other").await;
        socket.send_raw(Message::text(text)).await;
        socket.next("error").await;
        socket.fence().await;
    }
    goes_on(&me).await;
}

#[tokio::test]
async fn zero_bytes_anywhere_are_refused() {
    let me = somebody();
    me.api.post("/sync", &json!({"device_id": "a\u{0}b"})).await.problem(&[400, 422]);
    me.api.post("/sync", &json!({"device_id": "phone", "tables": ["foods\u{0}"]})).await.problem(&[422]);
    me.refusal(insert("foods", &food(json!({"name_en": "a\u{0}b"})))).await;
    let mut socket = me.socket("tablet").await;
    socket.send(insert("foods", &food(json!({"name_en": "a\u{0}b"}))).message()).await;
    assert_eq!(socket.next("change_result").await["status"], "rejected");
    goes_on(&me).await;
}

#[tokio::test]
async fn a_foreign_user_id_in_every_table_is_forbidden() {
    let (me, other) = (somebody(), somebody());
    other.push([]).await;
    for table in [
        "foods",
        "recipes",
        "food_entries",
        "exercises",
        "workout_sessions",
        "workout_templates",
        "hiit_workouts",
        "hiit_sessions",
        "cardio_activities",
        "cardio_sessions",
    ] {
        let row = row(table, json!({"user_id": other.user()}));
        assert_eq!(me.refusal(insert(table, &row)).await, "forbidden", "{table}");
    }
}

#[tokio::test]
async fn raw_rubbish_on_the_port_harms_nobody() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let me = somebody();
    for rubbish in
        [&b"\x16\x03\x01\x02\x00"[..], b"GET\r\n\r\n", b"\r\n\r\n\r\n", &[0; 4096], b"GET / HTTP/9.9\r\n\r\n"]
    {
        let mut stream = tokio::net::TcpStream::connect(crate::shared().address()).await.expect("a connection");
        stream.write_all(rubbish).await.expect("it can be written");
        stream.shutdown().await.expect("the end of it");
        let mut answer = Vec::new();
        // An answer or none: what counts is that the connection ends and the daemon does not.
        let _ = tokio::time::timeout(std::time::Duration::from_secs(15), stream.read_to_end(&mut answer))
            .await
            .expect("an end");
    }
    goes_on(&me).await;
}

#[tokio::test]
async fn a_zero_byte_in_any_text_gets_an_answer() {
    const NUL: &str = "a\0b";
    let me = somebody();
    let entry = food_entry(json!({}));
    me.store("food_entries", &entry).await;
    for (field, value) in [
        ("device_id", json!(NUL)),
        ("device_type", json!(NUL)),
        ("app_version", json!(NUL)),
        ("device_name", json!(NUL)),
        ("tables", json!([NUL])),
        ("cursor", json!({"epoch": NUL, "user": 1})),
        ("last_sync_timestamp", json!(NUL)),
        ("conflict_strategy", json!(NUL)),
        (NUL, json!(NUL)),
    ] {
        let mut body = json!({"device_id": "phone"});
        body[field] = value;
        let answer = me.api.post("/sync", &body).await;
        assert!(answer.status < 500, "{field:?}: {} {}", answer.status, answer.text());
    }
    for field in ["mutation_id", "table", "operation", "base_version", "conflict_strategy", NUL] {
        me.push([update("food_entries", &entry["id"], json!({"unit": "ml"})).with(field, json!(NUL))]).await;
    }
    let whole = row("recipes", json!({}));
    for (table, row) in [("food_entries", &entry), ("recipes", &whole)] {
        for field in row.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).chain(["user_id", NUL]) {
            for value in [json!(NUL), json!([NUL]), json!({ NUL: 1 })] {
                let mut bad = row.clone();
                bad[field] = value;
                assert_eq!(me.change(insert(table, &bad)).await["status"], "rejected", "{field:?}");
            }
        }
    }
    me.api.patch("/devices/phone", &json!({"name": NUL})).await.problem(&[422]);
    me.api.post("/trigger-sync", &json!({"device_id": NUL})).await.problem(&[422]);
    me.api.get("/sync-status?device_id=a%00b").await.problem(&[422]);
    assert_eq!(me.api.get("/changes?cursor=a%00b,user:1").await.ok()["reset"], true);
    let mut socket = me.connect("tablet").query("cursor", "a%00b,user:1").established().await;
    socket.next("sync_required").await;
    let mut other = me.socket("other").await;
    socket.send(json!({"type": "broadcast", "event": NUL, "payload": {NUL: NUL}})).await;
    assert_eq!(other.next("broadcast").await["event"], NUL);
    goes_on(&me).await;
}

#[tokio::test]
async fn a_time_that_not_every_calendar_has_is_refused() {
    let me = somebody();
    for time in ["0000-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-23:59"] {
        let session = row("workout_sessions", json!({"start_time": time}));
        assert_eq!(me.refusal(insert("workout_sessions", &session)).await, "out_of_range", "{time}");
        let created = row("workout_sessions", json!({"created_at": time}));
        assert_eq!(me.refusal(insert("workout_sessions", &created)).await, "out_of_range", "{time}");
        let body = json!({"device_id": "phone", "last_sync_timestamp": time});
        let problem = me.api.post("/sync", &body).await.problem(&[422]);
        assert_eq!(problem["errors"][0]["field"], "last_sync_timestamp", "{problem}");
        let query = format!("/changes?last_sync_timestamp={}", time.replace('+', "%2B"));
        me.api.get(&query).await.problem(&[422]);
    }
    me.store("workout_sessions", &row("workout_sessions", json!({"start_time": "0001-01-01T00:00:00Z"}))).await;
    for time in ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"] {
        me.sync(json!({"last_sync_timestamp": time})).await;
    }
    goes_on(&me).await;
}
