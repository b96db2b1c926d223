//! The key with which instances seal what they tell each other: who reads it, how long it lives, and that it stays where it is.

use ryzed_tests::instances::Instances;
use ryzed_tests::postgres::{self, dump, psql};
use ryzed_tests::{Application, Daemon};

use crate::instances_faults::{crosses, settings, wait_for};

fn sql(url: &str, sql: &str) -> String {
    psql(url, sql).unwrap_or_else(|error| panic!("{error}"))
}

/// The parts of the key, as only the owner can read them.
fn key(url: &str) -> Vec<String> {
    sql(url, "SELECT a, b, c FROM ryzed.bridge_key").split('|').map(str::to_owned).collect()
}

#[tokio::test]
async fn the_key_leaves_the_database_in_no_dump_and_no_archive() {
    let daemon = Daemon::builder().alone().on_postgres().start();
    let (account, url) = (daemon.account(), daemon.database_url());
    account.push([]).await;
    let (key_here, epoch_here) = (key(url), account.cursor().await["epoch"].clone());
    let (dumped, archive) = (dump(url, &[]), daemon.command(&["export", "--all"]).output().expect("an archive"));
    let archive = String::from_utf8_lossy(&archive.stdout).into_owned();
    assert!(archive.contains(&account.person.id.to_string()), "not the whole database: {archive}");
    for part in &key_here {
        assert!(!dumped.contains(part) && !archive.contains(part), "{part} is carried out");
    }
    // Who restores the dump has a key of its own.
    let copy = postgres::new_database();
    sql(&copy, &dumped);
    let restored = Daemon::builder().alone().env("RYZED_DATABASE__URL", &copy).start();
    assert!(key(&copy).iter().all(|part| part.len() == 36 && !key_here.contains(part)));
    assert_ne!(restored.account_of(account.person.clone()).cursor().await["epoch"], epoch_here);
}

#[tokio::test]
async fn nobody_but_the_owner_reads_the_key() {
    let url = postgres::new_database();
    let database = url.rsplit('/').next().expect("a name").to_owned();
    // A role that the owner lets read whatever it makes.
    let reader = format!("reader_of_{database}");
    sql(&url, &format!("CREATE ROLE {reader}; ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO {reader}, PUBLIC"));
    let _daemon = Daemon::builder().alone().env("RYZED_DATABASE__URL", &url).start();
    sql(&url, &format!("GRANT USAGE ON SCHEMA ryzed TO {reader}"));
    for role in ["ryzed_daemon", &reader] {
        let read = psql(&url, &format!("SET ROLE {role}; SELECT * FROM ryzed.bridge_key"));
        assert!(read.as_ref().is_err_and(|error| error.contains("permission denied")), "{role}: {read:?}");
    }
    assert!(psql(&url, &format!("SET ROLE {reader}; SELECT count(*) FROM ryzed.instances")).is_ok());
}

#[tokio::test]
async fn a_new_life_has_a_new_key_and_a_restart_has_not() {
    let mut daemon = Daemon::builder().alone().on_postgres().start();
    let url = daemon.database_url().to_owned();
    let first = key(&url);
    daemon.kill9();
    daemon.restart();
    assert_eq!(key(&url), first);
    daemon.kill9();
    sql(&url, "DELETE FROM ryzed.meta WHERE key = 'life'");
    daemon.restart();
    assert!(key(&url).iter().all(|part| !first.contains(part)));
}

#[tokio::test]
async fn the_key_is_changed_while_instances_work() {
    let mut both = Instances::with_redis(|builder| settings(builder).env("RYZED_SYNC__SWEEP_SECONDS", 1));
    wait_for(&both, "redis").await;
    let (here, there) = both.account();
    let mut tablet = there.socket("tablet").await;
    crosses(&here, &mut tablet, 1).await;
    // What docs/operating.md says: a new key, then one restart after the other.
    sql(both.a.database_url(), "REFRESH MATERIALIZED VIEW ryzed.bridge_key");
    crosses(&here, &mut tablet, 2).await;
    both.a.kill9();
    both.a.restart();
    // They don't understand each other now, and nothing is lost: the sweep finds it.
    crosses(&there, &mut here.socket("watch").await, 3).await;
    both.b.kill9();
    both.b.restart();
    wait_for(&both, "redis").await;
    let mut tablet = there.socket("tablet").await;
    for quantity in 4..=6 {
        crosses(&here, &mut tablet, quantity).await;
    }
}

#[test]
fn leaving_takes_the_key_away() {
    let app = Application::with_people(1);
    app.ryzed(&["adopt"]).ok();
    assert_eq!(key(&app.url).len(), 3);
    app.ryzed(&["adopt", "--undo"]).ok();
    assert_eq!(sql(&app.url, "SELECT to_regclass('ryzed.bridge_key') IS NULL"), "t");
    assert_eq!(sql(&app.url, "SELECT count(*) FROM pg_matviews"), "0");
}
