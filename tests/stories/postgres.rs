//! What only PostgreSQL promises: transactions from outside, notices, triggers a statement, row level security. The stories of `main.rs` are
//! told there, too, when that is asked for.

use std::sync::LazyLock;
use std::time::Duration;

use ryzed_tests::postgres::{self, psql};
use ryzed_tests::rows::{TABLES, exercise_set, food, food_entry, row, workout_exercise, workout_session};
use ryzed_tests::{Account, Daemon, Session, insert, update, upsert};
use serde_json::{Value, json};
use uuid::Uuid;

/// Without the sweep, only notices bring what was written outside.
static DEAF: LazyLock<Daemon> =
    LazyLock::new(|| Daemon::builder().on_postgres().env("RYZED_SYNC__SWEEP_SECONDS", 3600).start());

/// The daemon of these stories.
fn daemon() -> &'static Daemon {
    &DEAF
}

fn sql(statement: &str) -> String {
    DEAF.database().run(statement)
}

fn entry(me: &Account, quantity: u32) -> String {
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

async fn met(daemon: &Daemon) -> Account {
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
async fn daemons_that_start_together_migrate_once() {
    let url = postgres::new_database();
    let start = || {
        let url = url.clone();
        std::thread::spawn(move || Daemon::builder().env("RYZED_DATABASE__URL", url).start())
    };
    let daemons = [start(), start(), start()].map(|starting| starting.join().expect("a daemon"));
    let epochs = daemons.each_ref().map(|daemon| daemon.account());
    let mut seen = Vec::new();
    for me in epochs {
        seen.push(me.cursor().await["epoch"].clone());
    }
    assert!(seen.iter().all(|epoch| *epoch == seen[0]), "{seen:?}");
    let migrations = concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations/postgres");
    let known = std::fs::read_dir(migrations).expect("the migrations").count().to_string();
    assert_eq!(psql(&url, "SELECT count(*) FROM ryzed.__diesel_schema_migrations").expect("psql"), known);
}

/// What raw SQL as the daemon's role comes to, with one person's claims.
fn as_the_daemon(me: &Account, statement: &str) -> Result<String, String> {
    let claims = json!({"sub": me.person.id, "role": "authenticated"});
    let url = DEAF.database_url();
    psql(
        url,
        &format!(
            "BEGIN; SET LOCAL ROLE ryzed_daemon; SELECT set_config('request.jwt.claims', '{claims}', true) \\gset\n\
             {statement}; COMMIT"
        ),
    )
}

#[tokio::test]
async fn the_daemons_role_owns_nothing_and_cant_get_round_policies() {
    assert_eq!(sql("SELECT rolsuper OR rolbypassrls OR rolcanlogin FROM pg_roles WHERE rolname = 'ryzed_daemon'"), "f");
    let owned = "SELECT count(*) FROM pg_class WHERE relowner = 'ryzed_daemon'::regrole";
    assert_eq!(sql(owned), "0");
    let unguarded = "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
        WHERE c.relkind = 'r' AND NOT c.relrowsecurity AND c.relname NOT LIKE '%diesel%' AND n.nspname IN ('public', 'ryzed')";
    assert_eq!(sql(unguarded), "0", "a table without row level security");
}

/// A row in each synced table, in the order of the tables.
fn one_of_each() -> Vec<(&'static str, Value)> {
    let parents = [
        ("workout_exercises", "session_id", "workout_sessions"),
        ("exercise_sets", "workout_exercise_id", "workout_exercises"),
        ("workout_template_exercises", "template_id", "workout_templates"),
        ("location_points", "cardio_session_id", "cardio_sessions"),
    ];
    let mut rows: Vec<(&str, Value)> = Vec::new();
    for table in TABLES.into_iter().filter(|table| *table != "users") {
        let with = parents.iter().filter(|(child, ..)| *child == table).map(|(_, column, parent)| {
            let above = rows.iter().find(|(table, _)| table == parent).expect("a parent");
            ((*column).to_owned(), above.1["id"].clone())
        });
        let with = Value::Object(with.collect());
        rows.push((table, row(table, with)));
    }
    rows
}

#[tokio::test]
async fn with_another_persons_claims_no_row_is_read() {
    let daemon = daemon();
    let (me, other) = (met(daemon).await, met(daemon).await);
    let rows = one_of_each();
    let changes: Vec<_> = rows.iter().map(|(table, row)| insert(table, row)).collect();
    let results = other.push(changes).await["results"].clone();
    assert!(results.as_array().expect("results").iter().all(|result| result["status"] == "applied"), "{results}");
    // An open conflict, and a device that is connected.
    let (table, row) = &rows[0];
    other.push([update(table, &row["id"], json!({"name_en": "Medlar"})).strategy("manual")]).await;
    let _tablet = other.socket("tablet").await;

    let theirs = other.person.id;
    let scope = format!("scope = 'user:{theirs}'");
    let synced = sql("SELECT table_name || ' ' || relation FROM ryzed.tables ORDER BY 1");
    let mut hidden: Vec<(String, String)> = synced
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(table, relation)| {
            let ids = sql(&format!("SELECT row_id FROM ryzed.changes WHERE table_name = '{table}' AND {scope}"));
            (relation.to_owned(), format!("id = ANY ('{{{}}}')", ids.replace('\n', ",")))
        })
        .collect();
    assert_eq!(hidden.len(), TABLES.len());
    hidden.extend(["changes", "scopes"].map(|table| (format!("ryzed.{table}"), scope.clone())));
    let personal = "SELECT table_name FROM information_schema.columns WHERE table_schema = 'ryzed' AND column_name = 'user_id' ORDER BY 1";
    let personal = sql(personal);
    assert_eq!(personal, "conflicts\ndevices\npresence\nreceipts");
    hidden.extend(personal.lines().map(|table| (format!("ryzed.{table}"), format!("user_id = '{theirs}'"))));
    for (table, whose) in hidden {
        let count = format!("SELECT count(*) FROM {table} WHERE {whose}");
        assert_ne!(sql(&count), "0", "{table} has something to hide");
        assert_eq!(as_the_daemon(&me, &count).expect("an answer"), "0", "{table}");
        // Who is connected where is the daemon's own.
        if table != "ryzed.presence" {
            assert_ne!(as_the_daemon(&other, &count).expect("an answer"), "0", "{table} hides a person's own");
        }
    }
    assert_eq!(as_the_daemon(&me, "SELECT auth.uid()").expect("an answer"), me.person.id.to_string());
    let nobodys = "SELECT relname FROM pg_class WHERE relnamespace = 'ryzed'::regnamespace AND relkind = 'r' \
        AND relname NOT IN ('changes', 'scopes', 'conflicts', 'devices', 'presence', 'receipts')";
    for table in sql(nobodys).lines() {
        let read = as_the_daemon(&me, &format!("SELECT * FROM ryzed.{table}"));
        assert!(
            read.as_ref().is_err_and(|error| error.contains("permission denied")) || read.as_deref() == Ok(""),
            "{table}: {read:?}"
        );
    }
}

#[tokio::test]
async fn with_another_persons_claims_no_row_is_written() {
    let daemon = daemon();
    let (me, other) = (met(daemon).await, met(daemon).await);
    let session = workout_session(json!({}));
    other.store("workout_sessions", &session).await;
    let text = |value: &Value| value.to_string().replace('"', "'");
    let (mine, theirs, id) = (me.person.id, other.person.id, text(&session["id"]));
    for statement in [
        entry(&other, 1),
        format!("INSERT INTO workout_exercises (id, session_id) VALUES (gen_random_uuid(), {id})"),
        "INSERT INTO foods (id, name_en, name_fr, calories) VALUES (gen_random_uuid(), 'a', 'b', 1)".into(),
        format!("INSERT INTO ryzed.receipts VALUES ('{theirs}', gen_random_uuid(), '{{}}', now())"),
        format!(
            "INSERT INTO ryzed.devices (user_id, device_id, first_seen, last_seen) VALUES ('{theirs}', 'x', now(), now())"
        ),
        format!(
            "INSERT INTO ryzed.changes (table_name, row_id, scope, version, operation, changed_at) \
            VALUES ('foods', gen_random_uuid(), 'user:{mine}', 99, 'INSERT', now())"
        ),
        format!("UPDATE ryzed.scopes SET version = 99 WHERE scope = 'user:{mine}'"),
        "DELETE FROM ryzed.changes".into(),
        format!(
            "SELECT ryzed.book('foods', ARRAY[gen_random_uuid()], ARRAY['user:{theirs}'], ARRAY['INSERT'], NULL, '{{}}')"
        ),
        "SELECT ryzed.prune_tombstones(now(), 1000)".into(),
        "ALTER TABLE foods DISABLE ROW LEVEL SECURITY".into(),
    ] {
        let refused = as_the_daemon(&me, &statement).expect_err(&statement);
        let words = ["row-level security", "permission denied", "must be owner", "only the daemon"];
        assert!(words.iter().any(|words| refused.contains(words)), "{refused}");
    }
    for statement in [
        format!("UPDATE workout_sessions SET name = 'mine' WHERE id = {id} RETURNING id"),
        format!("DELETE FROM workout_sessions WHERE id = {id} RETURNING id"),
        format!("DELETE FROM ryzed.receipts WHERE user_id = '{theirs}' RETURNING user_id"),
        format!("UPDATE ryzed.devices SET name = 'x' WHERE user_id = '{theirs}' RETURNING user_id"),
    ] {
        assert_eq!(as_the_daemon(&me, &statement).expect("an answer"), "", "{statement}");
    }
    // Nobody's times are pushed, and one's own not beyond the clock.
    let of = |person: Uuid| sql(&format!("SELECT changed_at FROM ryzed.scopes WHERE scope = 'user:{person}'"));
    let before = of(theirs);
    let touch =
        format!("SELECT ryzed.touch(ARRAY['user:{mine}', 'user:{theirs}', 'global'], now() + interval '1 year')");
    as_the_daemon(&me, &touch).expect("an answer");
    assert_eq!(of(theirs), before, "another person's time was pushed");
    assert_eq!(sql("SELECT count(*) FROM ryzed.scopes WHERE changed_at > clock_timestamp()"), "0");
    let stolen = as_the_daemon(&other, &format!("UPDATE workout_sessions SET user_id = '{mine}' WHERE id = {id}"));
    assert!(stolen.expect_err("a row given away").contains("row-level security"));
    assert_eq!(other.row("workout_sessions", &session["id"]).await.expect("the row")["name"], session["name"]);
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
