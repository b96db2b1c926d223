//! A database that a later release has migrated: an older one leaves it alone and says so.

use ryzed_tests::{Daemon, Database, Ran};

#[tokio::test]
async fn an_older_release_does_not_start_on_a_newer_database() {
    let mut daemon = Daemon::builder().alone().start();
    daemon.terminate();
    assert_eq!(daemon.exit_code().await, 0);
    let migrations = match daemon.database() {
        Database::Sqlite(_) => "__diesel_schema_migrations",
        Database::Postgres(_) => "ryzed.__diesel_schema_migrations",
    };
    daemon.database().run(&format!("INSERT INTO {migrations} (version) VALUES ('9901')"));
    let before = daemon.lines().len();
    let user = "7b0c3f5e-5d0f-4c5b-9a53-3f0a6ad0a001";
    for arguments in
        [&["serve"][..], &["migrate"], &["migrate", "--status"], &["export", "--user", user], &["export", "--all"]]
    {
        let ran = Ran::of(daemon.command(arguments).env("RYZED_SERVER__LISTEN", "127.0.0.1:0"));
        assert_eq!(ran.code, 2, "{arguments:?}: {}", ran.said());
        assert!(ran.stderr.contains("later release") && ran.stderr.contains("9901"), "{arguments:?}: {}", ran.said());
    }
    assert_eq!(daemon.lines().len(), before);
    daemon.database().run(&format!("DELETE FROM {migrations} WHERE version = '9901'"));
    daemon.restart();
}

#[tokio::test]
async fn a_command_leaves_migrating_to_the_daemon() {
    let mut daemon = Daemon::builder().alone().start();
    daemon.terminate();
    assert_eq!(daemon.exit_code().await, 0);
    let (database, last) = match daemon.database() {
        database @ Database::Sqlite(_) => (database, "__diesel_schema_migrations"),
        database @ Database::Postgres(_) => (database, "ryzed.__diesel_schema_migrations"),
    };
    database.run(&format!("DELETE FROM {last} WHERE version = (SELECT max(version) FROM {last})"));
    let ran = Ran::of(&mut daemon.command(&["export", "--catalogue"]));
    assert_eq!(ran.code, 2, "{}", ran.said());
    assert!(ran.stderr.contains("ryzed migrate"), "{}", ran.stderr);
}
