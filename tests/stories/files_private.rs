//! Files on the disk are people's health data: nobody but their owner reads them.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::Path;

use ryzed_tests::command::ryzed;
use ryzed_tests::rows::food_entry;
use ryzed_tests::{Builder, Daemon, Database, Ran};
use serde_json::json;
use uuid::Uuid;

fn on_sqlite() -> Builder {
    Daemon::builder().alone().without("RYZED_AUTH__SECRET").env("RYZED_DATABASE__URL", "sqlite://data/ryzed.db")
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap_or_else(|error| panic!("{}: {error}", path.display())).permissions().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("its mode");
}

/// Everything in a folder, by name.
fn files(folder: &Path) -> Vec<(String, u32)> {
    let entries = fs::read_dir(folder).expect("a folder").flatten();
    let mut files: Vec<_> =
        entries.map(|entry| (entry.file_name().to_string_lossy().into_owned(), mode(&entry.path()))).collect();
    files.sort();
    files
}

async fn stop(daemon: &mut Daemon) {
    daemon.terminate();
    assert_eq!(daemon.exit_code().await, 0);
}

#[tokio::test]
async fn what_the_daemon_makes_is_its_owners_alone() {
    let mut daemon = on_sqlite().start();
    let user = Uuid::new_v4().to_string();
    let _ = Ran::of(&mut daemon.command(&["token", "--user", &user])).ok();
    let data = daemon.folder().join("data");
    let made = files(&data);
    for name in ["ryzed.db", "ryzed.db-shm", "ryzed.db-wal", "ryzed.db.life", "ryzed.db.lock", "secret"] {
        assert!(made.iter().any(|(made, _)| made == name), "{name} is not in {made:?}");
    }
    assert!(made.iter().all(|(_, mode)| *mode == 0o600), "{made:?}");
    assert_eq!(mode(&data), 0o700);
    stop(&mut daemon).await;
    assert!(files(&data).iter().all(|(_, mode)| *mode == 0o600), "{:?}", files(&data));
}

#[tokio::test]
async fn what_commands_make_is_their_owners_alone() {
    let mut daemon = on_sqlite().start();
    stop(&mut daemon).await;
    let folder = daemon.folder();
    let user = Uuid::new_v4().to_string();
    let _ = ryzed(folder, &[], &["migrate"]).ok();
    let _ = ryzed(folder, &[], &["token", "--user", &user]).ok();
    let data = folder.join("data");
    assert_eq!(mode(&data), 0o700);
    assert!(files(&data).iter().all(|(_, mode)| *mode == 0o600), "{:?}", files(&data));
    // In the place of one that everybody reads.
    let export = folder.join("export.ndjson");
    fs::write(&export, "").expect("a file");
    set_mode(&export, 0o644);
    for arguments in
        [&["export", "--user", &user, "--output", "export.ndjson"][..], &["export", "--all", "--output", "all"]]
    {
        let _ = ryzed(folder, &[], arguments).ok();
    }
    assert_eq!((mode(&export), mode(&folder.join("all"))), (0o600, 0o600));
    let url = ("RYZED_DATABASE__URL", "sqlite://new/deep/moved.db");
    let _ = ryzed(folder, &[url], &["import", "--all", "all"]).ok();
    assert_eq!((mode(&folder.join("new")), mode(&folder.join("new/deep"))), (0o700, 0o700));
    let moved = files(&folder.join("new/deep"));
    assert!(moved.iter().all(|(_, mode)| *mode == 0o600), "{moved:?}");
}

#[tokio::test]
async fn what_an_earlier_release_left_open_is_closed_at_the_next_start() {
    let mut daemon = on_sqlite().start();
    let me = daemon.account();
    me.api.get("/changes").await.problem(&[401]);
    daemon.kill9();
    let data = daemon.folder().join("data");
    for (name, _) in files(&data) {
        set_mode(&data.join(name), 0o644);
    }
    fs::write(data.join("ryzed.db.life.new"), "").expect("a file");
    set_mode(&data, 0o755);
    daemon.restart();
    let found = files(&data);
    assert!(found.iter().all(|(_, mode)| *mode == 0o600), "{found:?}");
    assert_eq!(mode(&data), 0o700);
    let log = daemon.log();
    for name in ["data/ryzed.db ", "data/secret ", "data "] {
        let told =
            log.lines().any(|line| line.contains(name) && line.contains("closed to others") && line.contains("INFO"));
        assert!(told, "{name} is not in: {log}");
    }
    assert!(Database::Sqlite(data.join("ryzed.db")).is_sound());
}

#[tokio::test]
async fn what_is_not_the_daemons_is_left_as_it_is() {
    let mut daemon = on_sqlite().start();
    stop(&mut daemon).await;
    let data = daemon.folder().join("data");
    // Somebody keeps other things there.
    fs::write(data.join("notes.txt"), "").expect("a file");
    set_mode(&data.join("notes.txt"), 0o644);
    set_mode(&data, 0o755);
    set_mode(&data.join("ryzed.db"), 0o640);
    // A database that lies elsewhere, reached over a link.
    daemon.restart();
    assert_eq!((mode(&data), mode(&data.join("notes.txt")), mode(&data.join("ryzed.db"))), (0o755, 0o644, 0o600));
    assert!(daemon.log().lines().any(|line| line.contains("WARN") && line.contains("chmod 700")), "{}", daemon.log());
    stop(&mut daemon).await;

    let elsewhere = daemon.folder().join("elsewhere");
    fs::create_dir(&elsewhere).expect("a folder");
    set_mode(&elsewhere, 0o755);
    fs::rename(data.join("ryzed.db"), elsewhere.join("kept.db")).expect("it moves");
    set_mode(&elsewhere.join("kept.db"), 0o644);
    symlink(elsewhere.join("kept.db"), data.join("ryzed.db")).expect("a link");
    daemon.restart();
    assert_eq!((mode(&elsewhere), mode(&elsewhere.join("kept.db"))), (0o755, 0o644));
    assert!(daemon.log().lines().any(|line| line.contains("WARN") && line.contains("chmod 600")), "{}", daemon.log());
}

#[tokio::test]
async fn what_belongs_to_somebody_else_is_only_warned_of() {
    let mut daemon = on_sqlite().start();
    stop(&mut daemon).await;
    let secret = daemon.folder().join("data/secret");
    // Only root can give files away.
    if chown(&secret, Some(65_534), None).is_err() {
        return;
    }
    set_mode(&secret, 0o644);
    daemon.restart();
    assert_eq!(mode(&secret), 0o644);
    assert!(daemon.log().lines().any(|line| line.contains("WARN") && line.contains("data/secret")), "{}", daemon.log());
}

#[tokio::test]
async fn rows_are_still_there_for_the_daemon() {
    let mut daemon = Daemon::builder().alone().env("RYZED_DATABASE__URL", "sqlite://data/ryzed.db").start();
    let me = daemon.account();
    let entry = food_entry(json!({}));
    me.store("food_entries", &entry).await;
    daemon.kill9();
    set_mode(&daemon.folder().join("data/ryzed.db-wal"), 0o666);
    daemon.restart();
    assert!(daemon.account_of(me.person).row("food_entries", &entry["id"]).await.is_some());
}
