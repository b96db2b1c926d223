//! Parents and children: what a deletion takes along, and what a move does.

use ryzed_tests::rows::{exercise_set, row, workout_exercise, workout_session};
use ryzed_tests::{Account, Person, delete, insert, update};
use serde_json::{Value, json};

use crate::{keepers, shared, somebody};

struct Session {
    session: Value,
    exercise: Value,
    sets: [Value; 2],
    versions: Value,
}

async fn session_of(me: &Account) -> Session {
    let session = workout_session(json!({}));
    let exercise = workout_exercise(&session);
    let sets = [exercise_set(&exercise), exercise_set(&exercise)];
    let answer = me
        .push([
            insert("workout_sessions", &session),
            insert("workout_exercises", &exercise),
            insert("exercise_sets", &sets[0]),
            insert("exercise_sets", &sets[1]),
        ])
        .await;
    let versions =
        answer["results"].as_array().expect("results").iter().map(|result| result["version"].clone()).collect();
    Session { session, exercise, sets, versions }
}

fn ids(rows: &Value) -> Vec<String> {
    let mut ids: Vec<String> = rows.as_array().into_iter().flatten().map(|row| row["id"].to_string()).collect();
    ids.sort();
    ids
}

fn sorted(rows: &[&Value]) -> Vec<String> {
    let mut ids: Vec<String> = rows.iter().map(|row| row["id"].to_string()).collect();
    ids.sort();
    ids
}

#[tokio::test]
async fn deleting_a_parent_leaves_a_tombstone_for_every_row_below_it() {
    let me = somebody();
    let made = session_of(&me).await;
    let cursor = me.cursor().await;
    me.apply(delete("workout_sessions", &made.session["id"]).base(&made.versions[0])).await;
    let news = me.pull(json!({"cursor": cursor})).await;
    assert_eq!(ids(&news["deletions"]["workout_sessions"]), sorted(&[&made.session]));
    assert_eq!(ids(&news["deletions"]["workout_exercises"]), sorted(&[&made.exercise]));
    assert_eq!(ids(&news["deletions"]["exercise_sets"]), sorted(&[&made.sets[0], &made.sets[1]]));
    for table in ["workout_sessions", "workout_exercises", "exercise_sets"] {
        assert!(me.rows(table).await.is_empty(), "{table}");
    }
}

#[tokio::test]
async fn live_devices_hear_of_every_row_that_a_cascade_takes() {
    let me = somebody();
    let made = session_of(&me).await;
    let mut tablet = me.socket("tablet").await;
    me.apply(delete("workout_sessions", &made.session["id"]).base(&made.versions[0])).await;
    let mut gone = Vec::new();
    for _ in 0..4 {
        let message = tablet.next("data_updated").await;
        assert_eq!(message["operation"], "DELETE", "{message}");
        gone.push(message["data"]["id"].to_string());
    }
    gone.sort();
    assert_eq!(gone, sorted(&[&made.session, &made.exercise, &made.sets[0], &made.sets[1]]));
}

#[tokio::test]
async fn a_track_goes_with_its_run() {
    let me = somebody();
    let run = row("cardio_sessions", json!({}));
    let points: Vec<Value> =
        (0..200).map(|_| row("location_points", json!({"cardio_session_id": run["id"]}))).collect();
    let version = me.store("cardio_sessions", &run).await;
    me.push(points.iter().map(|point| insert("location_points", point))).await;
    let cursor = me.cursor().await;
    me.apply(delete("cardio_sessions", &run["id"]).base(&version)).await;
    let news = me.pull(json!({"cursor": cursor, "tables": ["location_points"]})).await;
    assert_eq!(ids(&news["deletions"]["location_points"]).len(), 200);
}

#[tokio::test]
async fn a_child_moves_to_another_parent_of_the_same_person() {
    let me = somebody();
    let (made, other) = (session_of(&me).await, session_of(&me).await);
    let change = update("workout_exercises", &made.exercise["id"], json!({"session_id": other.session["id"]}));
    me.apply(change.base(&made.versions[1])).await;
    me.apply(delete("workout_sessions", &made.session["id"]).base(&made.versions[0])).await;
    assert!(me.row("workout_exercises", &made.exercise["id"]).await.is_some(), "it went with its former parent");
    assert!(me.row("exercise_sets", &made.sets[0]["id"]).await.is_some());
    me.apply(delete("workout_sessions", &other.session["id"]).base(&other.versions[0])).await;
    assert!(me.rows("workout_exercises").await.is_empty());
    assert!(me.rows("exercise_sets").await.is_empty());
}

#[tokio::test]
async fn a_parent_that_changes_its_owner_takes_its_descendants_along() {
    let (me, other) = (somebody(), somebody());
    let made = session_of(&me).await;
    other.push([]).await;
    let (mine, theirs) = (me.cursor().await, other.cursor().await);
    shared().database().run(&format!(
        "UPDATE workout_sessions SET user_id = '{}' WHERE id = {}",
        other.person.id,
        sql_text(&made.session["id"])
    ));
    let lost = me.pull(json!({"cursor": mine})).await;
    let won = other.pull(json!({"cursor": theirs})).await;
    for (table, rows) in [
        ("workout_sessions", sorted(&[&made.session])),
        ("workout_exercises", sorted(&[&made.exercise])),
        ("exercise_sets", sorted(&[&made.sets[0], &made.sets[1]])),
    ] {
        assert_eq!(ids(&lost["deletions"][table]), rows, "{table} leaves the one");
        assert_eq!(ids(&won["changes"][table]), rows, "{table} comes to the other");
    }
    assert_eq!(won["changes"]["exercise_sets"][0]["reps"], 8, "whole rows come: {won}");
}

#[tokio::test]
async fn a_row_deleted_and_made_again_is_a_new_row() {
    let me = somebody();
    let session = workout_session(json!({}));
    let version = me.store("workout_sessions", &session).await;
    let gone = me.apply(delete("workout_sessions", &session["id"]).base(&version)).await;
    let back = me.apply(insert("workout_sessions", &session).base(&gone)).await;
    assert!(back.as_i64() > gone.as_i64());
    assert_eq!(me.row("workout_sessions", &session["id"]).await.expect("a row")["_version"], back);
}

fn sql_text(value: &Value) -> String {
    format!("'{}'", value.as_str().expect("a text"))
}

#[tokio::test]
async fn what_the_catalogue_loses_takes_nobodys_history_along() {
    let (admin, me) = (keepers().account_of(Person::admin()), keepers().account());
    let mut tablet = me.socket("tablet").await;
    for (catalogue, table, column) in [
        ("foods", "food_entries", "food_id"),
        ("exercises", "workout_exercises", "exercise_id"),
        ("hiit_workouts", "hiit_sessions", "workout_id"),
    ] {
        let named = row(catalogue, json!({"user_id": null}));
        let version = admin.store(catalogue, &named).await;
        let mine = match table {
            "workout_exercises" => {
                let session = workout_session(json!({}));
                me.store("workout_sessions", &session).await;
                row(table, json!({"session_id": session["id"], column: named["id"]}))
            }
            _ => row(table, json!({column: named["id"]})),
        };
        let made = me.store(table, &mine).await;
        let before = me.row(table, &mine["id"]).await.expect("a row");
        admin.apply(delete(catalogue, &named["id"]).base(&version)).await;
        let told = tablet
            .next_where("data_updated", |message| message["version"] == json!(made.as_i64().map(|v| v + 1)))
            .await;
        assert_eq!((&told["operation"], &told["data"][column]), (&json!("UPDATE"), &Value::Null), "{told}");
        let mut after = me.row(table, &mine["id"]).await.expect("the row stays");
        assert_eq!(after[column], Value::Null);
        after[column] = before[column].clone();
        after["_version"] = before["_version"].clone();
        assert_eq!(after, before, "nothing else is another");
    }
}
