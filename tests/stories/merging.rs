//! The `merge` strategy: each column's own rule.

use ryzed_tests::rows::row;
use ryzed_tests::{Account, update};
use serde_json::{Value, json};

use crate::somebody;

/// Stores a row with `base`, lets another device write `server`, merges `client`; what is stored then.
async fn merged(table: &str, field: &str, base: Value, server: Value, client: Value) -> Value {
    let me = somebody();
    let mut row = row(table, json!({}));
    row[field] = base;
    let version = me.store(table, &row).await;
    write(&me, table, &row["id"], json!({ field: server }), &version).await;
    let change = update(table, &row["id"], json!({ field: client })).base(&version).strategy("merge");
    let answer = me.push([change]).await;
    let stored = me.row(table, &row["id"]).await.expect("a row")[field].clone();
    assert_eq!(answer["results"][0]["status"], "conflict", "every conflict is reported: {answer}");
    assert_eq!(answer["conflicts"][0]["fields"][0]["resolved"], stored, "{answer}");
    stored
}

async fn write(me: &Account, table: &str, id: &Value, fields: Value, base: &Value) -> Value {
    let result = me.push_from("tablet", [update(table, id, fields).base(base)]).await["results"][0].clone();
    assert_eq!(result["status"], "applied", "{result}");
    result["version"].clone()
}

#[tokio::test]
async fn finished_anywhere_is_finished() {
    for table in ["workout_sessions", "hiit_sessions"] {
        // The base is unfinished and the server finished; the client says that it is not.
        let stored = merged(table, "is_completed", json!(false), json!(true), json!(false)).await;
        assert_eq!(stored, json!(true), "{table}");
    }
}

#[tokio::test]
async fn the_higher_round_counts() {
    for (server, client) in [(5, 3), (3, 5)] {
        let stored = merged("hiit_sessions", "current_round", json!(1), json!(server), json!(client)).await;
        assert_eq!(stored, json!(5));
    }
}

#[tokio::test]
async fn the_longer_distance_counts() {
    let stored = merged("cardio_sessions", "distance_km", json!(1), json!(3.5), json!(3.2)).await;
    assert_eq!(stored, json!(3.5));
}

#[tokio::test]
async fn the_earlier_start_and_the_later_end_count() {
    let at = |hour: &str| json!(format!("2026-01-05T{hour}:00:00.000000Z"));
    let start = merged("workout_sessions", "start_time", at("18"), at("16"), at("17")).await;
    assert_eq!(start, at("16"));
    let end = merged("workout_sessions", "end_time", at("19"), at("20"), at("21")).await;
    assert_eq!(end, at("21"));
}

#[tokio::test]
async fn labels_of_both_sides_stay() {
    let stored = merged("recipes", "tags", json!(["warm"]), json!(["warm", "vegan"]), json!(["warm", "quick"])).await;
    let mut tags: Vec<&str> = stored.as_array().expect("tags").iter().filter_map(Value::as_str).collect();
    tags.sort_unstable();
    assert_eq!(tags, ["quick", "vegan", "warm"]);
}

#[tokio::test]
async fn counts_of_both_sides_add_up() {
    let stored = merged("workout_templates", "usage_count", json!(10), json!(13), json!(12)).await;
    assert_eq!(stored, json!(15));
}

#[tokio::test]
async fn counts_add_up_over_several_versions() {
    let me = somebody();
    let template = row("workout_templates", json!({"usage_count": 10}));
    let id = &template["id"];
    let base = me.store("workout_templates", &template).await;
    let mut version = base.clone();
    for count in [11, 12, 13] {
        version = write(&me, "workout_templates", id, json!({"usage_count": count}), &version).await;
        version = write(&me, "workout_templates", id, json!({"name_en": format!("Full body {count}")}), &version).await;
    }
    let change = update("workout_templates", id, json!({"usage_count": 12})).base(&base).strategy("merge");
    let answer = me.push([change]).await;
    let stored = me.row("workout_templates", id).await.expect("a row");
    assert_eq!(stored["usage_count"], 15, "{answer}");
    assert_eq!(stored["name_en"], "Full body 13");
}

#[tokio::test]
async fn a_field_without_a_rule_takes_the_latest_write() {
    let stored = merged("hiit_sessions", "current_phase", json!("warmup"), json!("work"), json!("rest")).await;
    assert_eq!(stored, json!("rest"));
}

#[tokio::test]
async fn a_value_is_never_lost_to_null() {
    let stored = merged("cardio_sessions", "notes", json!("a"), json!("b"), Value::Null).await;
    assert_eq!(stored, json!("b"));
}
