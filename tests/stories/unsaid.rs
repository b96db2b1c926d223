//! Values that the database holds and that JSON, or a table's schema, can't say: they go out as null with a mark, and who edits
//! other fields changes none of them.

use ryzed_tests::change::{delete, update, upsert};
use ryzed_tests::rows::{food_entry, row};
use ryzed_tests::{Account, Daemon, Database};
use serde_json::{Value, json};

use crate::{shared, somebody};

fn is_postgres() -> bool {
    matches!(shared().database(), Database::Postgres(_))
}

fn sql(statement: &str) -> String {
    shared().database().run(statement).trim().to_owned()
}

/// A table, a row of it, one of its columns, another one to edit, and what SQL puts into the first.
type Case = (&'static str, &'static str, (&'static str, Value), &'static str);

fn cases() -> Vec<Case> {
    let quantity = || ("unit", json!("ml"));
    let name = || ("name", json!("Arms"));
    let servings = || ("servings", json!(6));
    if is_postgres() {
        vec![
            ("workout_sessions", "end_time", name(), "'infinity'"),
            ("workout_sessions", "end_time", name(), "'-infinity'"),
            ("workout_sessions", "start_time", name(), "'infinity'"),
            ("workout_sessions", "end_time", name(), "'0044-03-15 12:00:00+00 BC'"),
            ("workout_sessions", "end_time", name(), "'12026-03-15 12:00:00+00'"),
            ("food_entries", "calories", quantity(), "'NaN'"),
            ("food_entries", "quantity", quantity(), "'Infinity'"),
            ("food_entries", "calories", quantity(), "1e400"),
            ("recipes", "tags", servings(), "ARRAY['a', NULL]"),
            ("recipes", "tags", servings(), "ARRAY[['a', 'b'], ['c', 'd']]"),
        ]
    } else {
        vec![
            ("workout_sessions", "end_time", name(), "'infinity'"),
            ("workout_sessions", "end_time", name(), "'now'"),
            ("workout_sessions", "start_time", name(), "'-0044-03-15T12:00:00.000000Z'"),
            ("workout_sessions", "end_time", name(), "'2026-02-30T12:00:00.000000Z'"),
            ("workout_sessions", "end_time", name(), "'0000-12-31T12:00:00.000000Z'"),
            ("food_entries", "calories", quantity(), "9e999"),
            ("food_entries", "quantity", quantity(), "9e999"),
            ("recipes", "duration", servings(), "9007199254740993"),
            ("recipes", "tags", servings(), "'[\"a\",1]'"),
        ]
    }
}

async fn stored(me: &Account, (table, column, _, value): &Case) -> (Value, String) {
    let made = row(table, json!({}));
    me.store(table, &made).await;
    let id = made["id"].as_str().expect("an id");
    sql(&format!("UPDATE {table} SET {column} = {value} WHERE id = '{id}'"));
    (made["id"].clone(), held(table, column, id))
}

fn held(table: &str, column: &str, id: &str) -> String {
    sql(&format!("SELECT {column} FROM {table} WHERE id = '{id}'"))
}

/// The row as it comes is marked, an edit of another field keeps the value, and so does a client that sends back whole rows.
#[tokio::test]
async fn an_edit_of_another_field_loses_nothing_that_cannot_be_said() {
    for case in cases() {
        let (table, column, (field, value), _) = &case;
        let me = somebody();
        let (id, before) = stored(&me, &case).await;
        let seen = me.row(table, &id).await.expect("the row comes");
        assert_eq!((&seen[column], &seen["_unsaid"]), (&Value::Null, &json!([column])), "{case:?}: {seen}");
        me.apply(update(table, &id, json!({ *field: value })).base(&seen["_version"])).await;
        let is_held = || held(table, column, id.as_str().expect("an id"));
        assert_eq!(is_held(), before, "{case:?}");

        let seen = me.row(table, &id).await.expect("the row is there");
        assert_eq!((&seen[field], &seen["_unsaid"]), (value, &json!([column])), "{case:?}: {seen}");
        let mut whole = seen.clone();
        whole[field] = row(table, json!({}))[field].clone();
        me.apply(upsert(table, &whole).base(&seen["_version"])).await;
        assert_eq!(is_held(), before, "a client that writes whole rows: {case:?}");
    }
}

/// Live messages about the row and its deletion say the same.
#[tokio::test]
async fn sockets_and_tombstones_say_the_same_and_a_row_that_comes_back_has_its_value() {
    for case in cases() {
        let (table, column, (field, value), sql_value) = &case;
        let me = somebody();
        let made = row(table, json!({}));
        me.store(table, &made).await;
        let id = made["id"].as_str().expect("an id");
        let mut tablet = me.socket("tablet").await;
        sql(&format!("UPDATE {table} SET {column} = {sql_value} WHERE id = '{id}'"));
        let message = tablet.next("database_change").await;
        assert_eq!(message["new_record"]["_unsaid"], json!([column]), "{message}");
        let (before, version) = (held(table, column, id), message["version"].clone());

        me.apply(delete(table, &json!(id))).await;
        let told = tablet.next("data_updated").await;
        assert_eq!(told["data"][column], Value::Null, "{told}");
        let back =
            me.change(update(table, &json!(id), json!({ *field: value })).base(&version).strategy("client_wins")).await;
        assert_eq!(back["status"], "conflict", "{case:?}: {back}");
        assert_eq!(held(table, column, id), before, "{case:?}");
    }
}

/// A field that got a value that can be said is an ordinary one.
#[tokio::test]
async fn a_value_can_be_given_to_what_could_not_be_said() {
    let me = somebody();
    let case = ("workout_sessions", "end_time", ("name", json!("Arms")), "'infinity'");
    let (id, _) = stored(&me, &case).await;
    let seen = me.row("workout_sessions", &id).await.expect("the row");
    let time = "2026-02-01T10:00:00.000000Z";
    me.apply(update("workout_sessions", &id, json!({"end_time": time})).base(&seen["_version"])).await;
    let now = me.row("workout_sessions", &id).await.expect("the row");
    assert_eq!((&now["end_time"], now.get("_unsaid")), (&json!(time), None));
}

/// One such value in a table does not keep people from the rest, and JSON deeper or wider than is taken stays whole.
#[tokio::test]
async fn json_that_nobody_here_can_hold_stays_as_it_is() {
    let me = somebody();
    let made = row("recipes", json!({}));
    me.store("recipes", &made).await;
    let id = made["id"].as_str().expect("an id");
    let deep = format!("[{}1{}]", "[".repeat(200), "]".repeat(200));
    for ingredients in [r#"[{"name": "leek", "quantity": 1e400}]"#, &deep] {
        sql(&format!("UPDATE recipes SET ingredients = '{ingredients}' WHERE id = '{id}'"));
        let before = held("recipes", "ingredients", id);
        me.apply(update("recipes", &json!(id), json!({"servings": 3})).base(&me.cursor().await["user"])).await;
        me.apply(update("recipes", &json!(id), json!({"servings": 4})).base(&me.cursor().await["user"])).await;
        assert_eq!(held("recipes", "ingredients", id), before);
    }
}

/// An export of a person's rows that is imported again gives the same rows.
#[tokio::test]
async fn export_and_import_agree() {
    let daemon = Daemon::start();
    let me = daemon.account();
    let entry = food_entry(json!({}));
    me.store("food_entries", &entry).await;
    let id = entry["id"].as_str().expect("an id");
    let run = |statement: String| daemon.database().run(&statement).trim().to_owned();
    let value = if is_postgres() { "'NaN'" } else { "9e999" };
    run(format!("UPDATE food_entries SET calories = {value} WHERE id = '{id}'"));
    let held = || run(format!("SELECT calories FROM food_entries WHERE id = '{id}'"));
    let before = held();
    let exported = me.api.get("/export").await.text();
    let line = exported.lines().find(|line| line.contains(id)).expect("the entry is exported");
    assert!(line.contains(r#""_unsaid":["calories"]"#), "{line}");
    let file = daemon.folder().join("mine.ndjson");
    std::fs::write(&file, &exported).expect("a file");
    let person = me.person.id.to_string();
    let import =
        daemon.command(&["import", "--user", &person, file.to_str().expect("a path")]).output().expect("it runs");
    assert!(import.status.success(), "{}", String::from_utf8_lossy(&import.stderr));
    assert_eq!(held(), before);
}

/// In SQLite a text may hold any bytes.
#[tokio::test]
async fn a_text_that_is_no_utf_8_is_a_value_that_cannot_be_said() {
    if is_postgres() {
        return;
    }
    let daemon = Daemon::start();
    let me = daemon.account();
    let (made, other) = (row("workout_sessions", json!({})), row("workout_sessions", json!({})));
    me.store("workout_sessions", &made).await;
    me.store("workout_sessions", &other).await;
    let id = made["id"].as_str().expect("an id");
    let mut tablet = me.socket("tablet").await;
    for bytes in ["41FF42", "C3", "EDA080", "FF"] {
        let run = |statement: &str| daemon.database().run(statement).trim().to_owned();
        run(&format!("UPDATE workout_sessions SET name = CAST(X'{bytes}' AS TEXT) WHERE id = '{id}'"));
        let held = || run(&format!("SELECT hex(name) FROM workout_sessions WHERE id = '{id}'"));
        let told = tablet.next("database_change").await;
        assert_eq!((&told["new_record"]["name"], &told["new_record"]["_unsaid"]), (&Value::Null, &json!(["name"])));
        let seen = me.row("workout_sessions", &made["id"]).await.expect("the row comes");
        assert_eq!((&seen["name"], &seen["_unsaid"]), (&Value::Null, &json!(["name"])), "{seen}");
        assert_eq!(me.rows("workout_sessions").await.len(), 2, "and so do the others");
        let edit = update("workout_sessions", &made["id"], json!({"is_completed": true})).base(&seen["_version"]);
        me.apply(edit).await;
        assert_eq!(held(), bytes);
        let seen = me.row("workout_sessions", &made["id"]).await.expect("the row");
        let mut whole = seen.clone();
        whole["is_completed"] = json!(false);
        me.apply(upsert("workout_sessions", &whole).base(&seen["_version"])).await;
        assert_eq!(held(), bytes, "a client that writes whole rows");
    }
    let log = daemon.log();
    assert!(!log.contains("ERROR"), "{log}");
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("can't say")).collect();
    assert!(lines.len() == 1 && lines[0].contains("workout_sessions") && lines[0].contains("name"), "{lines:?}");
    let seen = me.row("workout_sessions", &made["id"]).await.expect("the row");
    me.apply(update("workout_sessions", &made["id"], json!({"name": "Legs"})).base(&seen["_version"])).await;
    assert_eq!(me.row("workout_sessions", &made["id"]).await.expect("the row")["name"], "Legs");
    me.apply(delete("workout_sessions", &made["id"]).strategy("client_wins")).await;
    me.pull(json!({})).await;
}

/// What is noted of such a text once it is replaced, or gone with its row, is that there was one.
#[tokio::test]
async fn a_former_text_that_is_no_utf_8_is_not_kept() {
    if is_postgres() {
        return;
    }
    let daemon = Daemon::start();
    let me = daemon.account();
    let made = row("workout_sessions", json!({}));
    me.store("workout_sessions", &made).await;
    let run = |statement: &str| daemon.database().run(&statement.replace("{id}", made["id"].as_str().expect("an id")));
    run("UPDATE workout_sessions SET name = CAST(X'41FF42' AS TEXT) WHERE id = '{id}'");
    let version = me.row("workout_sessions", &made["id"]).await.expect("the row")["_version"].clone();
    let mut tablet = me.socket("tablet").await;
    let marked = |told: &Value| {
        let former = &told["old_record"];
        assert_eq!((&former["name"], &former["_unsaid"]), (&Value::Null, &json!(["name"])), "{told}");
    };
    run("UPDATE workout_sessions SET name = 'Legs' WHERE id = '{id}'");
    marked(&tablet.next("database_change").await);
    run("UPDATE workout_sessions SET name = CAST(X'41FF42' AS TEXT) WHERE id = '{id}'");
    assert_eq!(tablet.next("database_change").await["old_record"]["name"], "Legs");
    run("DELETE FROM workout_sessions WHERE id = '{id}'");
    marked(&tablet.next("database_change").await);
    // The row comes back with what the device brings, and not without a name.
    let back = |brought: Value| update("workout_sessions", &made["id"], brought).base(&version).strategy("client_wins");
    assert_eq!(me.refusal(back(json!({"is_completed": true}))).await, "constraint");
    assert_eq!(me.change(back(json!({"is_completed": true, "name": "Back"}))).await["status"], "conflict");
    assert_eq!(me.row("workout_sessions", &made["id"]).await.expect("the row")["name"], "Back");
}
