//! Between a change of the layout and the moment at which the daemon has noticed it by itself: what is uploaded is neither lost nor
//! refused for good, transactions that began before see to it as well, and every instance finds out.

use ryzed_tests::postgres::new_database;
use ryzed_tests::{Application, Session, insert};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::adopt_meanwhile::contradictions;
use crate::ddl_adopted::{Scene, assert_complete, entry, food};

/// Changes of an application, the statements that put them back, and the tables that stop.
const CHANGES: [(&str, &str, &str); 9] = [
    ("ALTER TABLE foods RENAME created_by TO owner_id", "ALTER TABLE foods RENAME owner_id TO created_by", "foods"),
    ("ALTER TABLE foods RENAME id TO key", "ALTER TABLE foods RENAME key TO id", "foods"),
    ("ALTER TABLE foods RENAME name_en TO title", "ALTER TABLE foods RENAME title TO name_en", "foods"),
    ("ALTER TABLE foods RENAME TO dishes", "ALTER TABLE dishes RENAME TO foods", "foods"),
    (
        "ALTER TABLE foods RENAME TO dishes; CREATE VIEW foods AS SELECT * FROM dishes",
        "DROP VIEW foods; ALTER TABLE dishes RENAME TO foods",
        "foods",
    ),
    ("ALTER TABLE foods DISABLE ROW LEVEL SECURITY", "ALTER TABLE foods ENABLE ROW LEVEL SECURITY", "foods"),
    (
        "REVOKE INSERT ON foods FROM ryzed_daemon, authenticated",
        "GRANT INSERT ON foods TO ryzed_daemon, authenticated",
        "foods",
    ),
    (
        "REVOKE USAGE ON SCHEMA app FROM ryzed_daemon, authenticated",
        "GRANT USAGE ON SCHEMA app TO ryzed_daemon, authenticated",
        "exercise_sets, workout_exercises, workout_sessions",
    ),
    (
        "BEGIN; ALTER TABLE foods RENAME TO dishes; CREATE TABLE foods (LIKE dishes INCLUDING ALL); COMMIT",
        "DROP TABLE foods; ALTER TABLE dishes RENAME TO foods",
        "foods",
    ),
];

/// Sends these changes from a device, beside one that has nothing to do with them; their results.
async fn upload(scene: &Scene, changes: &[Value]) -> Vec<Value> {
    let changes: Vec<Value> =
        [insert("food_entries", &entry()).json()].into_iter().chain(changes.iter().cloned()).collect();
    let answer = scene.owner.sync(json!({"device_id": "mine", "tables": ["users"], "changes": changes})).await;
    let results = answer["results"].as_array().expect("results");
    assert!(results.iter().all(|result| result["status"] == "applied"), "{answer}");
    results[1..].to_vec()
}

#[tokio::test]
async fn what_is_uploaded_before_anybody_has_noticed_waits_or_is_written_and_is_not_refused() {
    let scene = Scene::new();
    let mut mine = scene.owner.device("mine");
    for (change, back, stopped) in CHANGES {
        let session = json!({"id": Uuid::new_v4(), "name": "Legs", "start_time": "2026-01-05T18:00:00Z"});
        let made = [("foods", food()), ("workout_sessions", session)];
        let changes = [0, 1].map(|which| insert(made[which].0, &made[which].1).json());
        scene.app.sql(change);
        upload(&scene, &changes).await;
        scene.until_stopped(stopped).await;
        let results = upload(&scene, &changes).await;
        assert!(results.len() <= 1 || change.contains("ROW LEVEL"), "{change}: {results:?}");
        scene.app.sql(back);
        scene.until_stopped("").await;
        assert_eq!(upload(&scene, &changes).await.len(), 2, "{change}");
        for (table, row) in made {
            assert!(scene.owner.row(table, &row["id"]).await.is_some(), "{change}");
        }
    }
    assert_eq!(contradictions(&scene.app), "");
    assert_complete(&mut mine).await;
    assert!(!scene.daemon.log().contains("ERROR"), "{}", scene.daemon.log());
}

#[tokio::test]
async fn a_transaction_that_sees_an_older_catalogue_books_nothing_wrong() {
    let mut scene = Scene::new();
    let mut theirs = scene.other.device("theirs");
    theirs.sync().await;
    let me = scene.owner.person.id;
    let session =
        Session::that(&scene.app.url, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM comments").await;
    scene.app.sql("ALTER TABLE foods RENAME created_by TO owner_id; ALTER TABLE foods ADD created_by uuid");
    session
        .run(&format!(
            "INSERT INTO foods (owner_id, name_en, calories) VALUES ('{me}', 'Private', 1); \
             UPDATE foods SET name_en = 'Private ' || name_en WHERE owner_id = '{me}'; COMMIT"
        ))
        .await;
    let news = scene.other.pull(json!({"cursor": theirs.cursor})).await;
    assert!(!news.to_string().contains("Private"), "{news}");
    scene.until_stopped("foods").await;
    scene.app.sql("ALTER TABLE foods DROP created_by; ALTER TABLE foods RENAME owner_id TO created_by");
    scene.adopt_again(&[]).await;
    scene.until_stopped("").await;
    assert_eq!(contradictions(&scene.app), "");
    assert_complete(&mut theirs).await;
    assert!(theirs.resets == 0 && !json!(theirs.rows).to_string().contains("Private"));
}

#[tokio::test]
async fn every_instance_finds_out_and_goes_on() {
    let scene = Scene::new();
    let second = scene.app.daemon().start();
    let (here, there) = (&scene.owner, scene.app.account(&second, 1));
    let mut tablet = there.socket("tablet").await;
    let ready = async |wanted: &str| {
        let began = std::time::Instant::now();
        for account in [here, &there] {
            while account.api.get("//readyz").await.text() != wanted {
                assert!(began.elapsed() < std::time::Duration::from_secs(20), "{wanted:?} does not come");
            }
        }
    };
    scene.app.sql("ALTER TABLE foods RENAME created_by TO owner_id");
    ready("ready\nstopped: foods; the log says why\n").await;
    assert_eq!(tablet.next("error").await["code"], "table_stopped");
    let made = food();
    let held = json!({"device_id": "phone", "tables": ["foods"], "changes": [insert("foods", &made).json()]});
    for account in [here, &there] {
        account.api.post("/sync", &held).await.problem(&[503]);
    }
    // Nothing was written to it meanwhile, so putting it back is enough.
    scene.app.sql("ALTER TABLE foods RENAME owner_id TO created_by");
    ready("ready\n").await;
    here.api.post("/sync", &held).await.ok();
    assert_eq!(tablet.next_where("data_updated", |told| told["table"] == "foods").await["data"]["id"], made["id"]);
    assert!(there.row("foods", &made["id"]).await.is_some());
}

/// Row level security is off: nothing but the daemon's statements keeps people apart.
const OPEN: &str = "CREATE TABLE users (id uuid PRIMARY KEY, name text);
    INSERT INTO users SELECT md5('user ' || i)::uuid, 'Somebody' FROM generate_series(1, 2) i;
    CREATE TABLE foods (id uuid PRIMARY KEY, user_id uuid, editor uuid, name_en text NOT NULL);
    INSERT INTO foods SELECT md5('food ' || i)::uuid, CASE WHEN i > 4 THEN md5('user ' || i % 2 + 1)::uuid END, NULL, 'Food ' || i
        FROM generate_series(1, 12) i;
    CREATE TABLE workout_sessions (id uuid PRIMARY KEY, user_id uuid NOT NULL, coach uuid, name text NOT NULL);
    INSERT INTO workout_sessions SELECT md5('session ' || i)::uuid, md5('user ' || i)::uuid, md5('user ' || i)::uuid, 'Legs' FROM generate_series(1, 2) i;
    CREATE TABLE workout_exercises (id uuid PRIMARY KEY, session_id uuid NOT NULL REFERENCES workout_sessions ON DELETE CASCADE, notes text);
    INSERT INTO workout_exercises SELECT md5('exercise ' || i)::uuid, md5('session ' || i)::uuid, 'Squats' FROM generate_series(1, 2) i";

#[tokio::test]
async fn what_was_written_before_anybody_has_looked_is_shown_to_nobody() {
    let scene = Scene::made(Application::made_by(new_database(), OPEN, ""));
    let (me, them) = (scene.owner.person.id, scene.other.person.id);
    let mut theirs = scene.other.device("theirs");
    theirs.sync().await;
    let mut tablet = scene.other.socket("tablet").await;
    // Nobody can look as long as this is held, and the names of the columns give nothing away.
    let blind = Session::that(&scene.app.url, "BEGIN; LOCK TABLE ryzed.passed IN ACCESS EXCLUSIVE MODE").await;
    let swap = |table: &str, other: &str| {
        format!(
            "ALTER TABLE {table} RENAME user_id TO one; ALTER TABLE {table} RENAME {other} TO user_id; ALTER TABLE {table} RENAME one TO {other}"
        )
    };
    scene.app.sql(&format!(
        "BEGIN; {}; UPDATE foods SET editor = '{me}', name_en = 'Private'; COMMIT",
        swap("foods", "editor")
    ));
    scene.app.sql(&format!(
        "BEGIN; {}; UPDATE workout_sessions SET coach = '{me}' WHERE coach = '{them}'; UPDATE workout_exercises SET notes = 'Private'; COMMIT",
        swap("workout_sessions", "coach")
    ));
    for table in ["foods", "workout_exercises"] {
        scene.other.api.get(&format!("/changes?tables={table}")).await.problem(&[503]);
        scene.other.api.get(&format!("/digest?tables={table}")).await.problem(&[503]);
    }
    scene.other.api.get("/export").await.problem(&[503]);
    let held = json!({"device_id": "phone", "tables": ["users"], "changes": [insert("foods", &json!({"id": Uuid::new_v4(), "name_en": "Quince"})).json()]});
    scene.other.api.post("/sync", &held).await.problem(&[503]);

    blind.run("COMMIT").await;
    scene.until_stopped("foods, workout_exercises, workout_sessions").await;
    assert_eq!(tablet.next("error").await["code"], "table_stopped");
    let whole = scene.other.pull(json!({})).await;
    let caught = json!(tablet.received("database_change"));
    for seen in [whole, caught] {
        assert!(!seen.to_string().contains("Private"), "{seen}");
    }
}
