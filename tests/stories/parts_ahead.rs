//! A row with many parts is deleted in turns on SQLite, its parts ahead of it, so that others' uploads go between. Nothing goes of
//! a row that stays.

use ryzed_tests::rows::{exercise_set, row, workout_exercise, workout_session};
use ryzed_tests::{Account, Daemon, Database, delete, insert, update};
use serde_json::{Value, json};

use crate::somebody;

/// More than go at once.
const POINTS: usize = 700;

/// A run with many points; and its version.
async fn run_of(me: &Account) -> (Value, Value) {
    let run = row("cardio_sessions", json!({}));
    let version = me.store("cardio_sessions", &run).await;
    let point = || row("location_points", json!({"cardio_session_id": run["id"]}));
    me.push((0..POINTS).map(|_| insert("location_points", &point()))).await;
    (run, version)
}

/// Rows without their versions, and the lowest version.
async fn points(me: &Account) -> (Vec<String>, i64) {
    let mut lowest = i64::MAX;
    let mut rows: Vec<String> = Vec::new();
    for mut row in me.rows("location_points").await {
        let version = row.as_object_mut().and_then(|row| row.remove("_version")).and_then(|version| version.as_i64());
        lowest = lowest.min(version.expect("a version"));
        rows.push(row.to_string());
    }
    rows.sort();
    (rows, lowest)
}

#[tokio::test]
async fn all_parts_of_all_levels_are_tombstones_before_their_row_is() {
    let me = somebody();
    let session = workout_session(json!({}));
    let exercises: Vec<Value> = (0..300).map(|_| workout_exercise(&session)).collect();
    me.push([insert("workout_sessions", &session)]).await;
    me.push(exercises.iter().map(|exercise| insert("workout_exercises", exercise))).await;
    me.push((0..600).map(|n| insert("exercise_sets", &exercise_set(&exercises[n % 3])))).await;
    let kept = workout_session(json!({}));
    me.store("workout_sessions", &kept).await;
    let (cursor, version) =
        (me.cursor().await, me.row("workout_sessions", &session["id"]).await.expect("it")["_version"].clone());
    let gone = delete("workout_sessions", &session["id"]).base(&version);
    let stored = me.apply(gone.clone()).await;
    let mut news = me.pull(json!({"cursor": cursor})).await;
    let mut counts = [0, 0, 0];
    loop {
        for (count, table) in counts.iter_mut().zip(["exercise_sets", "workout_exercises", "workout_sessions"]) {
            let deletions = news["deletions"][table].as_array().cloned().unwrap_or_default();
            assert!(deletions.iter().all(|deletion| deletion["_version"].as_i64() <= stored.as_i64()), "{table}");
            *count += deletions.len();
        }
        if news["has_more"] == false {
            break;
        }
        news = me.pull(json!({"cursor": news["cursor"]})).await;
    }
    assert_eq!(counts, [600, 300, 1]);
    assert_eq!(me.rows("workout_sessions").await.len(), 1);
    let digest = me.api.get("/digest").await.json();
    assert!(digest["digest"].get("exercise_sets").is_none_or(|table| table["rows"] == 0), "{digest}");
    // A retry finds nothing to do, also where the row was made again since.
    me.store("workout_sessions", &session).await;
    me.store("workout_exercises", &exercises[0]).await;
    me.push((0..600).map(|_| insert("exercise_sets", &exercise_set(&exercises[0])))).await;
    assert_eq!(me.change(gone).await["status"], "applied");
    assert_eq!(me.rows("exercise_sets").await.len(), 600);
}

#[tokio::test]
async fn a_row_that_stays_for_a_conflict_keeps_its_parts() {
    let me = somebody();
    let (run, version) = run_of(&me).await;
    let before = points(&me).await;
    me.push_from("tablet", [update("cardio_sessions", &run["id"], json!({"notes": "kept"})).base(&version)]).await;
    let answer = me.change(delete("cardio_sessions", &run["id"]).base(&version)).await;
    assert_eq!(answer["status"], "conflict", "{answer}");
    assert_eq!(points(&me).await, before);
    let answer = me.sync(json!({"device_id": "phone", "atomic": true, "changes": [
        delete("cardio_sessions", &run["id"]).base(&me.row("cardio_sessions", &run["id"]).await.expect("it")["_version"]).json(),
        update("foods", &run["id"], json!({"calories": 1})).json(),
    ]}));
    assert_eq!(answer.await["results"][0]["status"], "rejected");
    assert_eq!(points(&me).await, before, "all or nothing");
}

#[tokio::test]
async fn points_that_move_away_in_the_same_request_are_kept() {
    let me = somebody();
    let (run, version) = run_of(&me).await;
    let other = row("cardio_sessions", json!({}));
    me.store("cardio_sessions", &other).await;
    let moves = me.rows("location_points").await.into_iter().map(|point| {
        update("location_points", &point["id"], json!({"cardio_session_id": other["id"]})).base(&point["_version"])
    });
    let changes: Vec<_> = [delete("cardio_sessions", &run["id"]).base(&version)].into_iter().chain(moves).collect();
    let answer = me.push(changes).await;
    assert!(answer["results"].as_array().expect("results").iter().all(|result| result["status"] == "applied"));
    assert_eq!(me.rows("location_points").await.len(), POINTS);
}

#[tokio::test]
async fn parts_come_back_where_a_rule_of_the_database_keeps_their_row() {
    let daemon = Daemon::start();
    let me = daemon.account();
    let (run, version) = run_of(&me).await;
    let (rows, lowest) = points(&me).await;
    let database = daemon.database();
    database.run(match &database {
        Database::Sqlite(_) => {
            "CREATE TRIGGER house_rule BEFORE DELETE ON cardio_sessions BEGIN SELECT RAISE(ABORT, 'hush'); END"
        }
        Database::Postgres(_) => {
            "CREATE FUNCTION public.house_rule() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'hush'; END $$; \
             CREATE TRIGGER house_rule BEFORE DELETE ON cardio_sessions FOR EACH ROW EXECUTE FUNCTION public.house_rule()"
        }
    });
    let mut device = me.device("tablet");
    device.sync().await;
    let answer = me.change(delete("cardio_sessions", &run["id"]).base(&version)).await;
    assert_eq!(answer["errors"][0]["code"], "constraint", "{answer}");
    let (after, above) = points(&me).await;
    assert!(after == rows, "all are there, as they were");
    if matches!(database, Database::Sqlite(_)) {
        assert!(above > lowest, "some had gone ahead");
    }
    device.sync().await;
    assert!(device.is_complete().await.expect("a digest"));
}
