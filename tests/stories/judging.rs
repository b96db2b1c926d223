//! Uploads are judged while they are read: their cost, and the answer, are in line with their size.

use hyper::Method;
use ryzed_tests::hostile::{gzipped, list, peak};
use ryzed_tests::rows::{food_entry, row};
use ryzed_tests::{Account, Answer, Change, Daemon, insert, update};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use uuid::Uuid;

use crate::somebody;

/// The memory that a body within its bound may cost while it is worked on, in KiB: a few times the body, and noise.
const COST: u64 = 120 << 10;
/// The longest answer to who sent nothing that could be answered at length, in bytes.
const ANSWER: usize = 16 << 10;
/// The longest answer to a thousand changes of which each is wrong, in bytes.
const ANSWERS: usize = 768 << 10;
/// A little less than a body may hold.
const BODY: usize = (8 << 20) - 1000;
const GZIP: [(&str, &str); 2] = [("content-type", "application/json"), ("content-encoding", "gzip")];

/// Sends what is small on the wire and large when it was unpacked.
async fn packed(me: &Account, body: &str) -> Answer {
    me.api.raw(Method::POST, "/sync", &GZIP, gzipped(body.as_bytes())).await.expect("an answer")
}

fn sync(members: &str) -> String {
    format!(r#"{{"device_id":"phone",{members}}}"#)
}

/// A change whose row says this.
fn change(data: &str) -> String {
    let id = Uuid::new_v4();
    format!(
        r#"{{"mutation_id":"{}","table":"food_entries","operation":"INSERT","data":{{"id":"{id}",{data}}}}}"#,
        Uuid::new_v4()
    )
}

/// The value of a member as deep as this.
fn deep(depth: usize) -> String {
    format!("{}{}", "[".repeat(depth), "]".repeat(depth))
}

#[tokio::test]
async fn two_million_names_of_tables_are_refused_for_what_eight_kilobytes_cost() {
    let daemon = Daemon::start();
    let me = daemon.account();
    me.push([]).await;
    let body = sync(&format!(r#""tables":{}"#, list(r#""a""#, BODY)));
    let (answers, cost) =
        peak(&daemon, async { tokio::join!(packed(&me, &body), packed(&me, &body), packed(&me, &body)) }).await;
    for answer in [answers.0, answers.1, answers.2] {
        answer.problem(&[413, 422]);
        assert!(answer.body.len() < ANSWER, "an answer of {} bytes", answer.body.len());
    }
    assert!(cost < 3 * COST, "{cost} KiB");
}

#[tokio::test]
async fn the_smallest_objects_are_counted_before_they_are_kept() {
    let daemon = Daemon::start();
    let me = daemon.account();
    me.push([]).await;
    for smallest in ["{}", "0", r#"{"":0}"#] {
        let body = sync(&format!(r#""changes":{}"#, list(smallest, BODY)));
        let (answer, cost) = peak(&daemon, packed(&me, &body)).await;
        let problem = answer.problem(&[413]);
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("limits.")), "{problem}");
        assert!(cost < COST, "{smallest}: {cost} KiB");
    }
}

#[tokio::test]
async fn values_that_take_much_more_memory_than_text_are_refused_by_what_they_would_take() {
    let daemon = Daemon::start();
    let me = daemon.account();
    me.push([]).await;
    for smallest in [r#"{"":0}"#, r#"{"a":{"a":{"a":[]}}}"#] {
        let body =
            sync(&format!(r#""changes":[{}]"#, change(&format!(r#""quantity":{}"#, list(smallest, BODY - 1000)))));
        let (answer, cost) = peak(&daemon, packed(&me, &body)).await;
        let problem = answer.problem(&[413]);
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("limits.parsed_bytes")), "{problem}");
        assert!(cost < COST, "{smallest}: {cost} KiB");
    }
}

#[tokio::test]
async fn seven_hundred_thousand_unknown_fields_get_a_short_answer_and_leave_a_short_receipt() {
    let daemon = Daemon::start();
    let me = daemon.account();
    me.push([]).await;
    let fields: Vec<String> = (0..700_000).map(|n| format!(r#""{n:x}":0"#)).collect();
    let body = sync(&format!(r#""tables":["users"],"changes":[{}]"#, change(&fields.join(","))));
    let (answer, cost) = peak(&daemon, packed(&me, &body)).await;
    if answer.status == 200 {
        assert_eq!(answer.ok()["results"][0]["status"], "rejected");
    } else {
        answer.problem(&[413]);
    }
    assert!(answer.body.len() < ANSWER, "an answer of {} bytes", answer.body.len());
    assert!(cost < COST, "{cost} KiB");
    let again = packed(&me, &body).await;
    assert!(again.body.len() < ANSWER, "an answer of {} bytes to the same again", again.body.len());
}

#[tokio::test]
async fn a_thousand_changes_full_of_errors_get_a_bounded_answer() {
    let daemon = Daemon::start();
    let me = daemon.account();
    me.push([]).await;
    let fields: Vec<String> = (0..900).map(|n| format!(r#""{n:x}":0"#)).collect();
    let wrong = fields.join(",");
    let changes: Vec<String> = (0..1000).map(|_| change(&wrong)).collect();
    let body = sync(&format!(r#""tables":["users"],"changes":[{}]"#, changes.join(",")));
    let (answer, cost) = peak(&daemon, packed(&me, &body)).await;
    assert!(answer.body.len() < ANSWERS, "an answer of {} bytes", answer.body.len());
    assert!(cost < 2 * COST, "{cost} KiB");
    // Each is still told what is wrong with it.
    let few: Vec<String> = (0..1000).map(|_| change(&fields[..200].join(","))).collect();
    let body = sync(&format!(r#""tables":["users"],"changes":[{}]"#, few.join(",")));
    let answer = packed(&me, &body).await;
    let results = answer.ok()["results"].as_array().cloned().expect("results");
    assert_eq!(results.len(), 1000);
    for result in &results {
        assert_eq!(result["status"], "rejected");
        assert!(result["errors"].as_array().is_some_and(|errors| !errors.is_empty()), "{result}");
    }
    assert!(answer.body.len() < ANSWERS, "an answer of {} bytes", answer.body.len());
    let told = results[0]["errors"].as_array().expect("errors").last().cloned().unwrap_or_default();
    assert!(told["message"].as_str().is_some_and(|text| text.contains("more")), "{told}");
    // A second time the answers come from the receipts.
    assert_eq!(packed(&me, &body).await.ok()["results"], json!(results));
}

#[tokio::test]
async fn no_answer_repeats_a_long_name() {
    const LONG: usize = 5 << 20;
    let daemon = Daemon::start();
    let me = daemon.account();
    me.push([]).await;
    let long = "n".repeat(LONG);
    let id = Uuid::new_v4();
    let users = r#""tables":["users"]"#;
    for body in [
        sync(&format!(r#"{users},"changes":[{}]"#, change(&format!(r#""{long}":0"#)))),
        sync(&format!(r#"{users},"changes":[{{"table":"{long}","operation":"INSERT","data":{{"id":"{id}"}}}}]"#)),
        sync(&format!(r#"{users},"changes":[{{"table":"foods","operation":"{long}","data":{{"id":"{id}"}}}}]"#)),
        sync(&format!(r#"{users},"changes":[{{"table":"foods","operation":"INSERT","data":{{"id":"{long}"}}}}]"#)),
        sync(&format!(
            r#"{users},"changes":[{{"table":"foods","operation":"INSERT","data":{{"id":"{id}"}},"conflict_strategy":"{long}"}}]"#
        )),
        sync(&format!(r#"{users},"changes":[{}]"#, change(&format!(r#""meal_type":"{long}""#)))),
        sync(&format!(r#""tables":["{long}"]"#)),
        sync(&format!(r#""conflict_strategy":"{long}""#)),
        sync(&format!(r#""device_type":"{long}""#)),
        sync(&format!(r#""app_version":"{long}""#)),
        sync(&format!(r#"{users},"cursor":{{"{long}":1}}"#)),
        sync(&format!(r#""cursor":{{"epoch":"{long}"}},"tables":["users"]"#)),
        format!(r#"{{"device_id":"{long}"}}"#),
        format!(r#"{{"{long}":"{long}"}}"#),
    ] {
        let (answer, cost) = peak(&daemon, packed(&me, &body)).await;
        assert!(answer.status < 500 && answer.body.len() < ANSWER, "{:.100}: {} bytes", body, answer.body.len());
        assert!(cost < COST, "{body:.100}: {cost} KiB");
    }
    for (method, path) in [
        (Method::PATCH, "/devices/phone".to_owned()),
        (Method::POST, "/trigger-sync".to_owned()),
        (Method::POST, format!("/conflicts/{id}/resolve")),
    ] {
        let body = format!(r#"{{"{long}":0}}"#);
        let answer = me.api.raw(method, &path, &GZIP[..1], body).await.expect("an answer");
        answer.problem(&[404, 422]);
        assert!(answer.body.len() < ANSWER, "{path}: {} bytes", answer.body.len());
    }
}

#[tokio::test]
async fn a_query_of_thousands_of_names_gets_a_short_answer() {
    let me = somebody();
    let names = vec!["a"; 4000].join(",");
    for path in ["/changes", "/digest"] {
        let answer = me.api.get(&format!("{path}?tables={names}")).await;
        answer.problem(&[413, 422]);
        assert!(answer.body.len() < ANSWER, "{path}: {} bytes", answer.body.len());
    }
    let long = "a".repeat(8000);
    for query in ["tables", "cursor", "limit", "digest", "last_sync_timestamp"] {
        let answer = me.api.get(&format!("/changes?{query}={long}&tables=users")).await;
        assert!(answer.body.len() < ANSWER, "{query}: {} bytes", answer.body.len());
    }
    let (code, reason) = me.connect("tablet").query("tables", names).open().await.expect_close().await;
    assert!(matches!(code, 4400 | 4429) && reason.len() < 130, "{code} {reason}");
}

#[tokio::test]
async fn a_value_too_deep_is_rejected_and_its_neighbours_stand() {
    let me = somebody();
    // What is as deep as it may be comes back, and its receipt can be read.
    let recipe = row("recipes", json!({"ingredients": [serde_json::from_str::<Value>(&deep(109)).expect("JSON")]}));
    let stored = insert("recipes", &recipe);
    me.apply(stored.clone()).await;
    assert_eq!(me.change(stored).await["status"], "applied", "the same again has its receipt");
    assert_eq!(me.row("recipes", &recipe["id"]).await.expect("a row")["ingredients"], recipe["ingredients"]);

    let good = insert("food_entries", &food_entry(json!({})));
    let too_deep: Vec<String> = [110, 115, 119]
        .iter()
        .map(|depth| {
            let row = row("recipes", json!({"ingredients": ["deep"]}));
            insert("recipes", &row).json().to_string().replace(r#""deep""#, &deep(*depth))
        })
        .collect();
    let body = sync(&format!(r#""tables":["users"],"changes":[{},{}]"#, too_deep.join(","), good.json()));
    for _ in 0..2 {
        let answer = packed(&me, &body).await.ok();
        let statuses: Vec<&str> = answer["results"]
            .as_array()
            .expect("results")
            .iter()
            .filter_map(|result| result["status"].as_str())
            .collect();
        assert_eq!(statuses, ["rejected", "rejected", "rejected", "applied"], "{answer}");
        assert_eq!(answer["results"][0]["errors"][0]["field"], "ingredients", "{answer}");
    }
}

#[tokio::test]
async fn a_row_names_a_field_once() {
    let me = somebody();
    let body = sync(&format!(
        r#""tables":["users"],"changes":[{},{}]"#,
        change(r#""consumed_at":"2026-01-05T12:00:00Z","quantity":5,"quantity":6"#),
        insert("food_entries", &food_entry(json!({}))).json(),
    ));
    let answer = packed(&me, &body).await.ok();
    assert_eq!(answer["results"][0]["status"], "rejected", "{answer}");
    assert_eq!(answer["results"][1]["status"], "applied", "{answer}");
}

/// The memory that a socket's messages may cost, in KiB: they are an eighth of a body.
const MESSAGE_COST: u64 = COST / 4;
const MESSAGE: usize = (1 << 20) - 1000;

#[tokio::test]
async fn messages_over_a_socket_are_judged_like_bodies() {
    let daemon = Daemon::start();
    let me = daemon.account();
    let mut other = me.socket("other").await;
    let mut socket = me.socket("tablet").await;
    let id = Uuid::new_v4();
    let long = "n".repeat(MESSAGE);
    let typed = |kind: &str, members: &str| format!(r#"{{"type":"{kind}",{members}}}"#);
    let unknown: Vec<String> = (0..90_000).map(|n| format!(r#""{n:x}":0"#)).collect();
    let upload = |data: &str| {
        typed(
            "data_updated",
            &format!(
                r#""table":"food_entries","operation":"INSERT","mutation_id":"{id}","data":{{"id":"{id}",{data}}}"#
            ),
        )
    };
    let messages = [
        typed("sync", &format!(r#""tables":{}"#, list(r#""a""#, MESSAGE))),
        typed("sync", &format!(r#""changes":{}"#, list("{}", MESSAGE))),
        typed("sync", &format!(r#""request_id":{}"#, list(r#"{"":0}"#, MESSAGE))),
        typed("sync", &format!(r#""request_id":"{long}""#)),
        typed("sync", &format!(r#""device_id":"{long}""#)),
        typed("sync", &format!(r#""tables":["users"],"{long}":0"#)),
        typed("subscribe", &format!(r#""tables":{}"#, list(r#""a""#, MESSAGE))),
        typed("subscribe", &format!(r#""tables":["{long}"]"#)),
        typed("broadcast", &format!(r#""event":"x","payload":{}"#, list(r#"{"":0}"#, MESSAGE))),
        typed("broadcast", &format!(r#""event":"x","payload":{}"#, deep(120))),
        typed("broadcast", &format!(r#""event":"{long}""#)),
        upload(&unknown.join(",")),
        upload(&format!(r#""quantity":{}"#, list(r#"{"":0}"#, MESSAGE - 1000))),
        upload(&format!(r#""{long}":0"#)),
        upload(&format!(r#""quantity":{}"#, deep(115))),
        format!(r#"{{"type":"data_updated","table":"foods","operation":"INSERT","data":{{}},"mutation_id":"{long}"}}"#),
        format!(r#"{{"type":"data_updated","table":"{long}","operation":"INSERT","data":{{"id":"{id}"}}}}"#),
        format!(r#"{{"type":"{long}"}}"#),
    ];
    for message in messages {
        let answers = async {
            socket.send_raw(Message::text(message.clone())).await;
            let mut answers = Vec::new();
            while answers.is_empty() {
                let answer = socket.event(std::time::Duration::from_secs(10)).await;
                let answer = answer.unwrap_or_else(|code| panic!("{message:.100}: closed with {code:?}"));
                let answer = answer.unwrap_or_else(|| panic!("{message:.100}: no answer"));
                if matches!(answer["type"].as_str(), Some("error" | "change_result" | "sync_response")) {
                    answers.push(answer);
                }
            }
            answers
        };
        let (answers, cost) = peak(&daemon, answers).await;
        for answer in answers {
            let length = answer.to_string().len();
            assert!(length < ANSWER, "{message:.100}: an answer of {length} bytes");
            assert_ne!(answer["status"], "applied", "{message:.100}");
        }
        assert!(cost < MESSAGE_COST, "{message:.100}: {cost} KiB");
        // A good one, so that bad ones in a row do not end it.
        socket.fence().await;
    }
    other.fence().await;
    assert!(other.received("broadcast").is_empty(), "what is refused is not passed on");
}

#[tokio::test]
async fn a_first_message_that_is_none_costs_what_it_is() {
    let daemon = Daemon::start();
    let me = daemon.account();
    for first in [
        format!(r#"{{"type":"auth","token":{}}}"#, list(r#"{"":0}"#, MESSAGE)),
        format!(r#"{{"type":"auth","token":"{}"}}"#, "n".repeat(MESSAGE)),
        format!(r#"{{"type":{}}}"#, list(r#"{"":0}"#, MESSAGE)),
    ] {
        let refused = async {
            let mut socket = me.connect("tablet").token_in(ryzed_tests::TokenIn::Nowhere).open().await;
            socket.send_raw(Message::text(first.clone())).await;
            socket.expect_close_within(std::time::Duration::from_secs(30)).await
        };
        let ((code, reason), cost) = peak(&daemon, refused).await;
        assert!(matches!(code, 1009 | 4401) && reason.len() < 130, "{code} {reason}");
        assert!(cost < MESSAGE_COST, "{first:.60}: {cost} KiB");
    }
}

#[tokio::test]
async fn a_conflict_is_settled_with_values_that_are_judged_as_uploads_are() {
    let me = somebody();
    let recipe = row("recipes", json!({}));
    let version = me.store("recipes", &recipe).await;
    me.apply(update("recipes", &recipe["id"], json!({"servings": 3})).base(&version)).await;
    let edit = update("recipes", &recipe["id"], json!({"servings": 4})).base(&version).strategy("manual");
    let met = me.push([edit]).await;
    let id = met["conflicts"][0]["conflict_id"].as_str().expect("an open conflict").to_owned();
    let resolve = async |data: &str| {
        let body = format!(r#"{{"resolution":"fields","data":{{{data}}}}}"#);
        me.api
            .raw(Method::POST, &format!("/conflicts/{id}/resolve"), &GZIP, gzipped(body.as_bytes()))
            .await
            .expect("an answer")
    };
    let unknown: Vec<String> = (0..200_000).map(|n| format!(r#""{n:x}":0"#)).collect();
    for data in [unknown.join(","), format!(r#""ingredients":[{}]"#, deep(110)), r#""servings":5,"servings":6"#.into()]
    {
        let answer = resolve(&data).await;
        answer.problem(&[413, 422]);
        assert!(answer.body.len() < ANSWER, "{data:.50}: {} bytes", answer.body.len());
    }
    resolve(r#""servings":5"#).await.done();
    assert_eq!(me.row("recipes", &recipe["id"]).await.expect("a row")["servings"], 5);
}

#[tokio::test]
async fn a_change_that_is_no_object_spoils_itself_alone() {
    let me = somebody();
    let entry = food_entry(json!({}));
    let body = format!(
        r#"{{"device_id":"phone","tables":["users"],"changes":[7,null,"x",[],{{}},{}]}}"#,
        Change::new("INSERT", "food_entries", entry).json()
    );
    let answer = packed(&me, &body).await.ok();
    let statuses: Vec<&str> =
        answer["results"].as_array().expect("results").iter().filter_map(|result| result["status"].as_str()).collect();
    assert_eq!(statuses, ["rejected", "rejected", "rejected", "rejected", "rejected", "applied"], "{answer}");
}
