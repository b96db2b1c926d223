//! A server whose errors are not in English.

use std::sync::LazyLock;

use ryzed_tests::postgres::{Cluster, psql};
use ryzed_tests::rows::food_entry;
use ryzed_tests::{Daemon, Session};
use serde_json::json;

static GERMAN: LazyLock<Cluster> = LazyLock::new(|| {
    let cluster = Cluster::start_speaking("de");
    let error = psql(&cluster.url("postgres"), "SELECT 1 / 0").expect_err("a division by zero");
    assert!(
        error.contains("durch Null"),
        "the story needs the server's German messages (/usr/share/locale/de/LC_MESSAGES/postgres-*.mo): {error}"
    );
    cluster
});

/// Checks the daemon's reaction to a lock timeout, which the server reports in German.
async fn meets_a_lock(daemon: &Daemon) {
    let me = daemon.account();
    let row = food_entry(json!({}));
    me.store("food_entries", &row).await;
    let locking = Session::that(daemon.database_url(), "BEGIN; LOCK TABLE public.food_entries").await;
    let answer = me.api.get("/changes?tables=food_entries").await;
    answer.problem(&[503]);
    assert!(!answer.header("retry-after").is_empty());
    locking.run("COMMIT").await;
    assert_eq!(me.rows("food_entries").await.len(), 1);
}

fn database() -> (String, String) {
    let url = GERMAN.new_database();
    let name = url.rsplit_once('/').expect("a database").1.to_owned();
    psql(&url, &format!("ALTER DATABASE {name} SET lock_timeout = '300ms'")).expect("a setting");
    (url, name)
}

#[tokio::test]
async fn a_daemon_that_may_choose_the_language_understands_the_server() {
    let daemon = Daemon::builder().env("RYZED_DATABASE__URL", database().0).start();
    meets_a_lock(&daemon).await;
    assert!(daemon.log().contains("canceling statement due to lock timeout"), "{}", daemon.log());
    assert!(!daemon.log().contains("not in English"), "{}", daemon.log());
}

#[tokio::test]
async fn a_daemon_that_may_not_says_so_and_takes_what_it_does_not_understand_for_passing() {
    let (url, name) = database();
    let role = format!(
        "CREATE ROLE modest LOGIN CREATEROLE; DO $$ BEGIN IF to_regrole('ryzed_daemon') IS NULL THEN CREATE ROLE ryzed_daemon NOLOGIN; \
         END IF; END $$; GRANT ryzed_daemon TO modest; ALTER DATABASE {name} OWNER TO modest; ALTER SCHEMA public OWNER TO modest"
    );
    psql(&url, &role).expect("a role");
    let url = url.replace("postgres@", "modest@");
    let mut daemon = Daemon::builder().env("RYZED_DATABASE__URL", &url).start();
    meets_a_lock(&daemon).await;
    assert!(daemon.log().contains("not in English") && daemon.log().contains("lc_messages"), "{}", daemon.log());
    assert!(!daemon.log().contains("ERROR"), "{}", daemon.log());

    // What the warning asks for helps.
    psql(&GERMAN.url(&name), "ALTER ROLE modest SET lc_messages = 'C'").expect("a setting");
    daemon.kill9();
    let lines = daemon.log().len();
    daemon.restart();
    meets_a_lock(&daemon).await;
    assert!(!daemon.log()[lines..].contains("not in English"), "{}", daemon.log());
}
