//! Databases as they are, too: rows before their parents, TRUNCATE, odd names, columns that are missing, whole accounts that
//! go.

use ryzed_tests::{Application, Daemon, delete, postgres, update};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::adopt_meanwhile::contradictions;

fn adopted(made: &str) -> (Application, Daemon) {
    let app = Application::with_people(1);
    app.sql(made);
    let _ = app.ryzed(&["adopt"]).ok();
    let daemon = app.daemon().start();
    (app, daemon)
}

#[tokio::test]
async fn rows_that_come_before_their_parents_are_synced_with_them() {
    let made = "ALTER TABLE workout_exercises ALTER CONSTRAINT workout_exercises_workout_id_fkey DEFERRABLE INITIALLY DEFERRED; \
                ALTER TABLE exercise_sets DROP CONSTRAINT exercise_sets_workout_exercise_id_fkey";
    let (app, daemon) = adopted(made);
    let report = app.ryzed(&["adopt", "--dry-run"]).ok();
    assert!(
        report.contains("workout_exercise_id is no foreign key: a row whose public.workout_exercises is missing"),
        "{report}"
    );
    let me = app.account(&daemon, 1);
    let mut phone = me.socket("phone").await;
    let (session, exercise, set) = (Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4());
    // A set whose exercise comes in another transaction; an exercise whose session comes in the same one.
    app.sql(&format!(
        "INSERT INTO exercise_sets (id, workout_exercise_id, reps, weight) VALUES ('{set}', '{exercise}', 8, 60); \
         BEGIN; INSERT INTO workout_exercises (id, workout_id) VALUES ('{exercise}', '{session}'); \
         INSERT INTO app.sessions (id, user_id, name, start_time) VALUES ('{session}', '{me}', 'Legs', now()); COMMIT",
        me = me.person.id
    ));
    for table in ["workout_sessions", "workout_exercises", "exercise_sets"] {
        assert_eq!(phone.next("database_change").await["table"], table);
    }
    assert_eq!(me.row("exercise_sets", &json!(set)).await.expect("the set")["reps"], 8);
    assert_eq!(contradictions(&app), "");
    let usual = "SELECT count(*) FROM pg_trigger WHERE tgname = 'ryzed_insert_below'";
    assert_eq!(app.sql(usual), "2", "only tables whose children may come first pay for it");
}

#[tokio::test]
async fn truncated_tables_leave_tombstones_and_fire_no_trigger_of_the_application() {
    let made = "CREATE TABLE app.deleted (id uuid); \
        CREATE FUNCTION app.note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO app.deleted VALUES (OLD.id); RETURN OLD; END $$; \
        CREATE TRIGGER note BEFORE DELETE ON app.sessions FOR EACH ROW EXECUTE FUNCTION app.note(); \
        ALTER TABLE workout_exercises DROP CONSTRAINT workout_exercises_workout_id_fkey, \
            ADD FOREIGN KEY (workout_id) REFERENCES app.sessions";
    let (app, daemon) = adopted(made);
    let me = app.account(&daemon, 1);
    let cursor = me.pull(json!({})).await["cursor"].clone();
    let name = app.sql("SELECT id FROM exercise_sets LIMIT 1");
    app.sql("TRUNCATE app.sessions CASCADE");
    assert_eq!(app.sql("SELECT count(*) FROM app.deleted"), "0", "rows were deleted before they were truncated");
    assert_eq!(contradictions(&app), "");
    let news = me.pull(json!({"cursor": cursor})).await;
    for (table, rows) in [("workout_sessions", 20), ("workout_exercises", 100), ("exercise_sets", 300)] {
        assert_eq!(news["deletions"][table].as_array().map(Vec::len), Some(rows), "{table}");
    }
    assert!(me.row("exercise_sets", &json!(name)).await.is_none());
    assert_eq!(me.rows("food_entries").await.len(), 560);
}

/// Columns may be called as the triggers call what they work with.
#[tokio::test]
async fn columns_that_are_called_like_variables_are_no_matter() {
    let names =
        ["above", "deep", "held", "of_table", "owner_column", "part", "part_rows", "place", "rule", "total", "wanted"];
    let columns: Vec<String> = names.iter().map(|name| format!("ADD {name} text DEFAULT 'x'")).collect();
    let columns = columns.join(", ");
    let (app, daemon) = adopted(&format!(
        "ALTER TABLE app.sessions {columns}; ALTER TABLE workout_exercises {columns}; ALTER TABLE exercise_sets {columns}"
    ));
    let me = app.account(&daemon, 1);
    let mut phone = me.socket("phone").await;
    for (statement, operation) in [
        (
            "INSERT INTO workout_exercises (id, workout_id) SELECT gen_random_uuid(), id FROM app.sessions LIMIT 1",
            "INSERT",
        ),
        ("UPDATE exercise_sets SET above = 'y' WHERE id = (SELECT id FROM exercise_sets LIMIT 1)", "UPDATE"),
        ("UPDATE app.sessions SET deep = 'y' WHERE id = (SELECT id FROM app.sessions LIMIT 1)", "UPDATE"),
        ("DELETE FROM exercise_sets WHERE id = (SELECT id FROM exercise_sets LIMIT 1)", "DELETE"),
    ] {
        app.sql(statement);
        assert_eq!(phone.next("database_change").await["operation"], operation, "{statement}");
    }
    assert_eq!(contradictions(&app), "");
}

#[tokio::test]
async fn names_that_need_quotes_and_defaults_with_question_marks_are_no_matter() {
    let made = r#"ALTER TABLE foods RENAME TO "My ""Foods"""; ALTER TABLE "My ""Foods""" RENAME created_by TO "createdBy";
        ALTER TABLE "My ""Foods""" ADD "Shelf No" text DEFAULT 'x?1 and ?'; ALTER TABLE "My ""Foods""" ADD "select" integer;
        ALTER SCHEMA app RENAME TO "App"; ALTER TABLE "App".sessions RENAME TO "Sessions""#;
    let app = Application::with_people(1);
    app.sql(made);
    app.configure(
        &app.configuration()
            .replace("[tables.foods]\n", "[tables.foods]\nrelation = 'public.My \"Foods\"'\n")
            .replace("created_by", "createdBy")
            .replace("app.sessions", "App.Sessions"),
    );
    let before = postgres::dump(&app.url, &["--schema-only"]);
    let _ = app.ryzed(&["adopt"]).ok();
    let daemon = app.daemon().start();
    let me = app.account(&daemon, 1);
    let row = json!({"id": Uuid::new_v4(), "name_en": "Quince", "calories": 57, "select": 4});
    let version = me.store("foods", &row).await;
    let got = me.row("foods", &row["id"]).await.expect("the food");
    assert_eq!(
        (&got["Shelf No"], &got["select"], &got["user_id"]),
        (&json!("x?1 and ?"), &json!(4), &me.user()),
        "{got}"
    );
    me.apply(update("foods", &row["id"], json!({"Shelf No": "7?2"})).base(&version)).await;
    let mut tablet = me.socket("tablet").await;
    app.sql(r#"UPDATE "My ""Foods""" SET "Shelf No" = '8' WHERE "Shelf No" = '7?2'"#);
    let told = tablet.next("database_change").await;
    assert_eq!(
        (&told["old_record"]["Shelf No"], &told["new_record"]["Shelf No"]),
        (&json!("7?2"), &json!("8")),
        "{told}"
    );
    me.change(delete("foods", &row["id"])).await;
    assert!(me.row("foods", &row["id"]).await.is_none());
    drop(daemon);
    let _ = app.ryzed(&["adopt", "--undo"]).ok();
    assert!(postgres::dump(&app.url, &["--schema-only"]) == before);
}

#[tokio::test]
async fn tables_without_times_are_synced() {
    let made = "ALTER TABLE exercise_sets DROP created_at; ALTER TABLE app.sessions DROP created_at, DROP updated_at";
    let (app, daemon) = adopted(made);
    let me = app.account(&daemon, 1);
    let session = json!({"id": Uuid::new_v4(), "name": "Legs", "start_time": "2026-01-05T18:00:00.000000Z"});
    let exercise = json!({"id": Uuid::new_v4(), "session_id": session["id"]});
    let set = json!({"id": Uuid::new_v4(), "workout_exercise_id": exercise["id"], "reps": 8, "weight": 60.5});
    for (table, row) in [("workout_sessions", &session), ("workout_exercises", &exercise), ("exercise_sets", &set)] {
        let version = me.store(table, row).await;
        let got = me.row(table, &row["id"]).await.expect("the row");
        assert_eq!(
            (&got["_version"], got.get("updated_at").is_some()),
            (&version, table == "workout_exercises"),
            "{got}"
        );
    }
    let base = &me.row("workout_sessions", &session["id"]).await.expect("the session")["_version"];
    me.apply(update("workout_sessions", &session["id"], json!({"name": "Arms"})).base(base)).await;
    app.sql("UPDATE app.sessions SET mood = 3 WHERE name = 'Arms'");
    assert_eq!(me.row("workout_sessions", &session["id"]).await.expect("the session")["mood"], 3);
}

#[tokio::test]
async fn partitioned_tables_say_that_they_cant_be_synced() {
    let app = Application::with_people(1);
    app.sql(
        "CREATE TABLE location_points (id uuid, cardio_session_id uuid, day date, PRIMARY KEY (id, day)) PARTITION BY RANGE (day); \
         CREATE TABLE location_points_1 PARTITION OF location_points FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')",
    );
    let ran = app.ryzed(&["adopt"]);
    assert!(
        ran.code == 2 && ran.stdout.contains("public.location_points is partitioned or inherits"),
        "{}",
        ran.said()
    );
    app.configure(&(app.configuration() + "[tables.location_points]\nskip = true\n"));
    let _ = app.ryzed(&["adopt"]).ok();
}

#[tokio::test]
async fn an_account_that_goes_leaves_a_tombstone_of_everything() {
    let (app, daemon) = adopted("SELECT 1");
    let me = app.account(&daemon, 1);
    let before = me.pull(json!({})).await;
    // Nothing is left of the person; the catalogue stays.
    app.sql(&format!("DELETE FROM auth.users WHERE id = '{}'", me.person.id));
    assert_eq!(contradictions(&app), "");
    let news = me.pull(json!({"cursor": before["cursor"]})).await;
    let own = |row: &&Value| row["user_id"] != Value::Null;
    for (table, rows) in before["changes"].as_object().expect("tables") {
        let own = rows.as_array().expect("rows").iter().filter(|row| table != "foods" || own(row)).count();
        assert_eq!(news["deletions"][table].as_array().map(Vec::len), Some(own), "{table}");
    }
    assert_eq!(me.rows("foods").await.len(), 5);
    assert!(me.rows("food_entries").await.is_empty());
}

#[tokio::test]
async fn a_transaction_of_a_stricter_isolation_reaches_devices_as_any() {
    let (app, daemon) = adopted("SELECT 1");
    let me = app.account(&daemon, 1);
    let mut tablet = me.socket("tablet").await;
    for (isolation, note) in [("REPEATABLE READ", "one"), ("SERIALIZABLE", "two")] {
        app.sql(&format!(
            "BEGIN ISOLATION LEVEL {isolation}; UPDATE food_entries SET note = '{note}' WHERE id = md5('entry 1')::uuid; COMMIT"
        ));
        assert_eq!(tablet.next("database_change").await["new_record"]["note"], note);
    }
    assert_eq!(contradictions(&app), "");
}

/// An application's own columns hold more than JSON says: an edit of other fields, also by a client that sends back whole rows
/// and reads numbers as JavaScript does, changes none of them.
#[tokio::test]
async fn an_edit_keeps_values_that_json_cannot_say() {
    let made = "ALTER TABLE app.sessions ADD score float8, ADD pace float4, ADD due date, ADD big int8, ADD price numeric, \
        ADD rest interval, ADD raw bytea, ADD seen timestamp, ADD born timestamptz, ADD parts text[]; \
        UPDATE app.sessions SET score = 'NaN', pace = '-Infinity', due = 'infinity', big = 9007199254740993, \
        price = 0.12345678901234567890123, rest = '1 mon 2 days', raw = '\\xff00', seen = 'infinity', \
        born = '0044-03-15 12:00:00+00 BC', parts = ARRAY[['a'], [NULL]]";
    let (app, daemon) = adopted(made);
    let me = app.account(&daemon, 1);
    let held =
        || app.sql("SELECT score, pace, due, big, price, rest, raw, seen, born, parts FROM app.sessions ORDER BY id");
    let before = held();
    let mut seen = me.rows("workout_sessions").await[0].clone();
    let mut unsaid: Vec<&str> = seen["_unsaid"].as_array().expect("a mark").iter().filter_map(Value::as_str).collect();
    unsaid.sort_unstable();
    assert_eq!(unsaid, ["born", "due", "pace", "parts", "score"], "{seen}");
    let (id, version) = (seen["id"].clone(), seen["_version"].clone());
    let _ = me.apply(update("workout_sessions", &id, json!({"name": "Arms"})).base(&version)).await;
    assert_eq!(held(), before);

    seen = me.row("workout_sessions", &id).await.expect("the row");
    let version = seen["_version"].clone();
    seen["name"] = json!("Legs");
    seen["big"] = json!(9_007_199_254_740_992_i64);
    let _ = me.apply(update("workout_sessions", &id, seen).base(&version)).await;
    assert_eq!(held(), before, "whole rows");
}

/// PostgreSQL holds each row against a unique index as it is written, also within one statement, and a value in between would be
/// seen by the application's triggers.
#[tokio::test]
async fn rows_exchange_places_that_cant_be_empty_where_the_rule_waits_for_the_end_of_the_statement() {
    let (app, daemon) = adopted("ALTER TABLE foods ADD CONSTRAINT one_name UNIQUE (name_en)");
    let me = app.account(&daemon, 1);
    let foods = [1, 2, 3].map(|number| json!(app.id("food", number)));
    let to = |food: usize, name: u32, calories: u32| {
        let brought = json!({"name_en": format!("Food {name}"), "calories": calories});
        update("foods", &foods[food], brought).strategy("client_wins")
    };
    let names = || {
        let names = "SELECT string_agg(name_en, ',' ORDER BY serial_no) FROM foods WHERE serial_no <= 3";
        app.sql(names)
    };
    // In turn, with one that has nothing to do with it.
    let turn = [to(0, 2, 7), to(1, 3, 7), to(2, 1, 7)];
    let alone = update("foods", &json!(app.id("food", 5)), json!({"calories": 9})).strategy("client_wins");
    let answer = me.push(turn.into_iter().chain([alone])).await;
    let results = answer["results"].as_array().expect("results");
    for result in &results[..3] {
        let error = &result["errors"][0];
        assert_eq!((&result["status"], &error["code"]), (&json!("rejected"), &json!("constraint")), "{answer}");
        assert!(error["message"].as_str().is_some_and(|said| said.contains("in a later request")), "{answer}");
    }
    assert_ne!(results[3]["status"], "rejected", "{answer}");
    assert_eq!(names(), "Food 1,Food 2,Food 3", "nothing is lost");
    // As each is told to.
    for edit in [to(0, 1000, 7), to(1, 1, 7), to(0, 2, 7)] {
        let answer = me.push([edit]).await;
        assert_ne!(answer["results"][0]["status"], "rejected", "{answer}");
    }
    assert_eq!(names(), "Food 2,Food 1,Food 3");

    app.sql("ALTER TABLE foods DROP CONSTRAINT one_name, ADD CONSTRAINT one_name UNIQUE (name_en) DEFERRABLE");
    let answer = me.push([to(0, 3, 8), to(1, 2, 8), to(2, 1, 8)]).await;
    let is_done = |result: &Value| result["status"] != "rejected";
    assert!(answer["results"].as_array().expect("results").iter().all(is_done), "{answer}");
    assert_eq!(names(), "Food 3,Food 2,Food 1");
    assert_eq!(contradictions(&app), "");
}
