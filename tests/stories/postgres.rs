//! Promises of PostgreSQL alone: transactions from outside, notices, triggers a statement. The stories of `main.rs` run
//! there, too, when asked for.

use std::sync::LazyLock;
use std::time::Duration;

use ryzed_tests::postgres;
use ryzed_tests::rows::{exercise_set, food, food_entry, workout_exercise, workout_session};
use ryzed_tests::{Account, Daemon, Session, insert, upsert};
use serde_json::{Value, json};
use uuid::Uuid;

/// Without the sweep, only notices bring what was written outside.
pub(crate) static DEAF: LazyLock<Daemon> =
    LazyLock::new(|| Daemon::builder().on_postgres().env("RYZED_SYNC__SWEEP_SECONDS", 3600).start());

/// The daemon of these stories.
pub(crate) fn daemon() -> &'static Daemon {
    &DEAF
}

pub(crate) fn sql(statement: &str) -> String {
    DEAF.database().run(statement)
}

pub(crate) fn entry(me: &Account, quantity: u32) -> String {
    format!(
        "INSERT INTO food_entries (id, user_id, quantity, consumed_at) VALUES ('{}', '{}', {quantity}, now());",
        Uuid::new_v4(),
        me.person.id
    )
}

/// Runs statements beside the story.
fn meanwhile(statements: String) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || sql(&statements))
}

pub(crate) async fn met(daemon: &Daemon) -> Account {
    let me = daemon.account();
    me.push([]).await;
    me
}

#[tokio::test]
async fn an_open_transaction_reaches_nobody_and_a_committed_one_everybody_in_order() {
    let daemon = daemon();
    let me = met(daemon).await;
    let mut tablet = me.socket("tablet").await;
    let (first, second) = (entry(&me, 1), entry(&me, 2));
    let writing = Session::that(daemon.database_url(), &format!("BEGIN; {first}")).await;
    // A push of the same person waits for its end, and comes after it.
    let pushing = tokio::spawn({
        let me = me.clone();
        async move { me.store("food_entries", &food_entry(json!({"quantity": 3}))).await }
    });
    writing.is_waited_for_by(1).await;
    tablet.fence().await;
    assert!(tablet.received("database_change").is_empty(), "told before its commit");
    writing.run(&format!("{second} COMMIT")).await;
    let pushed = pushing.await.expect("a push");
    let mut last = 0;
    for quantity in 1..=2 {
        let message = tablet.next("database_change").await;
        assert_eq!(message["new_record"]["quantity"], quantity);
        assert!(message["version"].as_i64() > Some(last));
        last = message["version"].as_i64().expect("a version");
    }
    assert!(pushed.as_i64() > Some(last), "{pushed} is not after {last}");
}

#[tokio::test]
async fn a_rollback_reaches_nobody_and_takes_no_version() {
    let daemon = daemon();
    let me = met(daemon).await;
    let cursor = me.cursor().await;
    let mut tablet = me.socket("tablet").await;
    sql(&format!("BEGIN; {} ROLLBACK", entry(&me, 1)));
    tablet.expect_silence(500).await;
    assert_eq!(me.cursor().await, cursor);
    sql(&entry(&me, 2));
    assert_eq!(tablet.next("database_change").await["new_record"]["quantity"], 2);
}

#[tokio::test]
async fn what_was_missed_while_nobody_listened_is_delivered() {
    let daemon = Daemon::builder().on_postgres().env("RYZED_SYNC__SWEEP_SECONDS", 3600).start();
    let me = met(&daemon).await;
    let mut tablet = me.socket("tablet").await;
    for quantity in 1..=3 {
        let cut = daemon.database().run(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
             WHERE datname = current_database() AND query LIKE '%LISTEN%' AND pid <> pg_backend_pid()",
        );
        let daemons = if postgres::is_pair() { "2" } else { "1" };
        assert_eq!(cut, daemons, "one connection of each daemon listens");
        daemon.database().run(&entry(&me, quantity));
        assert_eq!(tablet.next("database_change").await["new_record"]["quantity"], quantity);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

#[tokio::test]
async fn pushes_go_on_when_every_connection_was_cut() {
    let daemon = Daemon::builder().on_postgres().start();
    let me = met(&daemon).await;
    for _ in 0..3 {
        daemon.database().run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        );
        me.store("food_entries", &food_entry(json!({}))).await;
    }
    assert_eq!(me.rows("food_entries").await.len(), 3);
}

#[tokio::test]
async fn only_writes_from_outside_give_notice() {
    // With a database of its own, since notices do not tell whose they are.
    let daemon = Daemon::builder().on_postgres().start();
    let me = met(&daemon).await;
    let mut listening = Session::that(daemon.database_url(), "LISTEN ryzed; LISTEN story").await;
    let row = food_entry(json!({}));
    me.store("food_entries", &row).await;
    me.push([upsert("food_entries", &row)]).await;
    let mut tablet = me.socket("tablet").await;
    tablet.send(insert("food_entries", &food_entry(json!({}))).message()).await;
    tablet.next("change_result").await;
    // Notices come in the order of the commits.
    daemon.database().run("NOTIFY story");
    assert_eq!(listening.notice().await, "story", "the daemon's own pushes give notice");
    daemon.database().run(&format!("{} NOTIFY story", entry(&me, 1)));
    assert_eq!(listening.notice().await, "ryzed", "writes from outside give none");
}

#[tokio::test]
async fn ten_thousand_rows_in_a_statement_take_one_step_of_the_scope_and_little_longer() {
    let daemon = Daemon::builder().on_postgres().start();
    let me = met(&daemon).await;
    let rows = format!(
        "INSERT INTO food_entries (id, user_id, quantity, consumed_at) \
         SELECT gen_random_uuid(), '{}', i, now() FROM generate_series(1, 10000) i;",
        me.person.id
    );
    let steps = daemon
        .database()
        .run(&format!("BEGIN; {rows} SELECT pg_stat_get_xact_tuples_updated('ryzed.scopes'::regclass); ROLLBACK"));
    assert_eq!(steps, "1");
    let timed = |before: &str| -> f64 {
        let took = daemon.database().run(&format!(
            "BEGIN; {before} SELECT clock_timestamp() AS began \\gset\n {rows} \
             SELECT extract(epoch FROM clock_timestamp() - :'began'::timestamptz); ROLLBACK"
        ));
        took.parse::<f64>().unwrap_or_else(|_| panic!("no time: {took}"))
    };
    // One after the other, so that both meet the same machine; the least of each is the least disturbed.
    let runs: Vec<(f64, f64)> =
        (0..5).map(|_| (timed("ALTER TABLE food_entries DISABLE TRIGGER USER;"), timed(""))).collect();
    let least = |times: fn(&(f64, f64)) -> f64| runs.iter().map(times).fold(f64::INFINITY, f64::min);
    let (bare, kept) = (least(|run| run.0), least(|run| run.1));
    let each: Vec<String> =
        runs.iter().map(|(bare, kept)| format!("{bare:.3} → {kept:.3} s, {:.1}×", kept / bare)).collect();
    println!("10,000 rows, bare → with triggers: {}; the least of each {:.1}×", each.join("; "), kept / bare);
    assert!(kept <= 5.0 * bare, "{kept:.3} s instead of {bare:.3} s");
}

#[tokio::test]
async fn truncated_tables_leave_tombstones() {
    let daemon = Daemon::builder().on_postgres().start();
    let me = met(&daemon).await;
    let row = food_entry(json!({}));
    me.store("food_entries", &row).await;
    let cursor = me.cursor().await;
    daemon.database().run("TRUNCATE food_entries");
    let news = me.pull(json!({"cursor": cursor})).await;
    assert_eq!(news["deletions"]["food_entries"][0]["id"], row["id"], "{news}");
}

#[tokio::test]
async fn a_parent_that_is_deleted_between_the_check_and_the_write_is_an_unknown_reference() {
    // With a daemon of its own, since everybody hears of the catalogue.
    let daemon = Daemon::builder().on_postgres().start();
    let me = met(&daemon).await;
    let food = food(json!({}));
    me.store("foods", &food).await;
    let id = food["id"].as_str().expect("an id");
    // Catalogue rows go without the person's scope, so nothing but the row itself stands between the two.
    daemon.database().run(&format!("UPDATE foods SET user_id = NULL WHERE id = '{id}'"));
    let delete = format!("BEGIN; DELETE FROM foods WHERE id = '{id}'");
    let deleting = Session::that(daemon.database_url(), &delete).await;
    let change = insert("food_entries", &food_entry(json!({"food_id": id})));
    let pushing = tokio::spawn(async move { me.change(change).await });
    deleting.is_waited_for_by(1).await;
    deleting.run("COMMIT").await;
    let result = pushing.await.expect("a push");
    assert_eq!(result["status"], "rejected", "{result}");
    assert_eq!(result["errors"][0]["code"], "invalid_reference", "{result}");
    assert_eq!(result["errors"][0]["field"], "food_id", "{result}");
}

#[tokio::test]
async fn a_child_that_is_written_while_its_parent_changes_hands_goes_along() {
    let daemon = daemon();
    for write in ["UPDATE exercise_sets SET reps = reps + 1 WHERE id = ", "DELETE FROM exercise_sets WHERE id = "] {
        let (from, to) = (met(daemon).await, met(daemon).await);
        let session = workout_session(json!({}));
        let exercise = workout_exercise(&session);
        let set = exercise_set(&exercise);
        from.push([
            insert("workout_sessions", &session),
            insert("workout_exercises", &exercise),
            insert("exercise_sets", &set),
        ])
        .await;
        let id = |row: &Value| row["id"].as_str().expect("an id").to_owned();
        let (to_id, session_id) = (to.person.id, id(&session));
        let moves = format!("BEGIN; UPDATE workout_sessions SET user_id = '{to_id}' WHERE id = '{session_id}'");
        let moving = Session::that(daemon.database_url(), &moves).await;
        // It waits for the scope, and then has to look again where its row is.
        let writing = meanwhile(format!("{write}'{}'", id(&set)));
        moving.is_waited_for_by(1).await;
        moving.run("COMMIT").await;
        writing.join().expect("psql");
        assert_eq!(from.row("exercise_sets", &set["id"]).await, None, "after {write}");
        let there = to.row("exercise_sets", &set["id"]).await.map(|row| row["reps"].clone());
        assert_eq!(there, write.starts_with("UPDATE").then(|| json!(9)), "after {write}");
        for person in [&from, &to] {
            let mut device = person.device("tablet");
            device.sync().await;
            assert!(device.is_complete().await.expect("a digest"), "after {write}");
        }
    }
}

/// The daemon reads back what it has written; what a trigger wrote beside it goes to the other devices just the same.
#[tokio::test]
async fn what_a_trigger_does_to_another_table_reaches_the_other_devices_with_its_row() {
    let daemon = Daemon::builder().on_postgres().env("RYZED_SYNC__SWEEP_SECONDS", 3600).start();
    let me = met(&daemon).await;
    let session = workout_session(json!({"name": "Legs"}));
    me.store("workout_sessions", &session).await;
    daemon.database().run(
        "CREATE FUNCTION public.rename() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             UPDATE public.workout_sessions SET name = 'After ' || NEW.unit WHERE user_id = NEW.user_id; RETURN NEW; END $$; \
         CREATE TRIGGER rename AFTER INSERT ON public.food_entries FOR EACH ROW EXECUTE FUNCTION public.rename()",
    );
    let mut tablet = me.socket("tablet").await;
    me.store("food_entries", &food_entry(json!({"unit": "plates"}))).await;
    let (mut seen, mut last) = (Vec::new(), 0);
    for _ in 0..2 {
        let message = tablet.next("data_updated").await;
        seen.push((message["table"].clone(), message["data"]["unit"].clone(), message["data"]["name"].clone()));
        assert!(message["version"].as_i64() > Some(last), "{message}");
        last = message["version"].as_i64().expect("a version");
    }
    seen.sort_by_key(|(table, ..)| table.to_string());
    let expected = [
        (json!("food_entries"), json!("plates"), Value::Null),
        (json!("workout_sessions"), Value::Null, json!("After plates")),
    ];
    assert_eq!(seen, expected);
}
