//! The former values of a row that was changed or deleted are told to those whose row it was, and to nobody else: not
//! when it changed hands while no trigger looked, and not to a device that merely has the name of the one that wrote.

use std::time::Duration;

use ryzed_tests::rows::{exercise_set, food, food_entry, workout_exercise, workout_session};
use ryzed_tests::{Account, Daemon, Database, Person, delete, insert};
use serde_json::json;

/// Runs statements without the triggers of these tables.
fn unseen(database: &Database, tables: &[&str], statements: &str) {
    match database {
        Database::Postgres(_) => {
            let all = |what: &str| -> String {
                tables.iter().map(|table| format!("ALTER TABLE {table} {what} TRIGGER USER; ")).collect()
            };
            database.run(&format!("BEGIN; {} {statements}; {} COMMIT", all("DISABLE"), all("ENABLE")));
        }
        Database::Sqlite(_) => {
            let of: Vec<String> = tables.iter().map(|table| format!("'{table}'")).collect();
            let named = format!("FROM sqlite_master WHERE type = 'trigger' AND tbl_name IN ({})", of.join(", "));
            let dropped = database.run(&format!("SELECT 'DROP TRIGGER ' || name || ';' {named}"));
            let made = database.run(&format!("SELECT sql || ';' {named}"));
            database.run(&format!("BEGIN; {dropped} {statements}; {made} COMMIT"));
        }
    }
}

/// What stands for a secret in a column of numbers: too long to come up by chance in an id or a time.
const SECRET: &str = "1987654321";

/// Whether a text holds what the rows became.
fn tells(text: &str) -> bool {
    text.contains("Private") || text.contains(SECRET)
}

/// Rows of one person that became another's while no trigger looked, and hold that one's secret.
struct Strayed {
    daemon: Daemon,
    before: Account,
    entries: Vec<String>,
    sessions: Vec<String>,
    exercises: Vec<String>,
}

impl Strayed {
    async fn new() -> Self {
        let daemon = Daemon::builder().alone().start();
        let (before, after) = (daemon.account(), daemon.account_of(Person::new()));
        after.push([]).await;
        let id = |row: &serde_json::Value| row["id"].as_str().expect("an id").to_owned();
        let (mut entries, mut sessions, mut exercises) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..3 {
            let (entry, session) = (food_entry(json!({})), workout_session(json!({})));
            let exercise = workout_exercise(&session);
            let set = exercise_set(&exercise);
            for (table, row) in [
                ("food_entries", &entry),
                ("workout_sessions", &session),
                ("workout_exercises", &exercise),
                ("exercise_sets", &set),
            ] {
                before.store(table, row).await;
            }
            entries.push(id(&entry));
            sessions.push(id(&session));
            exercises.push(id(&exercise));
        }
        let (me, they) = (before.person.id, after.person.id);
        unseen(
            &daemon.database(),
            &["food_entries", "workout_sessions", "workout_exercises", "exercise_sets"],
            &format!(
                "UPDATE food_entries SET user_id = '{they}', unit = 'Private' WHERE user_id = '{me}'; \
                 UPDATE workout_sessions SET user_id = '{they}', name = 'Private' WHERE user_id = '{me}'; \
                 UPDATE workout_exercises SET order_index = {SECRET}; UPDATE exercise_sets SET reps = {SECRET}"
            ),
        );
        Self { daemon, before, entries, sessions, exercises }
    }

    fn told(&self) -> String {
        let (changes, of) = match self.daemon.database() {
            Database::Sqlite(_) => ("sync_changes", "previous"),
            Database::Postgres(_) => ("ryzed.changes", "previous::text"),
        };
        let user = self.before.person.id;
        self.daemon.database().run(&format!("SELECT {of} FROM {changes} WHERE scope = 'user:{user}'"))
    }
}

#[tokio::test]
async fn what_a_row_was_is_not_told_to_those_whose_it_was_no_more() {
    let strayed = Strayed::new().await;
    let Strayed { entries, sessions, exercises, .. } = &strayed;
    let mut tablet = strayed.before.socket("tablet").await;
    let every = match strayed.daemon.database() {
        Database::Sqlite(_) => "DELETE FROM food_entries",
        Database::Postgres(_) => "TRUNCATE food_entries",
    };
    for seen in [
        format!("DELETE FROM food_entries WHERE id = '{}'", entries[0]),
        format!("UPDATE food_entries SET quantity = quantity + 1 WHERE id = '{}'", entries[1]),
        // They give it back, without what it was with them.
        format!(
            "UPDATE food_entries SET user_id = '{}', unit = 'g' WHERE id = '{}'",
            strayed.before.person.id, entries[2]
        ),
        every.to_owned(),
        // What hangs on it goes first, or moves after it.
        format!("DELETE FROM workout_sessions WHERE id = '{}'", sessions[0]),
        format!("DELETE FROM workout_exercises WHERE id = '{}'", exercises[1]),
        format!(
            "UPDATE workout_sessions SET is_completed = NOT is_completed, user_id = user_id WHERE id = '{}'",
            sessions[2]
        ),
    ] {
        let seen = match strayed.daemon.database() {
            Database::Sqlite(_) => seen.replace("NOT is_completed", "1 - is_completed"),
            Database::Postgres(_) => seen,
        };
        strayed.daemon.database().run(&format!("{}{seen}", cascading(&strayed.daemon.database())));
        let kept = strayed.told();
        assert!(!tells(&kept), "{seen}: {kept}");
    }
    tablet.fence().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    tablet.fence().await;
    let heard = format!("{:?}", tablet.received("database_change"));
    assert!(heard.contains("DELETE"), "{heard}");
    assert!(!tells(&heard), "{heard}");
}

/// Foreign keys are off in SQLite's shell unless they are asked for.
fn cascading(database: &Database) -> &'static str {
    match database {
        Database::Sqlite(_) => "PRAGMA foreign_keys = ON; ",
        Database::Postgres(_) => "",
    }
}

#[tokio::test]
async fn a_device_hears_of_what_its_namesake_of_another_person_did_to_its_rows() {
    let daemon = Daemon::builder().alone().start();
    let (me, admin) = (daemon.account(), daemon.account_of(Person::admin()));
    let food = food(json!({"user_id": null}));
    admin.apply(insert("foods", &food)).await;
    let entry = food_entry(json!({"food_id": food["id"]}));
    me.store("food_entries", &entry).await;
    let mut phone = me.socket("phone").await;
    let answer = admin.push_from("phone", [delete("foods", &food["id"])]).await;
    assert_eq!(answer["results"][0]["status"], "applied", "{answer}");
    let heard = phone.next_where("data_updated", |message| message["table"] == "food_entries").await;
    assert_eq!((&heard["data"]["food_id"], &heard["source_device"]), (&json!(null), &json!("ryzed")), "{heard}");
    // Of its own changes it does not hear.
    let answer = me.push_from("phone", [delete("food_entries", &entry["id"])]).await;
    assert_eq!(answer["results"][0]["status"], "applied", "{answer}");
    phone.expect_silence_where("data_updated", |message| message["table"] == "food_entries", 300).await;
}
