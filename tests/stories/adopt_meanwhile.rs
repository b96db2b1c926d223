//! `ryzed adopt` while the application goes on: long transactions, writers, a kill in the middle.

use std::process::Child;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ryzed_tests::postgres::{self, dump};
use ryzed_tests::{Application, Daemon};
use serde_json::{Value, json};

use crate::adopt::adopt;

/// How long something may take that has to happen.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "{what} does not come");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// SQL that runs beside the story, with its outcome.
pub(crate) fn beside(app: &Application, statements: &str) -> JoinHandle<Result<String, String>> {
    let (url, statements) = (app.url.clone(), statements.to_owned());
    std::thread::spawn(move || postgres::psql(&url, &statements))
}

/// Waits until a command of ryzed, or one of the application's statements, says so in `pg_stat_activity`.
pub(crate) fn wait_for_session(app: &Application, condition: &str) {
    let sql = format!("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND {condition}");
    wait_until(condition, || app.sql(&sql) != "0");
}

/// Where index and tables contradict: rows without an entry, entries without a row, rows with two, entries of a wrong scope.
pub(crate) fn contradictions(app: &Application) -> String {
    let relations = app.sql("SELECT table_name || ' ' || relation FROM ryzed.tables ORDER BY 1");
    let checks: Vec<String> = relations
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(table, relation)| {
            format!(
                "SELECT '{table}' || ' ' || coalesce(r.id, c.row_id) || ' ' || coalesce(c.scope, 'no entry') FROM {relation} r \
                 FULL JOIN (SELECT * FROM ryzed.changes WHERE table_name = '{table}' AND operation <> 'DELETE') c ON c.row_id = r.id \
                 WHERE r.id IS NULL OR c.scope IS DISTINCT FROM ryzed.owner_of('{table}', r.id)"
            )
        })
        .collect();
    app.sql(&format!("{} LIMIT 5", checks.join(" UNION ALL ")))
}

/// What the tables hold of a person, under the names of the wire.
fn tables_of(app: &Application, number: u32) -> Vec<(&'static str, Vec<Value>)> {
    let me = app.user(number);
    let time = |column: &str| format!("to_char({column} AT TIME ZONE 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')");
    let (start, eaten) = (time("start_time"), time("eaten_at"));
    let own = format!("(SELECT id FROM app.sessions WHERE user_id = '{me}')");
    [
        ("users", format!("SELECT id, email, full_name AS name, avatar_url FROM profiles WHERE id = '{me}'")),
        (
            "foods",
            format!(
                "SELECT id, created_by AS user_id, name_en, source, stock, slug, trim_scale(score) AS score FROM foods \
                 WHERE created_by = '{me}' OR created_by IS NULL"
            ),
        ),
        (
            "food_entries",
            format!(
                "SELECT id, user_id, food_id, trim_scale(quantity) AS quantity, meal_type, {eaten} AS consumed_at, note \
                 FROM food_entries WHERE user_id = '{me}'"
            ),
        ),
        (
            "workout_sessions",
            format!("SELECT id, user_id, name, {start} AS start_time, mood FROM app.sessions WHERE user_id = '{me}'"),
        ),
        (
            "workout_exercises",
            format!("SELECT id, workout_id AS session_id, position AS order_index FROM workout_exercises WHERE workout_id IN {own}"),
        ),
        (
            "exercise_sets",
            format!(
                "SELECT id, workout_exercise_id, reps, weight, rpe FROM exercise_sets WHERE workout_exercise_id IN \
                 (SELECT id FROM workout_exercises WHERE workout_id IN {own})"
            ),
        ),
    ]
    .map(|(table, query)| (table, sorted(app.json(&query))))
    .into()
}

fn sorted(mut rows: Vec<Value>) -> Vec<Value> {
    rows.sort_by_key(|row| row["id"].to_string());
    rows
}

/// A pull over the wire holds what the tables hold, no more and no less.
async fn assert_pull_equals_tables(app: &Application, daemon: &Daemon, number: u32) {
    let pulled = app.account(daemon, number).pull(json!({"device_id": "new"})).await;
    for (table, rows) in tables_of(app, number) {
        let got = sorted(pulled["changes"][table].as_array().cloned().unwrap_or_default());
        assert_eq!(got.len(), rows.len(), "{table} of user {number}");
        for (got, row) in got.iter().zip(&rows) {
            for (name, value) in row.as_object().expect("a row") {
                assert_eq!(got[name], *value, "{table}.{name} of user {number}");
            }
        }
    }
}

#[test]
fn nobody_waits_behind_it_for_a_long_transaction() {
    let app = Application::with_people(1);
    app.sql("CREATE TABLE hurry (n int)");
    let slow = beside(&app, "BEGIN; UPDATE foods SET stock = 2; SELECT pg_sleep(4); COMMIT");
    wait_for_session(&app, "query LIKE '%pg_sleep(4)%' AND wait_event = 'PgSleep'");
    let mut adopting = app.start(&["adopt"]);
    wait_until("a word about the wait", || {
        app.has_said().contains("waiting for transactions of others (the oldest: pid")
    });
    for _ in 0..10 {
        let began = Instant::now();
        app.sql("UPDATE food_entries SET note = 'quick' WHERE id = md5('entry 1')::uuid; SELECT count(*) FROM foods");
        assert!(began.elapsed() < Duration::from_secs(1), "the application waited for {:?}", began.elapsed());
    }
    assert!(slow.join().expect("psql").is_ok());
    assert!(adopting.wait().expect("an end").success(), "{}", app.has_said());
    assert_eq!(contradictions(&app), "");
}

#[tokio::test]
async fn an_adoption_that_was_killed_goes_on_and_is_not_served_before() {
    let app = Application::with_people(40);
    let mut adopting = app.start(&["adopt"]);
    wait_until("the first table", || app.has_said().contains("foods: "));
    adopting.kill().expect("SIGKILL");
    adopting.wait().expect("an end");
    assert_eq!(app.sql("SELECT count(*) > 0 FROM ryzed.entering WHERE NOT done"), "t", "it was killed too late");
    let ran = app.ryzed(&["serve"]);
    assert!(ran.code == 2 && ran.stderr.contains("not finished: run `ryzed adopt` again"), "{}", ran.said());
    // The application goes on in between, and so do the triggers.
    app.sql("DELETE FROM app.sessions WHERE id = md5('session 3')::uuid; UPDATE food_entries SET user_id = md5('user 2')::uuid \
             WHERE id IN (SELECT id FROM food_entries ORDER BY id LIMIT 50)");
    let entered = app.ryzed(&["adopt"]).ok();
    assert!(!entered.contains("All rows were entered before."), "{entered}");
    assert_eq!(contradictions(&app), "");
    let daemon = app.daemon().start();
    assert_pull_equals_tables(&app, &daemon, 2).await;
    drop(daemon);
    assert!(app.ryzed(&["adopt", "--undo"]).ok().contains("as if it had never"));
}

#[test]
fn a_transaction_that_cant_see_what_was_entered_has_to_try_again() {
    let app = Application::with_people(1);
    let mut hold = beside_holding(&app);
    let old = beside(
        &app,
        "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT pg_advisory_xact_lock(1); \
         DELETE FROM food_entries WHERE id = md5('entry 1')::uuid; COMMIT",
    );
    wait_for_session(&app, "wait_event_type = 'Lock' AND query LIKE '%pg_advisory_xact_lock(1)%'");
    adopt(&app);
    hold.release();
    let error = old.join().expect("psql").expect_err("a deletion that leaves no trace");
    assert!(error.contains("could not serialize access"), "{error}");
    app.sql("BEGIN ISOLATION LEVEL REPEATABLE READ; DELETE FROM food_entries WHERE id = md5('entry 1')::uuid; COMMIT");
    assert_eq!(contradictions(&app), "");
}

/// Holds an advisory lock until it is told to let go.
fn beside_holding(app: &Application) -> Holding {
    let holder = beside(app, "SELECT pg_advisory_lock(1); SELECT pg_sleep(600)");
    wait_for_session(app, "query LIKE '%pg_sleep(600)%' AND wait_event = 'PgSleep'");
    Holding { url: app.url.clone(), holder: Some(holder) }
}

struct Holding {
    url: String,
    holder: Option<JoinHandle<Result<String, String>>>,
}

impl Holding {
    fn release(&mut self) {
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() \
                   AND query LIKE '%pg_sleep(600)%' AND pid <> pg_backend_pid()";
        postgres::psql(&self.url, end).expect("the holder ends");
        let _ = self.holder.take().expect("a holder").join();
    }
}

/// Writers of `writer.sql`; any error of theirs fails the story.
struct Writers<'a> {
    app: &'a Application,
    running: Vec<JoinHandle<Result<String, String>>>,
}

impl<'a> Writers<'a> {
    fn start(app: &'a Application, people: u32) -> Self {
        let start = |writer| {
            let url = app.url.clone();
            std::thread::spawn(move || {
                postgres::psql_file(&url, "writer.sql", &[("writer", writer), ("scale", people)])
            })
        };
        Self { app, running: vec![start(1), start(2)] }
    }

    fn done(&self) -> u32 {
        self.app.sql("SELECT coalesce(sum(done), 0) FROM app.writers").parse().expect("a number")
    }

    /// Transactions a second, as long as `during` goes on.
    fn rate(&self, during: impl FnOnce()) -> f64 {
        let (began, before) = (Instant::now(), self.done());
        during();
        f64::from(self.done() - before) / began.elapsed().as_secs_f64()
    }

    fn stop(self) {
        self.app.sql("UPDATE app.control SET stop = TRUE");
        for writer in self.running {
            writer.join().expect("psql").expect("the application meets no error");
        }
    }
}

fn ended(mut child: Child) -> bool {
    child.wait().expect("an end").success()
}

#[tokio::test]
async fn two_hundred_thousand_rows_are_adopted_while_the_application_goes_on() {
    const PEOPLE: u32 = 200;
    let app = Application::with_people(PEOPLE);
    let schema = dump(&app.url, &["--schema-only"]);
    let writers = Writers::start(&app, PEOPLE);
    wait_until("the writers' work", || writers.done() > 200);
    let before = writers.rate(|| std::thread::sleep(Duration::from_secs(2)));
    let began = Instant::now();
    let during = writers.rate(|| assert!(ended(app.start(&["adopt"])), "{}", app.has_said()));
    let took = began.elapsed().as_secs_f64();
    let after = writers.rate(|| std::thread::sleep(Duration::from_secs(2)));
    assert_eq!(app.sql("SELECT state FROM ryzed.adopted"), "complete");
    println!(
        "200,000 rows adopted in {took:.1} s; the application did {before:.0}/s before, {during:.0}/s meanwhile, {after:.0}/s after"
    );

    let daemon = app.daemon().start();
    let device = app.account(&daemon, 3);
    device.pull(json!({"device_id": "early"})).await;
    writers.stop();
    assert_eq!(contradictions(&app), "");
    for number in [1, 2, 3, 77, PEOPLE] {
        assert_pull_equals_tables(&app, &daemon, number).await;
    }
    drop(daemon);

    let data = dump(&app.url, &["--data-only", "--exclude-schema=ryzed"]);
    assert!(app.ryzed(&["adopt", "--undo"]).ok().contains("as if it had never been adopted"));
    assert!(dump(&app.url, &["--data-only"]) == data, "the rows are others than before");
    assert_eq!(dump(&app.url, &["--schema-only"]), schema);
}
