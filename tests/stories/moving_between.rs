//! A whole database taken from SQLite to PostgreSQL and back, and what is no database of the daemon's own.

use ryzed_tests::moving::{Place, lines, live, stop};
use ryzed_tests::rows::{food_entry, workout_session};
use ryzed_tests::{Application, Daemon};
use serde_json::json;

async fn moved(from: Place, to: Place) {
    let lived = live(&from).await;
    let archive = from.export("all.ndjson", &["--seal"]);
    let said = to.import(&archive).ok();
    assert!(said.contains("devices go on where they were"), "{said}");
    lived.goes_on(&to).await;
    assert!(from.refusal_to_serve().contains("export --unseal"));
}

#[tokio::test]
async fn everybody_goes_on_after_a_move_from_sqlite_to_postgresql() {
    moved(Place::sqlite(), Place::postgres()).await;
}

#[tokio::test]
async fn everybody_goes_on_after_a_move_from_postgresql_to_sqlite() {
    moved(Place::postgres(), Place::sqlite()).await;
}

#[tokio::test]
async fn there_and_back_again_is_the_same() {
    let (home, abroad, again) = (Place::sqlite(), Place::postgres(), Place::sqlite());
    live(&home).await;
    let first = home.export("all.ndjson", &["--seal"]);
    abroad.import(&first).ok();
    let second = abroad.export("all.ndjson", &["--seal"]);
    again.import(&second).ok();
    let third = again.export("all.ndjson", &["--seal"]);
    let kinds = ["scope", "table", "change", "receipt", "device", "conflict", "end"];
    let first = lines(&first);
    for kind in kinds {
        assert!(first.iter().any(|line| line.starts_with(&format!("{{\"{kind}\":"))), "no {kind} in the archive");
    }
    assert_eq!(first, lines(&second));
    assert_eq!(first, lines(&third));
}

#[tokio::test]
async fn an_applications_own_tables_are_not_moved() {
    let app = Application::with_people(1);
    // Nothing is put into a database that nobody has adopted, and nothing left out of one that was.
    for adopts in [false, true] {
        if adopts {
            app.ryzed(&["adopt"]).ok();
        }
        for arguments in [&["export", "--all"][..], &["import", "--all", "-"]] {
            let ran = app.ryzed(arguments);
            assert_eq!(ran.code, 2, "{}", ran.said());
            assert!(ran.stderr.contains("ryzed adopt") && ran.stdout.is_empty(), "{}", ran.said());
        }
    }
}

/// A value that JSON can't express is in an archive as a text that both databases take back.
#[tokio::test]
async fn values_that_json_cannot_say_move_as_they_are() {
    for (from, value, held) in [
        (Place::sqlite(), "9e999", ["Inf", "Infinity", "Inf"]),
        (Place::postgres(), "'Infinity'", ["Infinity", "Infinity", "Inf"]),
    ] {
        let (there, back) = (Place::postgres(), Place::sqlite());
        let (entry, session) = (food_entry(json!({})), workout_session(json!({})));
        let mut daemon = from.serve();
        let me = daemon.account();
        me.store("food_entries", &entry).await;
        me.store("workout_sessions", &session).await;
        daemon.database().run(&format!(
            "UPDATE food_entries SET calories = {value}; UPDATE workout_sessions SET end_time = 'infinity'"
        ));
        let values = "SELECT calories FROM food_entries; SELECT end_time FROM workout_sessions";
        let is_held = |daemon: &Daemon, number: &str| {
            assert_eq!(daemon.database().run(values).trim(), format!("{number}\ninfinity"));
        };
        is_held(&daemon, held[0]);
        stop(&mut daemon).await;
        there.import(&from.export("all.ndjson", &["--seal"])).ok();
        let mut daemon = there.serve();
        is_held(&daemon, held[1]);
        stop(&mut daemon).await;
        back.import(&there.export("all.ndjson", &["--seal"])).ok();
        is_held(&back.serve(), held[2]);
    }
}

/// SQLite has no NaN: who moves one there is told where it is and what to do, and nothing is imported.
#[tokio::test]
async fn what_is_no_number_is_told_before_it_is_lost() {
    let (from, to) = (Place::postgres(), Place::sqlite());
    let mut daemon = from.serve();
    let me = daemon.account();
    me.store("food_entries", &food_entry(json!({}))).await;
    daemon.database().run("UPDATE food_entries SET calories = 'NaN'");
    stop(&mut daemon).await;
    let archive = from.export("all.ndjson", &[]);
    let ran = to.import(&archive);
    assert!(ran.code != 0 && ran.stderr.contains("holds NaN in calories"), "{}", ran.said());
    assert!(ran.stderr.contains("Nothing was imported"), "{}", ran.said());
}

#[tokio::test]
async fn what_is_no_text_is_told_and_not_lost_on_the_way() {
    let from = Place::sqlite();
    let mut daemon = from.serve();
    let me = daemon.account();
    let session = workout_session(json!({}));
    me.store("workout_sessions", &session).await;
    daemon.database().run("UPDATE workout_sessions SET name = CAST(X'41FF' AS TEXT)");
    stop(&mut daemon).await;
    let ran = from.run(&["export", "--all"]);
    let id = session["id"].as_str().expect("an id");
    assert_eq!(ran.code, 2, "{}", ran.said());
    assert!(ran.stderr.contains(&format!("the row {id} of workout_sessions holds what is no text")), "{}", ran.said());
    assert!(ran.stderr.contains("in name") && !ran.stderr.contains("SELECT"), "{}", ran.said());
}
