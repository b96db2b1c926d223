//! Rows written straight into the database, by somebody who has never heard of the daemon.

use std::time::{Duration, Instant};

use ryzed_tests::{Account, rows};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{keepers, shared, somebody};

/// The time in which a change is to reach connected devices.
const SOON: Duration = Duration::from_secs(1);

fn sql(statement: &str) {
    shared().database().run(statement);
}

fn insert_entry(me: &Account, quantity: u32) -> Uuid {
    let id = Uuid::new_v4();
    let now = rows::time(chrono::TimeDelta::zero());
    sql(&format!(
        "INSERT INTO food_entries (id, user_id, quantity, unit, consumed_at, created_at, updated_at) \
         VALUES ('{id}', '{}', {quantity}, 'g', '{now}', '{now}', '{now}')",
        me.person.id
    ));
    id
}

async fn met() -> Account {
    let me = somebody();
    me.push([]).await;
    me
}

#[tokio::test]
async fn an_insert_reaches_connected_devices() {
    let me = met().await;
    let mut tablet = me.socket("tablet").await;
    let id = insert_entry(&me, 42);
    let message = tablet.next("database_change").await;
    assert_eq!((&message["table"], &message["operation"]), (&json!("food_entries"), &json!("INSERT")));
    assert_eq!((&message["new_record"]["id"], &message["new_record"]["quantity"]), (&json!(id), &json!(42)));
    assert_eq!(message["old_record"], Value::Null);
    assert_eq!(message["scope"], format!("user:{}", me.person.id));
    assert_eq!(message["version"], me.cursor().await["user"]);
}

#[tokio::test]
async fn an_update_brings_the_former_values_of_what_changed() {
    let me = met().await;
    let id = insert_entry(&me, 42);
    let mut tablet = me.socket("tablet").await;
    sql(&format!("UPDATE food_entries SET quantity = 43, meal_type = 'dinner' WHERE id = '{id}'"));
    let message = tablet.next("database_change").await;
    assert_eq!(message["operation"], "UPDATE");
    assert_eq!(
        (&message["new_record"]["quantity"], &message["new_record"]["meal_type"]),
        (&json!(43), &json!("dinner"))
    );
    let old = message["old_record"].as_object().expect("an old record");
    assert!(old.contains_key("meal_type"), "a former null is a former value: {message}");
    assert_eq!((&old["id"], &old["quantity"], &old["meal_type"]), (&json!(id), &json!(42), &Value::Null));
    assert!(!old.contains_key("unit") && !old.contains_key("consumed_at"), "only what changed: {message}");
}

#[tokio::test]
async fn a_delete_names_the_row() {
    let me = met().await;
    let id = insert_entry(&me, 42);
    let mut tablet = me.socket("tablet").await;
    sql(&format!("DELETE FROM food_entries WHERE id = '{id}'"));
    let message = tablet.next("database_change").await;
    assert_eq!((&message["operation"], &message["new_record"]), (&json!("DELETE"), &Value::Null));
    assert_eq!(message["old_record"]["id"], json!(id));
}

#[tokio::test]
async fn it_takes_less_than_a_second() {
    let me = met().await;
    let mut tablet = me.socket("tablet").await;
    let mut delays = Vec::new();
    for quantity in 1..=5 {
        insert_entry(&me, quantity);
        let written = Instant::now();
        assert_eq!(tablet.next("database_change").await["new_record"]["quantity"], quantity);
        delays.push(written.elapsed());
    }
    delays.sort();
    // The machine runs other stories meanwhile, so the middle one counts.
    assert!(delays[2] < SOON, "{delays:?}");
}

#[tokio::test]
async fn devices_that_are_away_get_it_by_cursor() {
    let me = met().await;
    let cursor = me.cursor().await;
    let id = insert_entry(&me, 42);
    let news = me.pull(json!({"cursor": cursor, "tables": ["food_entries"]})).await;
    assert_eq!(news["changes"]["food_entries"][0]["id"], json!(id));
    let cursor = news["cursor"].clone();
    sql(&format!("DELETE FROM food_entries WHERE id = '{id}'"));
    let news = me.pull(json!({"cursor": cursor, "tables": ["food_entries"]})).await;
    assert_eq!(news["deletions"]["food_entries"][0]["id"], json!(id));
}

#[tokio::test]
async fn an_update_that_changes_nothing_is_no_change() {
    let me = met().await;
    let id = insert_entry(&me, 42);
    let cursor = me.cursor().await;
    sql(&format!("UPDATE food_entries SET quantity = 42 WHERE id = '{id}'"));
    assert_eq!(me.cursor().await, cursor);
}

#[tokio::test]
async fn a_device_edits_what_was_written_outside_and_conflicts_with_it() {
    let me = met().await;
    let id = json!(insert_entry(&me, 42));
    let base = me.row("food_entries", &id).await.expect("a row")["_version"].clone();
    sql(&format!("UPDATE food_entries SET quantity = 50 WHERE id = {}", id.to_string().replace('"', "'")));
    let change = ryzed_tests::update("food_entries", &id, json!({"quantity": 60})).base(&base);
    let answer = me.push([change]).await;
    let fields = json!([{"field": "quantity", "base": 42, "server": 50, "client": 60, "resolved": 50}]);
    assert_eq!(answer["conflicts"][0]["fields"], fields, "{answer}");
}

#[tokio::test]
async fn many_rows_in_one_statement_all_arrive_in_order() {
    let me = met().await;
    let mut tablet = me.socket("tablet").await;
    let now = rows::time(chrono::TimeDelta::zero());
    let value = |i| format!("('{}', '{}', {i}, 'g', '{now}', '{now}', '{now}')", Uuid::new_v4(), me.person.id);
    let values: Vec<String> = (1..=100).map(value).collect();
    sql(&format!(
        "INSERT INTO food_entries (id, user_id, quantity, unit, consumed_at, created_at, updated_at) VALUES {}",
        values.join(", ")
    ));
    let mut last = 0;
    for _ in 0..100 {
        let version = tablet.next("database_change").await["version"].as_i64().expect("a version");
        assert!(version > last);
        last = version;
    }
}

#[tokio::test]
async fn a_catalogue_row_written_outside_reaches_everybody() {
    let (mine, theirs) = (keepers().account(), keepers().account());
    let mut sockets = [mine.socket("mine").await, theirs.socket("theirs").await];
    let id = Uuid::new_v4();
    let now = rows::time(chrono::TimeDelta::zero());
    keepers().database().run(&format!(
        "INSERT INTO cardio_activities (id, user_id, activity_type, name_en, name_fr, is_custom, created_at, updated_at) \
         VALUES ('{id}', NULL, 'skating', 'Skating', 'Patin', FALSE, '{now}', '{now}')"
    ));
    for socket in &mut sockets {
        let message = socket.next_where("database_change", |m| m["new_record"]["id"] == json!(id)).await;
        assert_eq!((&message["scope"], &message["new_record"]["is_custom"]), (&json!("global"), &json!(false)));
    }
}
