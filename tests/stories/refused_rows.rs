//! Rows that a rule of the operator's refuses in a database of the daemon's own: each is rejected by itself, the others of its
//! request apply, and an answer of the server's fault never stands for something that was stored.

use ryzed_tests::rows::{food, food_entry};
use ryzed_tests::{Account, Daemon, Database, delete, insert, update};
use serde_json::{Value, json};

/// The ways in which a trigger refuses a row, on SQLite and on PostgreSQL. Its words quote what nobody else may read.
const WAYS: [(&str, &str); 4] = [
    ("SELECT RAISE(ABORT, 'hush')", "RAISE EXCEPTION 'hush'"),
    ("SELECT RAISE(IGNORE)", "RETURN NULL"),
    ("SELECT RAISE(ROLLBACK, 'hush: the day is locked')", "RAISE EXCEPTION 'hush: the day does not exist'"),
    ("SELECT RAISE(FAIL, 'hush')", "PERFORM convert_to(OLD_OR_NEW.name_en || '🍐', 'LATIN1')"),
];

/// Puts up a trigger that refuses this event for foods of the name `Bad`.
fn refuse(database: &Database, event: &str, (sqlite, postgres): (&str, &str)) {
    let row = if event == "DELETE" { "OLD" } else { "NEW" };
    database.run(&match database {
        Database::Sqlite(_) => format!(
            "DROP TRIGGER IF EXISTS house_rule; CREATE TRIGGER house_rule BEFORE {event} ON foods WHEN {row}.name_en = 'Bad' BEGIN {sqlite}; END"
        ),
        Database::Postgres(_) => format!(
            "CREATE OR REPLACE FUNCTION public.house_rule() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             IF {row}.name_en = 'Bad' THEN {}; END IF; RETURN {row}; END $$; DROP TRIGGER IF EXISTS house_rule ON foods; \
             CREATE TRIGGER house_rule BEFORE {event} ON foods FOR EACH ROW EXECUTE FUNCTION public.house_rule()",
            postgres.replace("OLD_OR_NEW", row)
        ),
    });
}

fn named(name: &str) -> Value {
    food(json!({"name_en": name}))
}

fn statuses(answer: &Value) -> Vec<&str> {
    answer["results"].as_array().expect("results").iter().filter_map(|result| result["status"].as_str()).collect()
}

/// The one rejected change of an answer was so by a rule of the database, in words that tell nothing.
fn assert_refused(result: &Value) {
    assert_eq!(result["errors"][0]["code"], "constraint", "{result}");
    let message = result["errors"][0]["message"].as_str().expect("words");
    assert!(!message.is_empty() && !message.contains("hush"), "{result}");
}

async fn names(me: &Account) -> Vec<String> {
    let rows = me.rows("foods").await;
    let mut names: Vec<String> = rows.iter().map(|row| row["name_en"].as_str().expect("a name").to_owned()).collect();
    names.retain(|name| name.len() == 1 || name == "Bad");
    names.sort();
    names
}

#[tokio::test]
async fn a_new_row_that_a_trigger_refuses_is_rejected_alone() {
    for way in WAYS {
        let daemon = Daemon::start();
        let me = daemon.account();
        refuse(&daemon.database(), "INSERT", way);
        let foods = ["A", "Bad", "B", "Bad", "C"].map(named);
        let changes = foods.clone().map(|food| insert("foods", &food));
        let answer = me.push(changes.clone()).await;
        assert_eq!(statuses(&answer), ["applied", "rejected", "applied", "rejected", "applied"], "{way:?}: {answer}");
        assert_refused(&answer["results"][1]);
        assert_eq!(names(&me).await, ["A", "B", "C"], "{way:?}");
        // A retry gets the same, and what came along is stored once.
        assert_eq!(me.push(changes).await["results"], answer["results"], "{way:?}");
        assert!(daemon.database().is_sound() && !daemon.log().contains("ERROR"), "{way:?}: {}", daemon.log());
        // Nothing of a refused attempt is left: what somebody else writes is nobody's device's.
        let mut phone = me.socket("phone").await;
        let id = foods[0]["id"].as_str().expect("an id");
        daemon.database().run(&format!("UPDATE foods SET name_en = 'D' WHERE id = '{id}'"));
        assert_eq!(phone.next("database_change").await["new_record"]["name_en"], "D", "{way:?}");
    }
}

#[tokio::test]
async fn an_edit_and_a_deletion_that_a_trigger_refuses_are_rejected_alone() {
    for way in WAYS {
        let daemon = Daemon::start();
        let me = daemon.account();
        let (good, bad) = (named("A"), named("Bad"));
        let answer = me.push([insert("foods", &good), insert("foods", &bad)]).await;
        let versions = [&answer["results"][0]["version"], &answer["results"][1]["version"]];
        refuse(&daemon.database(), "UPDATE", way);
        let edit = |row: &Value, base: &Value| update("foods", &row["id"], json!({"calories": 9})).base(base);
        let answer = me.push([edit(&bad, versions[1]), edit(&good, versions[0])]).await;
        assert_eq!(statuses(&answer), ["rejected", "applied"], "{way:?}: {answer}");
        assert_refused(&answer["results"][0]);
        assert_eq!(me.row("foods", &bad["id"]).await.expect("the row")["calories"], 57, "{way:?}");
        refuse(&daemon.database(), "DELETE", way);
        let gone = |row: &Value| delete("foods", &row["id"]).strategy("client_wins");
        let answer = me.push([gone(&bad), gone(&good)]).await;
        assert_eq!(statuses(&answer)[0], "rejected", "{way:?}: {answer}");
        assert_refused(&answer["results"][0]);
        assert_eq!(names(&me).await, ["Bad"], "{way:?}");
        assert!(daemon.database().is_sound() && !daemon.log().contains("ERROR"), "{way:?}: {}", daemon.log());
    }
}

/// A row of one person that rolls back the transaction which many share costs nobody else anything.
#[tokio::test]
async fn a_row_that_takes_everything_back_takes_nobody_elses_along() {
    let daemon = Daemon::start();
    refuse(&daemon.database(), "INSERT", WAYS[2]);
    let people: Vec<Account> = (0..12).map(|_| daemon.account()).collect();
    let pushing = people.iter().enumerate().map(|(at, me)| async move {
        for _ in 0..5 {
            let name = if at % 3 == 0 { "Bad" } else { "A" };
            let answer = me.push([insert("foods", &named("B")), insert("foods", &named(name))]).await;
            let second = if at % 3 == 0 { "rejected" } else { "applied" };
            assert_eq!(statuses(&answer), ["applied", second], "{answer}");
        }
    });
    futures_util::future::join_all(pushing).await;
    for (at, me) in people.iter().enumerate() {
        assert_eq!(names(me).await.len(), if at % 3 == 0 { 5 } else { 10 });
    }
}

/// SQLite alone can have rows that take all others back; a request with too many of them is to come in parts.
#[tokio::test]
async fn a_request_full_of_such_rows_is_refused_whole_and_nothing_of_it_is_stored() {
    let daemon = Daemon::start();
    let me = daemon.account();
    refuse(&daemon.database(), "INSERT", WAYS[2]);
    let changes: Vec<Value> =
        (0..40).flat_map(|_| ["A", "Bad"]).map(|name| insert("foods", &named(name)).json()).collect();
    let answer = me.api.post("/sync", &json!({"device_id": "phone", "tables": ["users"], "changes": changes})).await;
    if answer.status == 200 {
        assert_eq!(names(&me).await.len(), 40);
    } else {
        let problem = answer.problem(&[413]);
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("fewer")), "{problem}");
        assert_eq!(names(&me).await, Vec::<String>::new());
    }
}

#[tokio::test]
async fn who_may_not_be_a_user_still_reads() {
    let daemon = Daemon::start();
    daemon.database().run(&match daemon.database() {
        Database::Sqlite(_) => {
            "CREATE TRIGGER nobody BEFORE INSERT ON users BEGIN SELECT RAISE(ABORT, 'hush'); END".to_owned()
        }
        Database::Postgres(_) => "CREATE FUNCTION public.nobody() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
            RAISE EXCEPTION 'hush'; END $$; CREATE TRIGGER nobody BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION public.nobody()"
            .to_owned(),
    });
    let me = daemon.account();
    assert!(!me.rows("foods").await.is_empty(), "the catalogue");
    let answer = me.push([insert("food_entries", &food_entry(json!({})))]).await;
    assert_eq!(statuses(&answer), ["rejected"], "{answer}");
}

#[tokio::test]
async fn what_only_the_commit_would_refuse_is_rejected_alone() {
    let daemon = Daemon::start();
    let Database::Postgres(_) = daemon.database() else { return };
    let me = daemon.account();
    daemon.database().run(
        "CREATE FUNCTION public.late() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         IF NEW.name_en = 'Bad' THEN RAISE EXCEPTION 'hush'; END IF; RETURN NULL; END $$; \
         CREATE CONSTRAINT TRIGGER late AFTER INSERT ON foods DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.late()",
    );
    let answer = me.push(["A", "Bad", "B"].map(|name| insert("foods", &named(name)))).await;
    assert_eq!(statuses(&answer), ["applied", "rejected", "applied"], "{answer}");
    assert_refused(&answer["results"][1]);
}

/// The download behind an upload fails: what is stored has its result all the same.
#[tokio::test]
async fn what_is_stored_is_answered_with_its_result() {
    let daemon = Daemon::start();
    let me = daemon.account();
    let entry = food_entry(json!({}));
    let cursor = me.cursor().await;
    // Rows of another table can't be read any more, each for a reason of its own.
    me.store("recipes", &ryzed_tests::rows::row("recipes", json!({}))).await;
    daemon.database().run(match daemon.database() {
        Database::Sqlite(_) => {
            "PRAGMA ignore_check_constraints = ON; DROP TRIGGER sync_recipes_update; UPDATE recipes SET ingredients = '[' WHERE user_id IS NOT NULL"
        }
        Database::Postgres(_) => "ALTER TABLE recipes RENAME COLUMN duration TO lasts",
    });
    let body = json!({"device_id": "phone", "cursor": cursor, "changes": [insert("food_entries", &entry).json()]});
    let answer = me.api.post("/sync", &body).await.ok();
    assert_eq!(statuses(&answer), ["applied"], "{answer}");
    if let Database::Sqlite(_) = daemon.database() {
        assert_eq!((&answer["has_more"], &answer["cursor"]), (&json!(true), &cursor), "{answer}");
    }
}
