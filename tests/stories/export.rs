//! Taking everything along.

use ryzed_tests::insert;
use ryzed_tests::rows::{exercise_set, food_entry, workout_exercise, workout_session};
use serde_json::{Value, json};

use crate::somebody;

#[tokio::test]
async fn an_export_is_everything_that_a_person_owns_and_nothing_else() {
    let (me, other) = (somebody(), somebody());
    let theirs = food_entry(json!({}));
    other.store("food_entries", &theirs).await;
    let (entry, session) = (food_entry(json!({})), workout_session(json!({})));
    let exercise = workout_exercise(&session);
    let set = exercise_set(&exercise);
    let mine = [
        ("food_entries", &entry),
        ("workout_sessions", &session),
        ("workout_exercises", &exercise),
        ("exercise_sets", &set),
    ];
    me.push(mine.map(|(table, row)| insert(table, row))).await;

    let answer = me.api.get("/export").await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").starts_with("application/x-ndjson"), "{:?}", answer.headers);
    let lines: Vec<Value> =
        answer.text().lines().map(|line| serde_json::from_str(line).expect("a line is a JSON value")).collect();
    for (table, row) in mine {
        let exported = lines.iter().find(|line| line["table"] == table).unwrap_or_else(|| panic!("no {table}"));
        assert_eq!(exported["row"]["id"], row["id"]);
    }
    assert!(lines.iter().any(|line| line["table"] == "users" && line["row"]["id"] == me.user()));
    assert_eq!(lines.len(), 5, "the catalogue and other people are not the person's own: {lines:#?}");
}
