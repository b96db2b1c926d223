//! A digest proves that a copy holds the rows that the server holds, in the same versions, whatever was done to them.

use std::collections::BTreeMap;

use ryzed_tests::rows::{exercise_set, food, food_entry, workout_exercise, workout_session};
use ryzed_tests::{Account, Daemon, Database, Device, Ran, delete, insert, update};
use serde_json::{Value, json};

fn run(daemon: &Daemon, sqlite: &str, postgres: &str) {
    match daemon.database() {
        database @ Database::Sqlite(_) => database.run(sqlite),
        database @ Database::Postgres(_) => database.run(postgres),
    };
}

fn id(row: &Value) -> &str {
    row["id"].as_str().expect("an id")
}

/// Over REST, in a sync, and over a socket it is the same, and that of the device's copy.
async fn is_of(me: &Account, device: &mut Device, after: &str) {
    device.sync().await;
    assert!(device.is_complete().await.expect("a digest"), "after {after}: {:?}", device.digest());
    let rest = me.api.get("/digest").await.ok()["digest"].clone();
    let live: BTreeMap<String, Value> = ryzed_tests::device::live(&rest);
    assert_eq!(live, ryzed_tests::device::live(&device.digest()), "after {after}");
    let mut socket = me.connect("listener").open().await;
    socket
        .send(json!({"type": "sync", "request_id": "1", "device_id": "listener", "digest": true, "limit": 1000}))
        .await;
    assert_eq!(socket.next("sync_response").await["digest"], rest, "after {after}");
    assert_eq!(me.api.get("/changes?digest=true").await.ok()["digest"], rest, "after {after}");
}

/// Each way in which rows come, change, go and change hands.
#[tokio::test]
async fn a_digest_is_of_what_is_there_whatever_was_done() {
    let mut daemon = Daemon::builder().alone().start();
    let (me, them) = (daemon.account(), daemon.account());
    let (mut phone, mut tablet) = (me.device("phone"), them.device("tablet"));
    let (meals, apple) = ([food_entry(json!({})), food_entry(json!({})), food_entry(json!({}))], food(json!({})));
    me.push(meals.iter().map(|meal| insert("food_entries", meal)).chain([insert("foods", &apple)])).await;
    them.store("food_entries", &food_entry(json!({}))).await;
    is_of(&me, &mut phone, "what was uploaded").await;

    me.push([
        update("food_entries", &meals[0]["id"], json!({"quantity": 7, "food_id": apple["id"]})),
        update("food_entries", &meals[0]["id"], json!({"quantity": 8})),
        delete("food_entries", &meals[1]["id"]),
    ])
    .await;
    is_of(&me, &mut phone, "edits and a deletion").await;
    me.push([delete("foods", &apple["id"]), insert("food_entries", &meals[1])]).await;
    is_of(&me, &mut phone, "a reference that became null, and a row that came back").await;

    let session = workout_session(json!({}));
    let exercise = workout_exercise(&session);
    let sets = [exercise_set(&exercise), exercise_set(&exercise)];
    me.push([
        insert("workout_sessions", &session),
        insert("workout_exercises", &exercise),
        insert("exercise_sets", &sets[0]),
        insert("exercise_sets", &sets[1]),
    ])
    .await;
    let (mine, theirs) = (me.person.id, them.person.id);
    let sql = [
        (
            "a row that changed hands",
            format!("UPDATE food_entries SET user_id = '{theirs}' WHERE id = '{}'", id(&meals[2])),
        ),
        (
            "a parent that took its rows along",
            format!("UPDATE workout_sessions SET user_id = '{theirs}' WHERE id = '{}'", id(&session)),
        ),
        ("an edit by SQL", "UPDATE exercise_sets SET reps = reps + 1".into()),
        (
            "a row of the catalogue",
            format!("INSERT INTO foods (id, name_en, name_fr, calories) VALUES ('{}', 'a', 'b', 1)", id(&apple)),
        ),
        ("a row that became somebody's", format!("UPDATE foods SET user_id = '{mine}' WHERE id = '{}'", id(&apple))),
        ("and the catalogue's again", format!("UPDATE foods SET user_id = NULL WHERE id = '{}'", id(&apple))),
        ("a cascade", format!("DELETE FROM workout_sessions WHERE id = '{}'", id(&session))),
        (
            "an id that was changed",
            format!("UPDATE food_entries SET id = '{}' WHERE id = '{}'", uuid::Uuid::new_v4(), id(&meals[0])),
        ),
    ];
    for (what, statement) in sql {
        daemon.database().run(&statement);
        is_of(&me, &mut phone, what).await;
        is_of(&them, &mut tablet, what).await;
    }
    run(
        &daemon,
        &format!("INSERT OR REPLACE INTO food_entries SELECT * FROM food_entries WHERE user_id = '{mine}'"),
        "TRUNCATE exercise_sets, food_entries",
    );
    is_of(&me, &mut phone, "the last statement").await;
    is_of(&them, &mut tablet, "the last statement").await;
    assert_eq!(Ran::of(&mut daemon.command(&["verify"])).code, 0);
    daemon.kill9();
    daemon.restart();
    let again = daemon.account_of(me.person.clone());
    assert!(
        ryzed_tests::device::live(&again.api.get("/digest").await.ok()["digest"])
            == ryzed_tests::device::live(&phone.digest())
    );
}

/// Rows and sums of versions are the same, and the copy is not.
#[tokio::test]
async fn rows_that_have_changed_places_are_noticed() {
    let daemon = Daemon::builder().alone().start();
    let me = daemon.account();
    let meals = [food_entry(json!({})), food_entry(json!({}))];
    me.push(meals.iter().map(|meal| insert("food_entries", meal))).await;
    let mut phone = me.device("phone");
    phone.sync().await;
    let before = me.api.get("/digest").await.ok()["digest"]["food_entries"].clone();
    let versions: Vec<i64> = meals
        .iter()
        .map(|meal| phone.rows["food_entries"][id(meal)]["_version"].as_i64().expect("a version"))
        .collect();

    let places = [(id(&meals[0]), 1_000_000), (id(&meals[1]), versions[0]), (id(&meals[0]), versions[1])];
    let index = match daemon.database() {
        Database::Sqlite(_) => "sync_changes",
        Database::Postgres(_) => "ryzed.changes",
    };
    for (row, version) in places {
        daemon.database().run(&format!("UPDATE {index} SET version = {version} WHERE row_id = '{row}'"));
    }
    let after = me.api.get("/digest").await.ok()["digest"]["food_entries"].clone();
    assert_eq!((&before["rows"], &before["version_sum"]), (&after["rows"], &after["version_sum"]));
    assert_ne!(before["hash"], after["hash"]);
    assert!(!phone.is_complete().await.expect("a digest"));
    let mut fresh = me.device("tablet");
    is_of(&me, &mut fresh, "two rows that changed places").await;
}

/// The sums beside the index may be damaged like anything else.
#[tokio::test]
async fn a_digest_that_says_something_else_than_the_index_is_found_and_counted_anew() {
    let daemon = Daemon::builder().alone().start();
    let me = daemon.account();
    me.store("food_entries", &food_entry(json!({}))).await;
    let mut phone = me.device("phone");
    is_of(&me, &mut phone, "an upload").await;
    run(
        &daemon,
        "UPDATE sync_sums SET hash_p = hash_p + 1 WHERE table_name = 'food_entries'; DELETE FROM sync_sums WHERE table_name = 'users'",
        "UPDATE ryzed.sums SET hash_p = hash_p + 1 WHERE table_name = 'food_entries'; DELETE FROM ryzed.sums WHERE table_name = 'users'",
    );
    assert!(!phone.is_complete().await.expect("a digest"));
    let verify = |arguments: &[&str]| Ran::of(&mut daemon.command(&[&["verify"], arguments].concat()));
    let found = verify(&[]);
    assert_eq!(found.code, 3, "{}", found.said());
    for table in ["food_entries", "users"] {
        let is_of_table =
            |line: &str| line.starts_with(table) && line.contains("digests say something else than the index");
        assert!(found.stdout.lines().any(is_of_table), "{}", found.said());
    }
    assert_eq!(verify(&["--table", "foods"]).code, 0);
    let mended = verify(&["--repair"]);
    assert!(mended.code == 0 && mended.stdout.contains("counted anew"), "{}", mended.said());
    assert_eq!(verify(&[]).code, 0);
    is_of(&me, &mut phone, "the repair").await;
}

/// The last release kept no sums: they are counted when its database is opened.
#[tokio::test]
async fn a_database_of_the_last_release_has_its_digests_counted() {
    let mut daemon = Daemon::builder().alone().start();
    let me = daemon.account();
    let meals = [food_entry(json!({})), food_entry(json!({})), food_entry(json!({}))];
    me.push(meals.iter().map(|meal| insert("food_entries", meal))).await;
    let mut phone = me.device("phone");
    is_of(&me, &mut phone, "an upload").await;
    daemon.terminate();
    assert_eq!(daemon.exit_code().await, 0);
    let (down, applied) = match daemon.database() {
        Database::Sqlite(_) => {
            (include_str!("../../migrations/sqlite/0018_digest_sync/down.sql"), "__diesel_schema_migrations")
        }
        Database::Postgres(_) => {
            (include_str!("../../migrations/postgres/0018_digest_sync/down.sql"), "ryzed.__diesel_schema_migrations")
        }
    };
    daemon.database().run(&format!(
        "{down}; DELETE FROM {applied} WHERE version = '0018'; DELETE FROM food_entries WHERE id = '{}'; \
         UPDATE food_entries SET quantity = 3",
        id(&meals[0])
    ));
    daemon.restart();
    let me = daemon.account_of(me.person);
    let mut phone = me.device("phone");
    is_of(&me, &mut phone, "the new release").await;
    me.apply(delete("food_entries", &meals[1]["id"])).await;
    is_of(&me, &mut phone, "a deletion").await;
    assert_eq!(Ran::of(&mut daemon.command(&["verify"])).code, 0);
}
