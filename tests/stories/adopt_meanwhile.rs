//! `ryzed adopt` while the application goes on: long transactions, writers, a kill in the middle.

use std::collections::BTreeMap;
use std::process::Child;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ryzed_tests::postgres::{self, dump};
use ryzed_tests::{Application, Daemon, Device};
use serde_json::Value;
use uuid::Uuid;

use crate::adopt::adopt;

/// The time that an expected event may take.
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

/// The contradictions of index and tables: rows without an entry, entries without a row, rows with two, entries of a
/// wrong scope.
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

/// Rows by table and id.
type Rows = BTreeMap<String, BTreeMap<String, Value>>;

/// The contents of the tables, in all columns that travel under the names of the wire, by scope. The index says which
/// rows are whose, so it has to be right before.
fn tables_of(app: &Application) -> BTreeMap<String, Rows> {
    let layout: Value = serde_json::from_str(&app.sql("SELECT layout FROM ryzed.adopted")).expect("the layout");
    let home: Value =
        serde_json::from_str(&app.sql("SELECT json_object_agg(table_name, home) FROM ryzed.kept")).expect("columns");
    let mut held: BTreeMap<String, Rows> = BTreeMap::new();
    for place in layout["tables"].as_array().expect("tables") {
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let home = home[text(&place["table"])].as_array().expect("names");
        let travelling = place["columns"].as_array().expect("columns").iter().filter(|c| !home.contains(&c["column"]));
        let columns = travelling.map(|column| {
            let value = format!("t.{}", text(&column["column"]));
            let value = match column["base"].as_str() {
                Some("timestamptz") => {
                    format!("to_char({value} AT TIME ZONE 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")
                }
                Some("numeric") => format!("trim_scale({value})"),
                _ => value,
            };
            format!("{value} AS {}", text(&column["name"]))
        });
        let (table, relation) = (text(&place["table"]), format!("{}.{}", text(&place["schema"]), text(&place["name"])));
        let rows = app.sql(&format!(
            "SELECT json_build_array(c.scope, row_to_json(q)) FROM ryzed.changes c CROSS JOIN LATERAL \
             (SELECT {} FROM {relation} t WHERE t.id = c.row_id) q WHERE c.table_name = '{table}' AND c.operation <> 'DELETE'",
            columns.collect::<Vec<_>>().join(", ")
        ));
        for row in rows.lines() {
            let (scope, row): (String, Value) = serde_json::from_str(row).expect("a row");
            held.entry(scope).or_default().entry(table.clone()).or_default().insert(text(&row["id"]), row);
        }
    }
    held
}

/// The rows that a person's devices are to hold: their own and the catalogue's.
fn expected(tables: &BTreeMap<String, Rows>, me: Uuid) -> Rows {
    let mut rows = Rows::new();
    for scope in ["global".to_owned(), format!("user:{me}")] {
        for (table, held) in tables.get(&scope).into_iter().flatten() {
            rows.entry(table.clone()).or_default().extend(held.clone());
        }
    }
    rows
}

/// Asserts that a device holds the tables' rows, no more and no less, in every column.
fn assert_holds(device: &Device, expected: Rows, who: &str) {
    let mut held: Rows = device.rows.iter().map(|(table, rows)| (table.clone(), rows.clone())).collect();
    held.retain(|_, rows| !rows.is_empty());
    for row in held.values_mut().flat_map(BTreeMap::values_mut) {
        row.as_object_mut().expect("a row").remove("_version");
    }
    for (table, rows) in &expected {
        let got = held.get(table).map_or(0, BTreeMap::len);
        assert_eq!(got, rows.len(), "{table} of {who}");
        for (id, row) in rows {
            assert_eq!(held[table].get(id), Some(row), "{table} of {who}");
        }
    }
    assert!(held == expected, "{who} holds tables that are empty");
}

/// The same for a pull that begins at nothing.
async fn assert_pull_equals_tables(app: &Application, daemon: &Daemon, tables: &BTreeMap<String, Rows>, number: u32) {
    let me = app.account(daemon, number);
    let mut device = me.device("new");
    device.sync().await;
    assert_holds(&device, expected(tables, me.person.id), &format!("user {number}"));
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
    assert_pull_equals_tables(&app, &daemon, &tables_of(&app), 2).await;
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
    // Some pull while the writers go on, and again when they have stopped; all others begin then.
    let mut early = Vec::new();
    for number in [1, 2, 3, 77, PEOPLE] {
        let mut device = app.account(&daemon, number).device("early");
        device.sync().await;
        early.push((number, device));
    }
    writers.stop();
    assert_eq!(contradictions(&app), "");
    let tables = tables_of(&app);
    for (number, mut device) in early {
        let resets = device.resets;
        device.sync().await;
        assert_eq!(device.resets, resets, "it was told to start over");
        assert!(device.is_complete().await.expect("a digest"), "the early device of user {number}");
        assert_holds(&device, expected(&tables, app.user(number)), &format!("the early device of user {number}"));
    }
    for number in 1..=PEOPLE {
        assert_pull_equals_tables(&app, &daemon, &tables, number).await;
    }
    drop(daemon);

    let data = dump(&app.url, &["--data-only", "--exclude-schema=ryzed"]);
    assert!(app.ryzed(&["adopt", "--undo"]).ok().contains("as if it had never been adopted"));
    assert!(dump(&app.url, &["--data-only"]) == data, "the rows are others than before");
    assert_eq!(dump(&app.url, &["--schema-only"]), schema);
}
