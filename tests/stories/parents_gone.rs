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

/// The changes of a watch, with what becomes of them.
async fn from_watch(me: &Account, strategy: &str, changes: &[Value]) -> Value {
    me.sync(json!({"device_id": "watch", "conflict_strategy": strategy, "changes": changes})).await
}

async fn open(me: &Account) -> Vec<Value> {
    me.api.get("/conflicts").await.ok()["conflicts"].as_array().expect("conflicts").clone()
}

async fn resolve(me: &Account, conflict: &Value, how: &str) -> ryzed_tests::Answer {
    let id = conflict["conflict_id"].as_str().expect("an open conflict");
    me.api.post(&format!("/conflicts/{id}/resolve"), &json!({"resolution": how})).await
}

fn parts(conflict: &Value) -> &Vec<Value> {
    conflict["parts"].as_array().unwrap_or_else(|| panic!("no parts: {conflict}"))
}

fn statuses(answer: &Value) -> Vec<&str> {
    let results = answer["results"].as_array().expect("results");
    results.iter().filter_map(|result| result["status"].as_str()).collect()
}

#[tokio::test]
async fn a_workout_recorded_offline_waits_whole_and_once_where_the_deletion_stands() {
    for strategy in ["server_wins", "manual"] {
        for how in ["client", "server"] {
            let me = somebody();
            let (session, exercise, ..) = deleted_elsewhere(&me).await;
            let another = workout_exercise(&session);
            let sets: Vec<Value> = (0..22).map(|n| exercise_set(if n < 11 { &exercise } else { &another })).collect();
            let mut changes = vec![insert("workout_exercises", &another).json()];
            changes.extend(sets.iter().map(|set| insert("exercise_sets", set).json()));
            let answer = from_watch(&me, strategy, &changes).await;
            assert!(statuses(&answer).iter().all(|status| *status == "conflict"), "{answer}");
            assert_eq!(tables(&answer), ["workout_sessions"], "one of the row above: {answer}");
            let met = &answer["conflicts"][0];
            assert_eq!(
                (&met["id"], &met["strategy"], &met["row"], &met["fields"]),
                (&session["id"], &json!(strategy), &Value::Null, &json!([]))
            );
            assert_eq!(parts(met).len(), 23, "{met}");
            for (part, change) in parts(met).iter().zip(&changes) {
                assert_eq!((&part["mutation_id"], &part["id"]), (&change["mutation_id"], &change["data"]["id"]));
                assert_eq!(part["data"]["reps"], change["data"]["reps"]);
            }
            assert!(me.row("workout_sessions", &session["id"]).await.is_none());
            assert!(me.rows("exercise_sets").await.is_empty());

            let again = from_watch(&me, strategy, &changes).await;
            assert_eq!(again["results"], answer["results"]);
            assert_eq!(parts(&again["conflicts"][0]).len(), 23, "told again: {again}");

            let list = open(&me).await;
            assert!(list.len() == 1 && list[0]["conflict_id"] == met["conflict_id"], "{list:?}");
            assert_eq!((parts(&list[0]).len(), &list[0]["row"]), (23, &Value::Null));
            resolve(&me, met, how).await.done();
            assert!(open(&me).await.is_empty());
            let is_back = how == "client";
            assert_eq!(me.row("workout_sessions", &session["id"]).await.is_some(), is_back);
            assert_eq!(me.rows("exercise_sets").await.len(), if is_back { 22 } else { 0 });
            assert_eq!(me.rows("workout_exercises").await.len(), if is_back { 2 } else { 0 });
        }
    }
}

#[tokio::test]
async fn what_comes_later_for_the_same_row_waits_with_it() {
    for strategy in ["server_wins", "manual"] {
        let me = somebody();
        let (session, exercise, ..) = deleted_elsewhere(&me).await;
        let another = workout_exercise(&session);
        from_watch(&me, strategy, &[insert("workout_exercises", &another).json()]).await;
        let (kept, dropped) = (exercise_set(&another), exercise_set(&exercise));
        let later = [insert("exercise_sets", &kept).json(), insert("exercise_sets", &dropped).json()];
        let answer = from_watch(&me, strategy, &later).await;
        assert_eq!(statuses(&answer), ["conflict", "conflict"], "{answer}");
        assert_eq!((tables(&answer), parts(&answer["conflicts"][0]).len()), (vec!["workout_sessions"], 2));
        // An edit of what waits goes into it, and a deletion takes it out.
        let edits = [
            update("exercise_sets", &kept["id"], json!({"reps": 77})).json(),
            delete("exercise_sets", &dropped["id"]).json(),
        ];
        let answer = from_watch(&me, strategy, &edits).await;
        assert_eq!(statuses(&answer), ["conflict", "applied"], "{answer}");
        let list = open(&me).await;
        assert!(list.len() == 1 && parts(&list[0]).len() == 2, "{list:?}");
        resolve(&me, &list[0], "client").await.done();
        let sets = me.rows("exercise_sets").await;
        assert!(sets.len() == 1 && sets[0]["reps"] == 77, "{sets:?}");
        assert!(me.row("workout_exercises", &another["id"]).await.is_some());

        let lone = exercise_set(&workout_exercise(&workout_session(json!({}))));
        let never = from_watch(&me, strategy, &[insert("exercise_sets", &lone).json()]).await;
        let error = &never["results"][0]["errors"][0];
        assert_eq!(error["code"], "invalid_reference", "{never}");
        assert!(error["message"].as_str().is_some_and(|said| said.contains("upload that row first")), "{never}");
    }
}

#[tokio::test]
async fn nothing_is_left_open_of_parts_that_were_taken_back() {
    let me = somebody();
    let (_, exercise, ..) = deleted_elsewhere(&me).await;
    let set = exercise_set(&exercise);
    from_watch(&me, "server_wins", &[insert("exercise_sets", &set).json()]).await;
    assert_eq!(open(&me).await.len(), 1);
    from_watch(&me, "server_wins", &[delete("exercise_sets", &set["id"]).json()]).await;
    assert!(open(&me).await.is_empty());
    // Both at once.
    let changes = [insert("exercise_sets", &set).json(), delete("exercise_sets", &set["id"]).json()];
    let answer = from_watch(&me, "server_wins", &changes).await;
    assert_eq!(statuses(&answer), ["conflict", "applied"], "{answer}");
    assert!(open(&me).await.is_empty());
}

#[tokio::test]
async fn a_part_that_breaks_a_rule_is_refused_and_does_not_wait() {
    let me = somebody();
    let (_, exercise, ..) = deleted_elsewhere(&me).await;
    let mut bad = exercise_set(&exercise);
    bad["reps"] = json!(-1);
    let answer = from_watch(&me, "server_wins", &[insert("exercise_sets", &bad).json()]).await;
    assert_eq!(statuses(&answer), ["rejected"], "{answer}");
    assert!(open(&me).await.is_empty());
}

#[tokio::test]
async fn an_edit_of_the_row_and_its_parts_are_one_open_conflict() {
    let me = somebody();
    let (session, exercise, ..) = deleted_elsewhere(&me).await;
    let changes = [
        update("workout_sessions", &session["id"], json!({"name": "Kept"})).base(&json!(1)).json(),
        insert("exercise_sets", &exercise_set(&exercise)).json(),
    ];
    from_watch(&me, "manual", &changes).await;
    let list = open(&me).await;
    assert!(list.len() == 1 && parts(&list[0]).len() == 1, "{list:?}");
    assert_eq!(list[0]["fields"][0]["client"], "Kept");
    resolve(&me, &list[0], "client").await.done();
    assert_eq!(me.row("workout_sessions", &session["id"]).await.expect("back")["name"], "Kept");
    assert_eq!(me.rows("exercise_sets").await.len(), 1);
}

#[tokio::test]
async fn what_names_a_deleted_row_that_does_not_own_it_is_stored_without() {
    let me = somebody();
    let food = row("foods", json!({}));
    me.store("foods", &food).await;
    me.apply(delete("foods", &food["id"]).base(&me.cursor().await["user"])).await;
    for strategy in ["server_wins", "client_wins", "merge", "manual"] {
        let entry = row("food_entries", json!({"food_id": food["id"]}));
        let answer = from_watch(&me, strategy, &[insert("food_entries", &entry).json()]).await;
        assert_eq!((statuses(&answer), tables(&answer).len()), (vec!["merged"], 0), "{answer}");
        let stored = me.row("food_entries", &entry["id"]).await.expect("the entry");
        assert_eq!((&stored["food_id"], &stored["quantity"]), (&Value::Null, &entry["quantity"]));
        let edit = update("food_entries", &entry["id"], json!({"food_id": food["id"], "unit": "ml"}))
            .base(&stored["_version"]);
        let answer = from_watch(&me, strategy, &[edit.json()]).await;
        assert_eq!(statuses(&answer), ["merged"], "{answer}");
    }
    let never = row("food_entries", json!({"food_id": row("foods", json!({}))["id"]}));
    assert_eq!(me.refusal(insert("food_entries", &never)).await, "invalid_reference");
}

#[tokio::test]
async fn nothing_comes_back_against_the_device_itself() {
    let me = somebody();
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
    for strategy in ["client_wins", "merge", "server_wins", "manual"] {
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
