//! A disk that is not mounted, a file that was deleted, torn or put back: an empty database is never begun in the place of one
//! that was there, nothing is acknowledged that would be lost, and no device drops its copy without a word in the log.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper::Method;
use ryzed_tests::command::ryzed;
use ryzed_tests::foreground::Foreground;
use ryzed_tests::rows::food_entry;
use ryzed_tests::{Account, Ran, SECRET, insert};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A folder in which a daemon has served somebody and was stopped.
struct Home {
    folder: TempDir,
    me: Account,
    entry: Value,
    epoch: Value,
}

impl Home {
    async fn lived_in() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut daemon = Foreground::start(folder.path(), &[]);
        let me = daemon.account();
        let entry = food_entry(json!({}));
        me.store("food_entries", &entry).await;
        let epoch = me.cursor().await["epoch"].clone();
        assert_eq!(daemon.stop().await, 0);
        Self { folder, me, entry, epoch }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.data().join(name)
    }

    /// Starts where it should refuse to.
    fn serve(&self, flags: &[&str]) -> Ran {
        serve(self.folder.path(), &[], flags)
    }

    /// Starts it again; the daemon, the same person, and the epoch now.
    async fn served(&self) -> (Foreground, Account, Value) {
        let daemon = Foreground::start(self.folder.path(), &[]);
        let me = daemon.account_of(self.me.person.clone());
        let epoch = me.cursor().await["epoch"].clone();
        (daemon, me, epoch)
    }

    async fn goes_on(&self) {
        let (mut daemon, me, epoch) = self.served().await;
        assert_eq!(epoch, self.epoch, "{}", daemon.log());
        assert!(me.row("food_entries", &self.entry["id"]).await.is_some());
        assert_eq!(daemon.stop().await, 0);
    }
}

/// For a start that must not go well; one that does is ended after a while.
fn serve(folder: &Path, env: &[(&str, &str)], flags: &[&str]) -> Ran {
    let mut all = vec![("RYZED_AUTH__SECRET", SECRET), ("RYZED_SERVER__LISTEN", "127.0.0.1:0")];
    all.extend(env);
    let serve = ryzed_tests::command::command(folder, &all, &[]);
    let mut bounded = std::process::Command::new("timeout");
    bounded.args(["--preserve-status", "20"]).arg(serve.get_program()).arg("serve").args(flags).current_dir(folder);
    for (name, value) in serve.get_envs() {
        match value {
            Some(value) => bounded.env(name, value),
            None => bounded.env_remove(name),
        };
    }
    Ran::of(&mut bounded)
}

fn is_refused(ran: &Ran, words: &[&str]) {
    assert_eq!(ran.code, 2, "{}", ran.said());
    for word in words.iter().chain(&["--new-database"]) {
        assert!(ran.stderr.contains(word), "{word:?} is not said: {}", ran.said());
    }
}

#[tokio::test]
async fn where_a_database_was_no_empty_one_is_begun() {
    let home = Home::lived_in().await;
    let database = home.file("ryzed.db");
    let kept = fs::read(&database).expect("the database");

    fs::remove_file(&database).expect("it goes");
    is_refused(&home.serve(&[]), &["ryzed.db", "ryzed.db.life"]);
    assert!(!database.exists(), "nothing is made");
    fs::write(&database, "").expect("an emptied file");
    is_refused(&home.serve(&[]), &["ryzed.db.life"]);
    // Somebody has put a database of another program there.
    fs::remove_file(&database).expect("it goes");
    ryzed_tests::Database::Sqlite(database.clone()).run("CREATE TABLE other (id)");
    is_refused(&home.serve(&[]), &["ryzed.db.life"]);
    fs::write(&database, &kept[..kept.len() / 2 / 4096 * 4096]).expect("a torn file");
    let torn = home.serve(&[]);
    assert!(torn.code == 2 && torn.stderr.contains("damaged"), "{}", torn.said());
    fs::write(&database, "no database at all").expect("another file");
    let other = home.serve(&[]);
    assert!(other.code == 2 && other.stderr.contains("damaged"), "{}", other.said());
    fs::write(&database, &kept).expect("it comes back");
    home.goes_on().await;
}

#[tokio::test]
async fn each_trace_alone_is_enough() {
    for left in ["ryzed.db.life", "ryzed.db-wal", "served.json"] {
        let home = Home::lived_in().await;
        // What was committed last may be in the log alone.
        fs::write(home.file("ryzed.db-wal"), "a log").expect("a log");
        for entry in fs::read_dir(home.data()).expect("the folder").flatten() {
            if entry.file_name() != left {
                fs::remove_file(entry.path()).expect("it goes");
            }
        }
        is_refused(&home.serve(&[]), &[left]);
        assert!(home.file(left).exists() && !home.file("ryzed.db").exists());
    }
    // The secret that an earlier start has made, and nothing else, as where the database is on a disk of its own.
    let folder = tempfile::tempdir().expect("a folder");
    let env = [("RYZED_AUTH__SECRET", "")];
    fs::create_dir(folder.path().join("data")).expect("a folder");
    fs::write(folder.path().join("data/secret"), "0123456789abcdef0123456789abcdef").expect("a secret");
    is_refused(&serve(folder.path(), &env, &[]), &["data/secret"]);
    let elsewhere = format!("sqlite://{}/mnt/ryzed.db", folder.path().display());
    is_refused(
        &serve(folder.path(), &[env[0], ("RYZED_DATABASE__URL", &elsewhere)], &[]),
        &["data/secret", "mnt/ryzed.db"],
    );
}

#[tokio::test]
async fn an_empty_database_is_begun_when_that_is_said() {
    let home = Home::lived_in().await;
    fs::remove_file(home.file("ryzed.db")).expect("it goes");
    let mut daemon = Foreground::serve(home.folder.path(), &[], &["--new-database"]);
    let me = daemon.account_of(home.me.person.clone());
    assert_ne!(me.cursor().await["epoch"], home.epoch);
    assert!(!me.rows("foods").await.is_empty(), "it begins as a first start does");
    assert_eq!(daemon.stop().await, 0);
    let kept = fs::read_dir(home.data()).expect("the folder").flatten().map(|entry| entry.file_name());
    assert!(
        kept.into_iter().any(|name| name.to_string_lossy().starts_with("ryzed.db.life.2")),
        "what was left is kept"
    );
}

#[tokio::test]
async fn a_first_start_alone_fills_the_catalogue() {
    let home = Home::lived_in().await;
    let database = ryzed_tests::Database::Sqlite(home.file("ryzed.db"));
    // The index of a catalogue that was lost in part.
    database.run("DELETE FROM sync_changes WHERE scope = 'global'; DELETE FROM sync_scopes WHERE scope = 'global'");
    let (mut daemon, _, _) = home.served().await;
    assert!(!daemon.log().contains("starter catalogue"), "{}", daemon.log());
    assert_eq!(daemon.stop().await, 0);
}

#[tokio::test]
async fn each_new_epoch_says_why() {
    type Harm = fn(&Home, &[u8]);
    let harms: [(&str, Harm); 5] = [
        ("epoch file is missing", |home, _| fs::remove_file(home.file("ryzed.db.life")).expect("it goes")),
        ("can't be understood", |home, _| fs::write(home.file("ryzed.db.life"), "{\"mark\":\"a").expect("a torn file")),
        ("an older copy", |home, older| fs::write(home.file("ryzed.db"), older).expect("an older copy")),
        ("gone back", |home, _| {
            let life = fs::read_to_string(home.file("ryzed.db.life")).expect("the epoch file");
            let mut life: Value = serde_json::from_str(&life).expect("JSON");
            life["height"] = json!(1_000_000);
            fs::write(home.file("ryzed.db.life"), life.to_string()).expect("one that knows more");
        }),
        ("epoch was taken away", |home, _| {
            let database = ryzed_tests::Database::Sqlite(home.file("ryzed.db"));
            database.run("DELETE FROM sync_meta WHERE key = 'epoch'");
        }),
    ];
    for (reason, harm) in harms {
        let home = Home::lived_in().await;
        let older = fs::read(home.file("ryzed.db")).expect("a copy");
        home.goes_on().await;
        harm(&home, &older);
        let (mut daemon, _, epoch) = home.served().await;
        assert_ne!(epoch, home.epoch, "{reason}");
        let line = daemon.logged(&["WARN", "new epoch", reason]).await;
        assert!(line.contains(epoch.as_str().expect("an epoch")), "{line}");
        assert_eq!(daemon.stop().await, 0);
        let (mut daemon, _, again) = home.served().await;
        assert_eq!(again, epoch);
        assert!(!daemon.log().contains("new epoch"), "{}", daemon.log());
    }
}

async fn upload(me: &Account) -> u16 {
    let body = json!({"device_id": "phone", "tables": ["users"], "changes": [insert("food_entries", &food_entry(json!({}))).json()]});
    me.api.try_post("/sync", &body).await.map_or(0, |answer| answer.status)
}

#[tokio::test]
async fn nothing_is_acknowledged_that_goes_into_a_file_which_is_gone() {
    type Harm = fn(&Path);
    let harms: [(&str, Harm); 5] = [
        ("deleted", |data| fs::remove_file(data.join("ryzed.db")).expect("it goes")),
        ("renamed", |data| fs::rename(data.join("ryzed.db"), data.join("old.db")).expect("it goes")),
        ("replaced", |data| {
            fs::copy(data.join("ryzed.db"), data.join("new.db")).expect("a copy");
            fs::rename(data.join("new.db"), data.join("ryzed.db")).expect("it is put there");
        }),
        ("its log deleted", |data| fs::remove_file(data.join("ryzed.db-wal")).expect("it goes")),
        ("its folder renamed", |data| fs::rename(data, data.with_file_name("elsewhere")).expect("it goes")),
    ];
    for (name, harm) in harms {
        let home = Home::lived_in().await;
        let (mut daemon, me, _) = home.served().await;
        assert_eq!(upload(&me).await, 200);
        let writing = {
            let me = me.clone();
            tokio::spawn(async move { while upload(&me).await == 200 {} })
        };
        tokio::time::sleep(Duration::from_millis(50)).await;
        harm(&home.data());
        let status = upload(&me).await;
        assert!(status == 503 || status == 0, "{name}: acknowledged with {status}");
        writing.await.expect("the writer");
        if let Ok(answer) = me.api.raw(Method::GET, "//readyz", &[], "").await {
            assert_eq!(answer.status, 503, "{name}: {}", answer.text());
        }
        daemon.logged(&["ERROR", "ryzed.db", "nothing more is acknowledged"]).await;
        assert_eq!(daemon.exit_code().await, 1, "{name}");
        // Restarted by whoever watches over it, it begins no empty one.
        let database = home.file("ryzed.db");
        if !database.exists() {
            is_refused(&home.serve(&[]), &["ryzed.db.life"]);
        }
    }
}

#[tokio::test]
async fn no_command_but_serve_makes_a_database_or_a_secret() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("foods.csv");
    fs::write(&file, "name_en,name_fr,calories\nOat,Avoine,389\n").expect("a file");
    let file = file.to_str().expect("a path");
    let user = "7b0c3f5e-5d0f-4c5b-9a53-3f0a6ad0a001";
    for arguments in [
        &["import", file, "--table", "foods"][..],
        &["export", "--user", user],
        &["export", "--all"],
        &["export", "--unseal"],
        &["migrate"],
        &["token", "--user", user],
    ] {
        let ran = ryzed(folder.path(), &[], arguments);
        assert_eq!(ran.code, 2, "{arguments:?}: {}", ran.said());
        assert!(
            ran.stderr.contains("ryzed serve") && ran.stderr.contains("--data-dir"),
            "{arguments:?}: {}",
            ran.stderr
        );
        assert!(!folder.path().join("data").exists(), "{arguments:?} has made something");
    }
    for arguments in [&["migrate", "--status"][..], &["migrate", "--dry-run"], &["check-config"], &["tables"]] {
        ryzed(folder.path(), &[], arguments).ok();
        assert!(!folder.path().join("data").exists(), "{arguments:?} has made something");
    }
}

#[tokio::test]
async fn a_whole_database_goes_only_where_somebody_has_said() {
    let home = Home::lived_in().await;
    let archive = home.folder.path().join("everything.ndjson");
    let archive = archive.to_str().expect("a path");
    ryzed(home.folder.path(), &[], &["export", "--all", "--output", archive]).ok();
    let elsewhere = tempfile::tempdir().expect("a folder");
    let mut nowhere = ryzed_tests::command::command(elsewhere.path(), &[], &["import", "--all", archive]);
    let ran = Ran::of(nowhere.env_remove("RYZED_DATA_DIR"));
    assert_eq!(ran.code, 2, "{}", ran.said());
    assert!(!elsewhere.path().join("data").exists());
    ryzed(elsewhere.path(), &[], &["import", "--all", archive]).ok();
    assert!(elsewhere.path().join("data/ryzed.db").is_file());
}
