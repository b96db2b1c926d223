//! Faults of the database's files or disk: the disk is full, or can only be read. Uploads wait, reading goes on, and
//! the operator is told what it is.

use hyper::Method;
use ryzed_tests::foreground::Foreground;
use ryzed_tests::rows::{food_entry, workout_session};
use ryzed_tests::{Account, Daemon, insert};
use serde_json::{Value, json};

/// Uploads until one is refused; what was acknowledged before, and the refusal.
async fn until_refused(me: &Account) -> (Vec<Value>, Value) {
    let mut acknowledged = Vec::new();
    for _ in 0..2000 {
        let session = workout_session(json!({"name": "x".repeat(400)}));
        let body = json!({"device_id": "phone", "tables": ["users"], "changes": [insert("workout_sessions", &session).json()]});
        let answer = me.api.post("/sync", &body).await;
        if answer.status != 200 {
            return (acknowledged, answer.problem(&[503]));
        }
        acknowledged.push(session["id"].clone());
    }
    panic!("the disk is never full");
}

async fn readiness(me: &Account) -> (u16, String) {
    let answer = me.api.raw(Method::GET, "//readyz", &[], "").await.expect("an answer");
    (answer.status, answer.text())
}

#[tokio::test]
async fn a_full_disk_is_named_by_log_and_readiness_and_loses_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut daemon = Foreground::on_small_disk(folder.path(), 5 << 10);
    let me = daemon.account();
    let first = workout_session(json!({}));
    me.store("workout_sessions", &first).await;
    // Another program takes what is left of the disk.
    let filler = daemon.disk(folder.path()).join("filler");
    let mut bytes = vec![0; 4 << 20];
    while std::fs::write(&filler, &bytes).is_err() && bytes.len() > 4096 {
        bytes.truncate(bytes.len() - 4096);
    }
    let (mut acknowledged, _) = until_refused(&me).await;
    acknowledged.push(first["id"].clone());
    let line = daemon.logged(&["ERROR", "the disk of the database is full", "ryzed.db", "bytes free"]).await;
    let (status, body) = readiness(&me).await;
    assert!(status == 503 && body.contains("the disk of the database is full"), "{status} {body}; {line}");
    // Reading goes on, and that nobody uploads makes no room.
    let read = me.api.get("/changes?tables=workout_sessions").await.ok();
    assert_eq!(read["changes"]["workout_sessions"].as_array().map(Vec::len), Some(acknowledged.len()));
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert_eq!(readiness(&me).await.0, 503);

    std::fs::remove_file(&filler).expect("the filler goes");
    daemon.logged(&["the database serves again"]).await;
    assert_eq!(readiness(&me).await.0, 200);
    me.apply(insert("food_entries", &food_entry(json!({})))).await;
    let stored = me.rows("workout_sessions").await;
    for id in acknowledged {
        assert!(stored.iter().any(|row| row["id"] == id), "{id} was acknowledged and is gone");
    }
    assert_eq!(daemon.stop().await, 0);
}

#[tokio::test]
async fn a_limit_of_file_sizes_is_an_error_of_the_disk_and_not_the_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut daemon = Foreground::start(folder.path(), &[]);
    let me = daemon.account();
    me.push([]).await;
    daemon.limit_file_size(1 << 20);
    let (acknowledged, _) = until_refused(&me).await;
    daemon.logged(&["ERROR", "the disk of the database can't be read or written"]).await;
    assert_eq!(readiness(&me).await.0, 503);
    daemon.limit_file_size(1 << 30);
    daemon.logged(&["the database serves again"]).await;
    assert_eq!(me.rows("workout_sessions").await.len(), acknowledged.len());
    me.apply(insert("food_entries", &food_entry(json!({})))).await;
    assert_eq!(daemon.stop().await, 0);
}

#[tokio::test]
async fn a_full_disk_of_postgresql_is_named_by_log_and_readiness() {
    let daemon = Daemon::builder().alone().on_postgres().start();
    let me = daemon.account();
    me.push([]).await;
    // What the server says then, in its own words.
    daemon.database().run(
        "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION \
         'could not extend file \"base/5/16384\": No space left on device' USING ERRCODE = 'disk_full'; END $$; \
         CREATE TRIGGER full_disk BEFORE INSERT ON food_entries FOR EACH ROW EXECUTE FUNCTION full_disk()",
    );
    let body = json!({"device_id": "phone", "changes": [insert("food_entries", &food_entry(json!({}))).json()]});
    me.api.post("/sync", &body).await.problem(&[503]);
    daemon.logged(&["ERROR", "the disk of the database is full"]).await;
    let (status, body) = readiness(&me).await;
    assert!(status == 503 && body.contains("the disk of the database is full"), "{status} {body}");
    daemon.database().run("DROP TRIGGER full_disk ON food_entries");
    me.apply(insert("food_entries", &food_entry(json!({})))).await;
    assert_eq!(readiness(&me).await.0, 200);
}
