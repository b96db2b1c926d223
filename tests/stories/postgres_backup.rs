//! The commands of docs/operating.md for PostgreSQL work as written: the role and the database, a backup and its way
//! back.

use std::process::Command;

use ryzed_tests::postgres::Cluster;
use ryzed_tests::rows::food_entry;
use ryzed_tests::{Daemon, Ran, insert};
use serde_json::json;
use tempfile::TempDir;

/// The blocks of commands below a heading of the manual.
fn commands(heading: &str) -> Vec<String> {
    let manual = include_str!("../../docs/operating.md");
    let (_, section) = manual.split_once(&format!("\n### {heading}\n")).expect("the section");
    let section = section.split("\n## ").next().unwrap_or_default().split("\n### ").next().unwrap_or_default();
    let blocks = section.split("```sh\n").skip(1).filter_map(|block| block.split("```").next());
    blocks.map(str::to_owned).collect()
}

/// Types commands on a machine with this server and without systemd.
fn typed(cluster: &Cluster, folder: &TempDir, commands: &str) {
    let root = cluster.url("postgres");
    let server = cluster.url("").replace("postgres@", "ryzed@");
    let here = commands
        .replace("runuser -u postgres -- psql", &format!("psql -q -v ON_ERROR_STOP=1 {root}"))
        .replace("postgres://ryzed@localhost/", &server)
        .replace("systemctl ", "true ");
    let ran = Ran::of(Command::new("sh").args(["-ec", &here]).current_dir(folder.path()));
    assert_eq!(ran.code, 0, "{here}\n{}", ran.said());
}

#[tokio::test]
async fn a_backup_is_made_and_comes_back_as_the_manual_says() {
    let (cluster, folder) = (Cluster::start(), tempfile::tempdir().expect("a folder"));
    commands("A role and a database").iter().for_each(|block| typed(&cluster, &folder, block));
    let url = |database: &str| cluster.url(database).replace("postgres@", "ryzed@");
    let daemon = Daemon::builder().alone().env("RYZED_DATABASE__URL", url("ryzed")).start();
    let me = daemon.account();
    let mut phone = me.device("phone");
    let kept = food_entry(json!({}));
    me.store("food_entries", &kept).await;
    phone.sync().await;

    let [backup, restore] = &commands("On PostgreSQL")[..] else { panic!("a backup and its way back") };
    typed(&cluster, &folder, backup);
    let later = food_entry(json!({}));
    me.store("food_entries", &later).await;
    let epoch = me.cursor().await["epoch"].clone();
    drop(daemon);
    typed(&cluster, &folder, restore);

    let daemon = Daemon::builder().alone().env("RYZED_DATABASE__URL", url("ryzed_restored")).start();
    daemon.logged(&["WARN", "new epoch", "restored"]).await;
    let me = daemon.account_of(me.person);
    assert_ne!(me.cursor().await["epoch"], epoch);
    let stored = me.rows("food_entries").await;
    assert!(stored.iter().any(|row| row["id"] == kept["id"]) && stored.len() == 1, "{stored:#?}");
    // It goes on: what is written now, by a device and by SQL, reaches devices.
    let mut tablet = me.socket("tablet").await;
    me.apply(insert("food_entries", &food_entry(json!({})))).await;
    tablet.next("data_updated").await;
    daemon
        .database()
        .run(&format!("UPDATE food_entries SET quantity = 7 WHERE id = '{}'", kept["id"].as_str().expect("an id")));
    tablet.next("database_change").await;
    let mut phone = me.device("watch");
    phone.sync().await;
    assert!(phone.is_complete().await.expect("a digest"));
}
