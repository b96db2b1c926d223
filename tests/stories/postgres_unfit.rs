//! Servers that the daemon can't work with are found out before anything is made, set or prepared there, and it is said what to
//! do; those that only look so work.

use ryzed_tests::command::ryzed;
use ryzed_tests::pooler::Pooler;
use ryzed_tests::postgres::{Cluster, dump, psql};
use ryzed_tests::rows::{food, workout_session};
use ryzed_tests::{Daemon, update};
use serde_json::json;

/// Every command that opens a database ends with 2 and says these words, and nothing is made.
fn is_refused(url: &str, words: &[&str]) {
    let user = "7b0c3f5e-5d0f-4c5b-9a53-3f0a6ad0a001";
    for arguments in [
        &["serve"][..],
        &["migrate"],
        &["migrate", "--status"],
        &["adopt"],
        &["adopt", "--dry-run"],
        &["export", "--user", user],
    ] {
        ends_with_2(url, arguments, words);
    }
}

fn ends_with_2(url: &str, arguments: &[&str], words: &[&str]) {
    let folder = tempfile::tempdir().expect("a folder");
    let env = [("RYZED_DATABASE__URL", url), ("RYZED_SERVER__LISTEN", "127.0.0.1:0")];
    let ran = ryzed(folder.path(), &env, arguments);
    assert_eq!(ran.code, 2, "{arguments:?}: {}", ran.said());
    assert!(words.iter().all(|word| ran.stderr.contains(word)), "{arguments:?}: {}", ran.said());
}

#[test]
fn a_database_that_can_not_hold_every_text_is_refused() {
    let cluster = Cluster::start();
    for encoding in ["LATIN1", "SQL_ASCII"] {
        let name = format!("in_{}", encoding.to_lowercase());
        let make = format!("CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0");
        psql(&cluster.url("postgres"), &make).expect("a database");
        let before = dump(&cluster.url(&name), &[]);
        is_refused(&cluster.url(&name), &[encoding, "UTF8", "TEMPLATE template0"]);
        assert_eq!(dump(&cluster.url(&name), &[]), before);
    }
}

#[test]
fn a_pooler_that_shares_connections_is_refused_and_nothing_leaks() {
    let cluster = Cluster::start();
    psql(&cluster.url("postgres"), "CREATE DATABASE pooled").expect("a database");
    let before = dump(&cluster.url("pooled"), &[]);
    let words = ["pool_mode = session"];
    for (mode, connections) in [("transaction", 5), ("transaction", 1), ("statement", 5)] {
        let pooler = Pooler::before(&cluster, mode, connections);
        // With one connection only, a second transaction is waited for in vain.
        match connections {
            1 => ends_with_2(&pooler.url("pooled"), &["serve"], &words),
            _ => is_refused(&pooler.url("pooled"), &words),
        }
        let left = "SELECT count(*) FROM pg_prepared_statements; SHOW statement_timeout; SHOW application_name";
        let left = psql(&pooler.url("pooled"), left).expect("an answer");
        assert!(left.starts_with("0\n0\n") && !left.contains("ryzed"), "{mode}: {left}");
    }
    assert_eq!(dump(&cluster.url("pooled"), &[]), before);
}

#[tokio::test]
async fn a_pooler_that_gives_each_program_its_own_connection_is_none_the_wiser() {
    let cluster = Cluster::start();
    psql(&cluster.url("postgres"), "CREATE DATABASE pooled").expect("a database");
    let pooler = Pooler::before(&cluster, "session", 40);
    let daemon = Daemon::builder().alone().env("RYZED_DATABASE__URL", pooler.url("pooled")).start();
    let me = daemon.account();
    let mut tablet = me.socket("tablet").await;
    let session = workout_session(json!({"name": "through a pool"}));
    me.store("workout_sessions", &session).await;
    tablet.next("data_updated").await;
}

#[tokio::test]
async fn backslashes_are_letters_whatever_the_database_thinks_of_them() {
    let cluster = Cluster::start();
    psql(&cluster.url("postgres"), "CREATE DATABASE escaping").expect("a database");
    psql(&cluster.url("postgres"), "ALTER DATABASE escaping SET standard_conforming_strings = off").expect("a setting");
    let daemon = Daemon::builder().alone().env("RYZED_DATABASE__URL", cluster.url("escaping")).start();
    let me = daemon.account();
    let name = r#"a \' b \\ c ' d \x41 "e" 🏃"#;
    let session = workout_session(json!({"name": name}));
    let version = me.store("workout_sessions", &session).await;
    assert_eq!(me.row("workout_sessions", &session["id"]).await.expect("the row")["name"], name);
    me.apply(update("workout_sessions", &session["id"], json!({"name": r"\"})).base(&version)).await;
    // Another program writes as its database has it.
    let mut tablet = me.socket("tablet").await;
    let id = session["id"].as_str().expect("an id");
    daemon.database().run(&format!("UPDATE workout_sessions SET name = E'\\\\n' || name WHERE id = '{id}'"));
    assert_eq!(tablet.next("database_change").await["new_record"]["name"], r"\n\");
    assert!(me.change(ryzed_tests::insert("foods", &food(json!({"name_en": name})))).await["status"] == "applied");
}
