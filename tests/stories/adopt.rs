//! `ryzed adopt`: an application's database is looked at, adopted while the application goes on, and left again without a
//! trace.

use ryzed_tests::postgres::{self, Cluster, dump};
use ryzed_tests::{Application, Daemon, flat, proposed};

pub(crate) fn adopt(app: &Application) {
    let _ = app.ryzed(&["adopt"]).ok();
}

#[test]
fn a_dry_run_reports_and_changes_nothing() {
    let app = Application::with_people(1);
    let before = dump(&app.url, &[]);
    let report = app.ryzed(&["adopt", "--dry-run"]).ok();
    for line in [
        "foods is public.foods, about 20 rows",
        "mapped   user_id = created_by",
        "extra    source (public.food_source)",
        "extra    slug (text, read-only)",
        "missing  name_fr not there, not synced. Apps expect it in every row",
        "recipes is not there",
        "workout_sessions is app.sessions",
        "owner    that of the row of public.workout_exercises in workout_exercise_id",
        "row level security is off and stays off",
        "6 tables can be synced, 9 are not there, 0 are left alone, 0 do not fit.",
        "Nothing was changed.",
    ] {
        assert!(report.contains(line), "{line:?} is missing:\n{report}");
    }
    assert_eq!(dump(&app.url, &[]), before);
}

/// Every line that a report proposes can be pasted as it stands.
pub fn assert_good(app: &Application, report: &str) {
    for lines in proposed(report) {
        app.configure(&lines);
        let ran = app.ryzed(&["check-config"]);
        assert_eq!(ran.code, 0, "{lines}\n{}", ran.said());
    }
}

#[test]
fn what_is_not_certain_is_asked_and_never_guessed() {
    let app = Application::with_people(1);
    let before = dump(&app.url, &[]);
    let named = app.configuration();
    for (configuration, line) in [
        ("", "or perhaps created_by: [tables.foods] columns = { user_id = \"created_by\" }"),
        ("", "its rows belong to those of workout_sessions, which is not synced"),
        (
            &named.replace("\"created_by\"", "\"created_bi\"") as &str,
            "maps user_id to created_bi, which public.foods does not have",
        ),
        (&named.replace("app.sessions", "app.visits"), "there is no table app.visits"),
        (&named.replace("session_id = \"workout_id\", ", ""), "columns = { session_id = \"workout_id\" }"),
    ] {
        app.configure(configuration);
        for arguments in [&["adopt", "--dry-run"][..], &["adopt"]] {
            let ran = app.ryzed(arguments);
            assert_eq!(ran.code, 2, "{}", ran.said());
            let said = flat(&ran.stdout);
            assert!(said.contains(line) && ran.stderr.contains("✗"), "{line:?} is missing:\n{}", ran.said());
            assert_good(&app, &ran.stdout);
            app.configure(configuration);
        }
    }
    app.configure("[tables.foodz]\nskip = true\n");
    let ran = app.ryzed(&["adopt"]);
    assert!(
        ran.code == 2 && ran.stderr.contains("ryzed.toml:1: tables.foodz: there is no such table"),
        "{}",
        ran.said()
    );
    assert_eq!(dump(&app.url, &[]), before);
}

#[test]
fn what_does_not_fit_says_why() {
    let app = Application::with_people(1);
    app.sql(
        "CREATE TABLE recipes (id bigint PRIMARY KEY, user_id uuid); CREATE VIEW exercises AS SELECT 1; \
         CREATE TABLE hiit_workouts (id uuid, user_id uuid, created_at timestamp); \
         CREATE TABLE cardio_sessions (id uuid PRIMARY KEY, user_id uuid, start_time timestamp NOT NULL)",
    );
    let ran = app.ryzed(&["adopt", "--dry-run"]);
    for line in [
        "public.recipes.id is bigint, and rows are known by a uuid",
        "public.exercises is a view",
        "public.hiit_workouts.id alone is neither the primary key nor unique",
        "start_time is timestamp without time zone, not timestamptz and no moment in time. If it is UTC: ALTER TABLE",
        "devices can't make rows: start_time must be given and is not synced",
    ] {
        assert!(ran.stdout.contains(line), "{line:?} is missing:\n{}", ran.said());
    }
    assert_eq!(ran.code, 2);
    let skips = ["recipes", "exercises", "hiit_workouts"].map(|table| format!("[tables.{table}]\nskip = true\n"));
    app.configure(&(app.configuration() + &skips.concat()));
    assert!(app.ryzed(&["adopt"]).ok().contains("3 are left alone, 0 do not fit"));
}

#[test]
fn only_a_database_that_was_there_before_is_adopted() {
    let daemon = Daemon::builder().on_postgres().start();
    for arguments in [&["adopt"][..], &["adopt", "--dry-run"], &["adopt", "--undo"]] {
        let ran = ryzed_tests::Ran::of(&mut daemon.command(arguments));
        assert!(ran.code == 2 && ran.stderr.contains("the daemon's own"), "{}", ran.said());
    }
    let folder = tempfile::tempdir().expect("a folder");
    let ran = ryzed_tests::command::ryzed(folder.path(), &[], &["adopt"]);
    assert!(ran.code == 2 && ran.stderr.contains("PostgreSQL"), "{}", ran.said());
}

#[test]
fn leaving_removes_every_trace_and_no_more() {
    let app = Application::with_people(2);
    let before = dump(&app.url, &[]);
    adopt(&app);
    assert_ne!(dump(&app.url, &[]), before);
    assert!(app.ryzed(&["adopt"]).ok().contains("All rows were entered before."));
    assert!(app.ryzed(&["adopt", "--undo"]).ok().contains("as if it had never been adopted"));
    assert_eq!(dump(&app.url, &[]), before);
    assert!(app.ryzed(&["adopt", "--undo"]).ok().contains("was not adopted"));
}

#[test]
fn what_the_application_sees_and_may_write_stays_the_same() {
    let app = Application::with_people(3);
    let (me, other) = (app.user(1), app.user(2));
    let tables = ["profiles", "foods", "food_entries", "app.sessions", "workout_exercises", "exercise_sets"];
    let seen = || -> Vec<String> {
        let digest =
            |table| format!("SELECT '{table}', count(*), md5(string_agg(t::text, '|' ORDER BY t.id)) FROM {table} t");
        let all = tables.map(digest).join(" UNION ALL ");
        let anybody = app.sql(&format!("BEGIN; SET LOCAL ROLE authenticated; {all}; COMMIT"));
        vec![app.as_person(me, &all).expect("rows"), app.as_person(other, &all).expect("rows"), anybody]
    };
    let written = || -> Vec<String> {
        let entry = |of| {
            format!(
                "INSERT INTO food_entries (id, user_id, quantity, eaten_at) VALUES (gen_random_uuid(), '{of}', 1, now())"
            )
        };
        let attempts = [
            entry(me),
            entry(other),
            format!("UPDATE foods SET stock = 7 WHERE created_by = '{other}' RETURNING id"),
            "UPDATE foods SET stock = 7 WHERE created_by IS NULL RETURNING id".into(),
            "UPDATE exercise_sets SET rpe = 9 RETURNING 1".into(),
            format!("DELETE FROM app.sessions WHERE user_id = '{other}' RETURNING id"),
            "COPY profiles (id) FROM STDIN\n\\.\n".into(),
        ];
        let outcome = |attempt: &String| match app.as_person(me, &format!("{attempt}; ROLLBACK")) {
            Ok(rows) => format!("{} rows", rows.lines().count()),
            Err(error) => error.lines().find(|line| line.contains("ERROR")).unwrap_or_default().to_owned(),
        };
        attempts.iter().map(outcome).collect()
    };
    let before = (seen(), written());
    adopt(&app);
    assert_eq!((seen(), written()), before);
    let policies = "SELECT count(*) FROM pg_policies WHERE policyname LIKE 'ryzed%' AND roles <> '{ryzed_daemon}'";
    assert_eq!(app.sql(policies), "0", "a policy of ours for somebody else");
    assert_eq!(app.sql("SELECT relrowsecurity FROM pg_class WHERE oid = 'exercise_sets'::regclass"), "f");
}

#[test]
fn a_schema_that_is_closed_says_so_before_anything_is_made() {
    let cluster = Cluster::start();
    let app = Application::of_an_ordinary_owner_on(&cluster, 1);
    let owner = app.sql("SELECT current_user");
    let administrator = cluster.url(app.url.rsplit_once('/').expect("a database").1);
    let sql = |statements: &str| postgres::psql(&administrator, statements).expect("what an administrator does");
    sql(&format!("CREATE SCHEMA vault; GRANT USAGE ON SCHEMA vault TO {owner}; ALTER TABLE foods SET SCHEMA vault"));
    app.configure(&app.configuration().replace("[tables.foods]\n", "[tables.foods]\nrelation = \"vault.foods\"\n"));
    let before = dump(&app.url, &["--schema-only"]);
    for arguments in [&["adopt", "--dry-run"][..], &["adopt"]] {
        let ran = app.ryzed(arguments);
        let advice = "the schema vault is closed to the daemon's role; its owner runs:";
        assert!(ran.code == 2 && ran.stdout.contains(advice), "{}", ran.said());
    }
    assert_eq!(dump(&app.url, &["--schema-only"]), before);
    sql(&format!(
        "CREATE ROLE ryzed_daemon NOLOGIN; GRANT ryzed_daemon TO {owner}; GRANT USAGE ON SCHEMA vault TO ryzed_daemon"
    ));
    adopt(&app);
    let daemon = app.daemon().start();
    drop(daemon);
}
