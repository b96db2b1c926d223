//! A parent that was deleted elsewhere while its parts were written: one conflict of the row above.

use ryzed_tests::rows::{exercise_set, row, workout_exercise, workout_session};
use ryzed_tests::{Account, delete, insert, update};
use serde_json::{Value, json};

use crate::somebody;

/// A session, its exercise and a set, all deleted by another device; with the set's last version.
async fn deleted_elsewhere(me: &Account) -> (Value, Value, Value, Value) {
    let exercise_kind = row("exercises", json!({}));
    me.store("exercises", &exercise_kind).await;
    let session = workout_session(json!({}));
    let mut exercise = workout_exercise(&session);
    exercise["exercise_id"] = exercise_kind["id"].clone();
    let set = exercise_set(&exercise);
    me.store("workout_sessions", &session).await;
    me.store("workout_exercises", &exercise).await;
    let made = me.store("exercise_sets", &set).await;
    let version = me.row("workout_sessions", &session["id"]).await.expect("the session")["_version"].clone();
    me.apply(delete("workout_sessions", &session["id"]).base(&version)).await;
    me.apply(delete("exercises", &exercise_kind["id"]).base(&me.cursor().await["user"])).await;
    (session, exercise, set, made["version"].clone())
}

fn tables(answer: &Value) -> Vec<&str> {
    answer["conflicts"].as_array().expect("conflicts").iter().filter_map(|met| met["table"].as_str()).collect()
}

#[tokio::test]
async fn a_workout_recorded_offline_brings_back_what_it_is_a_part_of() {
    // The last is long enough that others get a turn between.
    for (strategy, count) in [("merge", 22), ("client_wins", 22), ("merge", 600)] {
        let me = somebody();
        let (session, exercise, ..) = deleted_elsewhere(&me).await;
        let sets: Vec<Value> = (0..count).map(|_| exercise_set(&exercise)).collect();
        let mut phone = me.socket("phone").await;
        let changes: Vec<Value> = sets.iter().map(|set| insert("exercise_sets", set).json()).collect();
        let body = json!({"device_id": "watch", "conflict_strategy": strategy, "changes": changes});
        let answer = me.sync(body.clone()).await;
        let results = answer["results"].as_array().expect("results");
        assert!(results.len() == count && results.iter().all(|result| result["status"] == "applied"), "{answer}");
        assert_eq!(tables(&answer), ["workout_sessions", "workout_exercises"], "each is told once: {answer}");
        let met = &answer["conflicts"][0];
        assert_eq!(
            (&met["id"], &met["strategy"], &met["row"]["name"]),
            (&session["id"], &json!(strategy), &session["name"])
        );

        let back = me.row("workout_sessions", &session["id"]).await.expect("the session is back");
        assert_eq!((&back["name"], &back["start_time"]), (&met["row"]["name"], &met["row"]["start_time"]));
        let back = me.row("workout_exercises", &exercise["id"]).await.expect("the exercise is back");
        assert_eq!(back["exercise_id"], Value::Null, "what it named is gone for good");
        assert_eq!(me.rows("exercise_sets").await.len(), count);
        for table in ["workout_sessions", "workout_exercises", "exercise_sets"] {
            let told = phone.next("data_updated").await;
            assert_eq!(told["table"], table, "{told}");
        }
        let again = me.sync(body).await;
        assert!(
            again["results"].as_array().is_some_and(|again| again == results) && tables(&again).is_empty(),
            "{again}"
        );
        // What comes later finds its parent.
        me.apply(insert("exercise_sets", &exercise_set(&exercise))).await;
    }
}

#[tokio::test]
async fn an_edit_of_a_part_brings_back_what_it_is_a_part_of() {
    let me = somebody();
    let (session, exercise, set, version) = deleted_elsewhere(&me).await;
    let edit = update("exercise_sets", &set["id"], json!({"reps": 9})).base(&version).strategy("client_wins");
    let answer = me.push([edit]).await;
    assert_eq!(answer["results"][0]["status"], "conflict", "{answer}");
    assert_eq!(tables(&answer), ["exercise_sets", "workout_sessions", "workout_exercises"], "{answer}");
    assert_eq!(me.row("exercise_sets", &set["id"]).await.expect("the set")["reps"], 9);
    for (table, row) in [("workout_sessions", &session), ("workout_exercises", &exercise)] {
        assert!(me.row(table, &row["id"]).await.is_some(), "{table}");
    }
}

#[tokio::test]
async fn nothing_comes_back_against_the_strategy_or_against_the_device_itself() {
    let me = somebody();
    let (session, exercise, ..) = deleted_elsewhere(&me).await;
    for strategy in ["server_wins", "manual"] {
        let change = insert("exercise_sets", &exercise_set(&exercise)).strategy(strategy);
        assert_eq!(me.refusal(change).await, "invalid_reference", "{strategy}");
    }
    assert!(me.row("workout_sessions", &session["id"]).await.is_none());

    // Who deletes the parent and writes a part of it in one request means the former.
    let session = workout_session(json!({}));
    me.store("workout_sessions", &session).await;
    let answer = me
        .push([
            delete("workout_sessions", &session["id"]).base(&me.cursor().await["user"]),
            insert("workout_exercises", &workout_exercise(&session)).strategy("client_wins"),
        ])
        .await;
    assert!(tables(&answer).is_empty(), "{answer}");
    assert!(me.row("workout_sessions", &session["id"]).await.is_none());
    let never = workout_exercise(&workout_session(json!({})));
    assert_eq!(me.refusal(insert("workout_exercises", &never).strategy("client_wins")).await, "invalid_reference");
}

/// Somebody else's tombstone is nobody's parent.
#[tokio::test]
async fn nobody_brings_back_what_was_somebody_elses() {
    let (me, other) = (somebody(), somebody());
    other.push([]).await;
    let (session, exercise, ..) = deleted_elsewhere(&me).await;
    for strategy in ["client_wins", "merge"] {
        let change = insert("exercise_sets", &exercise_set(&exercise)).strategy(strategy);
        assert_eq!(other.refusal(change).await, "invalid_reference");
    }
    assert!(me.row("workout_sessions", &session["id"]).await.is_none());
}

#[tokio::test]
async fn an_atomic_request_that_fails_brings_nothing_back() {
    let me = somebody();
    let (session, exercise, ..) = deleted_elsewhere(&me).await;
    let bad = insert("exercise_sets", &json!({"id": exercise_set(&exercise)["id"]})).json();
    let good = insert("exercise_sets", &exercise_set(&exercise)).json();
    let answer = me
        .sync(json!({"device_id": "watch", "conflict_strategy": "merge", "atomic": true, "changes": [good, bad]}))
        .await;
    assert!(tables(&answer).is_empty(), "{answer}");
    assert!(me.row("workout_sessions", &session["id"]).await.is_none());
}
