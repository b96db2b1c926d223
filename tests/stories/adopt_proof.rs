//! Adopting proves what it says: as one of its people a row of each table is read, edited, made and deleted, and taken back. What
//! nobody can use is not adopted, and what would let the daemon in is told so that it can be pasted.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ryzed_tests::postgres::{Cluster, dump};
use ryzed_tests::{Application, flat, insert, update};
use serde_json::json;
use uuid::Uuid;

fn made(statements: &str) -> Application {
    let app = Application::with_people(1);
    app.sql(statements);
    app
}

/// Adopting is refused with these words, and leaves nothing.
fn assert_refused(app: &Application, words: &[&str]) -> String {
    let before = dump(&app.url, &[]);
    let ran = app.ryzed(&["adopt"]);
    assert_eq!(ran.code, 2, "{}", ran.said());
    for words in words {
        assert!(flat(&ran.said()).contains(words), "{words:?} is missing:\n{}", ran.said());
    }
    assert!(dump(&app.url, &[]) == before, "it has left something");
    ran.stdout
}

/// Adopting goes well, and says these words.
fn assert_adopted(app: &Application, words: &[&str]) {
    let told = app.ryzed(&["adopt"]).ok();
    for words in words {
        assert!(told.contains(words), "{words:?} is missing:\n{told}");
    }
}

/// The statements that a report wants pasted.
fn to_paste(report: &str) -> String {
    let (_, after) = report.split_once("runs this").expect("statements to paste");
    let lines = after.lines().skip(1).take_while(|line| !line.is_empty());
    lines.map(|line| line.trim().to_owned()).collect::<Vec<_>>().join("\n")
}

#[test]
fn what_was_tried_is_told_and_taken_back() {
    let app = made(
        "CREATE TABLE app.audit (what text); GRANT INSERT ON app.audit TO PUBLIC; \
         CREATE FUNCTION app.note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO app.audit VALUES (TG_OP); RETURN NULL; END $$; \
         CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON food_entries FOR EACH ROW EXECUTE FUNCTION app.note()",
    );
    let first = app.ryzed(&["adopt", "--dry-run"]).ok();
    assert!(first.contains("Not proven") && !first.contains("proof    a row"), "{first}");
    let rows = "SELECT md5(string_agg(t::text, '' ORDER BY id)) FROM food_entries t";
    let before = app.sql(rows);
    assert_adopted(
        &app,
        &[
            "food_entries is public.food_entries\n  proof    a row was read, edited, made and deleted\n",
            "a row of the catalogue was read and edited as admin\n",
            "is adopted",
        ],
    );
    let again = app.ryzed(&["adopt", "--dry-run"]).ok();
    assert!(again.contains("proof    a row was read, edited, made and deleted\n"), "{again}");
    assert_eq!(app.sql(rows), before);
    assert_eq!(app.sql("SELECT count(*) FROM app.audit"), "0", "a trial has left something");
    assert_eq!(app.sql("SELECT count(*) FROM ryzed.changes WHERE operation = 'DELETE'"), "0");
    // Once more, with the triggers in place.
    assert_adopted(&app, &["a row was read, edited, made and deleted"]);
    assert_eq!(app.sql(rows), before);
    assert_eq!(app.sql("SELECT count(*) FROM ryzed.changes WHERE operation <> 'INSERT'"), "0");
}

#[tokio::test]
async fn policies_that_read_what_the_daemon_may_not_are_told_with_what_to_grant() {
    let app = made(
        "CREATE SCHEMA \"Club\"; CREATE TABLE \"Club\".\"Member\" (id uuid); INSERT INTO \"Club\".\"Member\" SELECT id FROM auth.users; \
         CREATE FUNCTION app.is_member() RETURNS boolean LANGUAGE sql STABLE AS \
             $$ SELECT EXISTS (SELECT FROM \"Club\".\"Member\" m WHERE m.id = auth.uid()) $$; \
         DROP POLICY \"Own, or of nobody blocked\" ON food_entries; \
         CREATE POLICY members ON food_entries USING (app.is_member() AND user_id = auth.uid())",
    );
    let report = assert_refused(
        &app,
        &[
            "nobody can read a row of public.food_entries: permission denied for schema Club",
            "[tables.food_entries] skip = true",
        ],
    );
    let paste = to_paste(&report);
    assert!(paste.contains("GRANT USAGE ON SCHEMA \"Club\" TO ryzed_daemon;"), "{paste}");
    assert!(paste.contains("GRANT SELECT ON \"Club\".\"Member\" TO ryzed_daemon;"), "{paste}");
    app.sql(&paste);
    assert_adopted(&app, &["is adopted"]);
    let daemon = app.daemon().start();
    let me = app.account(&daemon, 1);
    assert_eq!(me.rows("food_entries").await.len(), 560);
    let row = &me.rows("food_entries").await[0];
    me.apply(update("food_entries", &row["id"], json!({"quantity": 7})).base(&row["_version"])).await;
}

#[test]
fn what_only_people_may_read_is_reached_by_joining_their_role() {
    let cluster = Cluster::start();
    let app = Application::on(&cluster, 1);
    app.sql(
        "CREATE TABLE app.clubs (id uuid); INSERT INTO app.clubs SELECT id FROM auth.users; GRANT SELECT ON app.clubs TO authenticated; \
         DROP POLICY \"Everybody reads the catalogue\" ON foods; DROP POLICY \"People keep their own\" ON foods; \
         DROP POLICY \"Own\" ON app.sessions; DROP POLICY \"Through the session\" ON workout_exercises; \
         ALTER TABLE workout_exercises DISABLE ROW LEVEL SECURITY; ALTER TABLE app.sessions DISABLE ROW LEVEL SECURITY; \
         DROP POLICY \"Own, or of nobody blocked\" ON food_entries; \
         CREATE POLICY members ON food_entries USING (user_id IN (SELECT id FROM app.clubs))",
    );
    let report = assert_refused(&app, &["permission denied for table clubs"]);
    app.sql(&to_paste(&report));
    assert_adopted(
        &app,
        &["food_entries is public.food_entries\n  proof    a row was read, edited, made and deleted\n"],
    );
}

#[test]
fn policies_that_go_by_another_setting_are_told() {
    let app = made(
        "DROP POLICY \"Own, or of nobody blocked\" ON food_entries; \
         CREATE POLICY own ON food_entries USING (user_id = nullif(current_setting('app.user_id', true), '')::uuid)",
    );
    assert_refused(
        &app,
        &["nobody can read a row of public.food_entries", "They go by app.user_id, which the daemon does not set"],
    );
    let strict = made(
        "DROP POLICY \"Own, or of nobody blocked\" ON food_entries; \
         CREATE POLICY own ON food_entries USING (user_id = current_setting('app.user_id')::uuid)",
    );
    assert_refused(&strict, &["nobody can read a row of public.food_entries", "unrecognized configuration parameter"]);
}

#[tokio::test]
async fn a_trigger_that_may_not_write_its_audit_is_told_with_what_to_grant() {
    let app = made(
        "CREATE TABLE app.audit (what text); \
         CREATE FUNCTION app.note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO app.audit VALUES (TG_OP); RETURN NEW; END $$; \
         CREATE TRIGGER note BEFORE INSERT OR UPDATE ON foods FOR EACH ROW EXECUTE FUNCTION app.note()",
    );
    let report = assert_refused(&app, &["nobody can change a row of public.foods: permission denied for table audit"]);
    let paste = to_paste(&report);
    assert!(paste.ends_with("GRANT INSERT ON app.audit TO ryzed_daemon;"), "{paste}");
    app.sql(&paste);
    assert_adopted(&app, &["is adopted"]);
    let daemon = app.daemon().start();
    let me = app.account(&daemon, 1);
    let mut phone = me.socket("phone").await;
    phone.send(insert("foods", &json!({"id": Uuid::new_v4(), "name_en": "Fig", "calories": 74})).message()).await;
    assert_eq!(phone.next("change_result").await["status"], "applied");
}

#[test]
fn a_column_that_devices_cannot_give_is_told_and_edits_go_on() {
    let app = made(
        "CREATE DOMAIN app.code AS text NOT NULL; CREATE DOMAIN app.short_code AS app.code CHECK (length(VALUE) < 9); \
         ALTER TABLE food_entries ADD region app.short_code DEFAULT 'x', ADD secret_key text; \
         UPDATE food_entries SET secret_key = 's'; ALTER TABLE food_entries ALTER secret_key SET NOT NULL; \
         ALTER TABLE food_entries ALTER region DROP DEFAULT",
    );
    assert_adopted(
        &app,
        &[
            "food_entries is public.food_entries\n  proof    a row was read and edited\n",
            "devices can't make: null value in column \"secret_key\"",
        ],
    );
}

#[test]
fn where_the_application_lets_nobody_write_it_says_read_only() {
    let app = made(
        "DROP POLICY \"People keep their own\" ON foods; DROP POLICY \"Own\" ON app.sessions; \
         CREATE POLICY shown ON app.sessions FOR SELECT TO authenticated USING (user_id = auth.uid()); \
         REVOKE ALL ON exercise_sets FROM authenticated; GRANT SELECT ON exercise_sets TO authenticated",
    );
    assert_adopted(
        &app,
        &[
            "foods is public.foods\n  proof    read-only: no policy of the application",
            "workout_sessions is app.sessions\n  proof    read-only: no policy of the application",
            "exercise_sets is public.exercise_sets\n  proof    read-only: by the application's grants",
        ],
    );
}

#[test]
fn where_nobody_is_yet_nothing_is_proven_and_it_is_adopted() {
    let app = made("TRUNCATE auth.users CASCADE; DELETE FROM foods");
    assert_adopted(&app, &["foods is public.foods\n  proof    not proven: nobody is there\n", "is adopted"]);
    let nobody = made("DELETE FROM food_entries; DELETE FROM app.sessions");
    assert_adopted(
        &nobody,
        &[
            "workout_sessions is app.sessions\n  proof    a row was made and deleted\n",
            "workout_exercises is public.workout_exercises\n  proof    not proven: there is no row\n",
        ],
    );
}

#[test]
fn a_row_that_somebody_else_holds_is_not_waited_for() {
    let app = made("DELETE FROM app.sessions WHERE id <> md5('session 1')::uuid; DELETE FROM food_entries");
    assert_adopted(&app, &["is adopted"]);
    let hold = "BEGIN; UPDATE app.sessions SET name = 'held'; SELECT pg_sleep(60)";
    let mut other =
        Command::new("psql").args([&app.url, "-c", hold]).stdout(Stdio::null()).spawn().expect("psql starts");
    let held = "FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'";
    while app.sql(&format!("SELECT count(*) {held}")) != "1" {
        std::thread::sleep(Duration::from_millis(20));
    }
    let began = Instant::now();
    assert_adopted(&app, &["not tried to edit: somebody else works on the row"]);
    assert!(began.elapsed() < Duration::from_secs(30));
    app.sql(&format!("SELECT pg_terminate_backend(pid) {held}"));
    let _ = other.wait();
}
