//! The rules for a row: each one that a client can break, and the code that says so.

use chrono::TimeDelta;
use ryzed_tests::rows::{food, food_entry, row, time, workout_session};
use ryzed_tests::{insert, update};
use serde_json::{Value, json};

use crate::somebody;

/// Inserts `rows`, each with one thing wrong, and expects that field and that code.
async fn rejected(table: &str, code: &str, faults: &[(&str, Value)]) {
    let me = somebody();
    let parent = row("cardio_sessions", json!({}));
    me.store("cardio_sessions", &parent).await;
    for (field, value) in faults {
        let mut row = row(table, json!({}));
        if table == "location_points" {
            row["cardio_session_id"] = parent["id"].clone();
        }
        row[*field] = value.clone();
        let result = me.change(insert(table, &row)).await;
        assert_eq!(result["status"], "rejected", "{table}.{field} = {value:.60}: {result}");
        let errors = result["errors"].as_array().expect("errors");
        let named = errors.iter().any(|error| error["field"] == *field && error["code"] == code);
        assert!(named, "{table}.{field} = {value:.60} is no {code}: {result}");
    }
}

#[tokio::test]
async fn a_field_that_the_table_does_not_have_is_rejected() {
    rejected("food_entries", "unknown_field", &[("price", json!(3)), ("_secret", json!("x")), ("", json!(1))]).await;
}

#[tokio::test]
async fn a_required_field_must_be_there() {
    let me = somebody();
    for (table, field) in [
        ("food_entries", "quantity"),
        ("food_entries", "consumed_at"),
        ("foods", "name_fr"),
        ("recipes", "ingredients"),
        ("recipes", "steps_en"),
        ("exercises", "muscle_group"),
        ("workout_sessions", "start_time"),
        ("workout_templates", "name_en"),
        ("hiit_workouts", "total_rounds"),
        ("hiit_sessions", "start_time"),
        ("cardio_activities", "activity_type"),
        ("cardio_sessions", "format_title"),
    ] {
        let mut row = row(table, json!({}));
        row.as_object_mut().expect("a row").remove(field);
        let result = me.change(insert(table, &row)).await;
        assert_eq!(result["errors"][0]["code"], "required", "{table}.{field}: {result}");
        assert_eq!(result["errors"][0]["field"], field, "{result}");
    }
}

#[tokio::test]
async fn a_required_field_can_not_be_emptied() {
    let me = somebody();
    let entry = food_entry(json!({}));
    let version = me.store("food_entries", &entry).await;
    let change = update("food_entries", &entry["id"], json!({"quantity": null})).base(&version);
    assert_eq!(me.refusal(change).await, "wrong_type");
}

#[tokio::test]
async fn a_value_of_another_type_is_rejected() {
    rejected(
        "food_entries",
        "wrong_type",
        &[
            ("quantity", json!("much")),
            ("unit", json!(5)),
            ("consumed_at", json!(1_700_000_000)),
            ("calories", json!([])),
        ],
    )
    .await;
    rejected(
        "recipes",
        "wrong_type",
        &[("steps_en", json!("cut")), ("ingredients", json!({})), ("servings", json!(1.5))],
    )
    .await;
    rejected("workout_sessions", "wrong_type", &[("is_completed", json!("yes")), ("name", json!({"a": 1}))]).await;
}

#[tokio::test]
async fn a_number_out_of_its_range_is_rejected() {
    rejected("food_entries", "out_of_range", &[("quantity", json!(0)), ("quantity", json!(-3)), ("fats", json!(-1))])
        .await;
    rejected("foods", "out_of_range", &[("calories", json!(-1)), ("proteins", json!(101))]).await;
    rejected(
        "location_points",
        "out_of_range",
        &[
            ("latitude", json!(90.1)),
            ("latitude", json!(-90.1)),
            ("longitude", json!(180.5)),
            ("longitude", json!(-181)),
        ],
    )
    .await;
    rejected("workout_templates", "out_of_range", &[("average_rating", json!(5.1)), ("usage_count", json!(-1))]).await;
    rejected("hiit_sessions", "out_of_range", &[("current_round", json!(-1))]).await;
    rejected("cardio_sessions", "out_of_range", &[("distance_km", json!(-0.1)), ("steps", json!(3_000_000_000_i64))])
        .await;
}

#[tokio::test]
async fn the_edges_of_a_range_belong_to_it() {
    let me = somebody();
    let run = row("cardio_sessions", json!({}));
    me.store("cardio_sessions", &run).await;
    for (latitude, longitude) in [(90, 180), (-90, -180), (0, 0)] {
        let with = json!({"cardio_session_id": run["id"], "latitude": latitude, "longitude": longitude});
        me.store("location_points", &row("location_points", with)).await;
    }
}

#[tokio::test]
async fn a_word_that_is_none_of_the_choices_is_rejected() {
    rejected("food_entries", "not_allowed", &[("meal_type", json!("brunch"))]).await;
    rejected("workout_templates", "not_allowed", &[("difficulty_level", json!("brutal"))]).await;
    rejected("hiit_sessions", "not_allowed", &[("current_phase", json!("nap"))]).await;
}

#[tokio::test]
async fn a_text_too_long_or_empty_where_it_must_not_be_is_rejected() {
    rejected("foods", "length", &[("name_en", json!("")), ("name_en", json!("x".repeat(501)))]).await;
    rejected("cardio_sessions", "length", &[("notes", json!("x".repeat(20_001)))]).await;
}

#[tokio::test]
async fn what_is_no_uuid_or_time_is_rejected() {
    rejected("food_entries", "invalid_format", &[("id", json!("1")), ("food_id", json!("apple"))]).await;
    rejected(
        "food_entries",
        "invalid_format",
        &[("consumed_at", json!("yesterday")), ("consumed_at", json!("2026-02-30T00:00:00Z"))],
    )
    .await;
}

#[tokio::test]
async fn times_far_in_the_future_are_rejected() {
    rejected("food_entries", "in_future", &[("consumed_at", json!(time(TimeDelta::hours(25))))]).await;
    rejected("workout_sessions", "in_future", &[("created_at", json!(time(TimeDelta::days(400))))]).await;
    let me = somebody();
    me.store("food_entries", &food_entry(json!({"consumed_at": time(TimeDelta::hours(23))}))).await;
}

#[tokio::test]
async fn an_end_before_its_start_is_rejected() {
    for table in ["workout_sessions", "hiit_sessions", "cardio_sessions"] {
        rejected(table, "inconsistent", &[("end_time", json!("2026-01-05T06:00:00Z"))]).await;
    }
}

#[tokio::test]
async fn an_edit_is_checked_together_with_the_fields_it_leaves_alone() {
    let me = somebody();
    let session = workout_session(json!({}));
    let version = me.store("workout_sessions", &session).await;
    let change = update("workout_sessions", &session["id"], json!({"end_time": "2026-01-05T17:00:00Z"})).base(&version);
    assert_eq!(me.refusal(change).await, "inconsistent");
    let later = json!({"start_time": "2026-01-05T16:00:00Z", "end_time": "2026-01-05T17:00:00Z"});
    me.apply(update("workout_sessions", &session["id"], later).base(&version)).await;
}

#[tokio::test]
async fn every_fault_of_a_row_is_named_at_once() {
    let entry = food_entry(json!({"quantity": -1, "unit": 5, "meal_type": "brunch", "price": 3}));
    let result = somebody().change(insert("food_entries", &entry)).await;
    let fields: Vec<&str> =
        result["errors"].as_array().expect("errors").iter().filter_map(|e| e["field"].as_str()).collect();
    for field in ["quantity", "unit", "meal_type", "price"] {
        assert!(fields.contains(&field), "{field}: {result}");
    }
}

#[tokio::test]
async fn a_zero_byte_in_a_text_is_rejected() {
    let me = somebody();
    for with in [json!({"name_en": "a\u{0}b"}), json!({"category": "\u{0}"})] {
        me.refusal(insert("foods", &food(with))).await;
    }
    me.refusal(insert("recipes", &row("recipes", json!({"tags": ["a\u{0}"]})))).await;
    me.refusal(insert("recipes", &row("recipes", json!({"ingredients": [{"na\u{0}me": 1}]})))).await;
}

#[tokio::test]
async fn texts_of_every_script_come_back_as_they_were() {
    let me = somebody();
    for name in
        ["Crème brûlée", "お茶漬け", "شاي بالنعناع", "👩🏽‍🍳 stew", "a\tb\nc \"d\" \\e/ 'f'", "\u{202e}evil", "\u{feff}x"]
    {
        let food = food(json!({"name_en": name}));
        me.store("foods", &food).await;
        assert_eq!(me.row("foods", &food["id"]).await.expect("a row")["name_en"], name);
    }
}

#[tokio::test]
async fn values_come_back_in_one_form() {
    let me = somebody();
    let entry = food_entry(json!({"quantity": 180.0, "calories": 0.1, "consumed_at": "2026-01-05T13:30:00.5+01:30"}));
    me.store("food_entries", &entry).await;
    let row = me.row("food_entries", &entry["id"]).await.expect("a row");
    assert_eq!(row["quantity"].as_f64(), Some(180.0));
    assert_eq!(row["calories"], 0.1);
    assert_eq!(row["consumed_at"], "2026-01-05T12:00:00.500000Z");
}
