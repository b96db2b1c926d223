//! A SQLite database has one daemon: the second that is started on it ends, by whichever name it was told of it.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use ryzed_tests::command::command;
use ryzed_tests::rows::food_entry;
use ryzed_tests::{Builder, Daemon, Database, Ran};
use serde_json::json;
use uuid::Uuid;

/// By when a daemon that may not start has ended.
const PATIENCE: Duration = Duration::from_secs(30);

fn on_sqlite() -> Builder {
    Daemon::builder().alone().env("RYZED_DATABASE__URL", "sqlite://data/ryzed.db")
}

/// The output of a daemon that must end by itself.
pub(crate) fn ends(mut starting: Command) -> Ran {
    let folder = tempfile::tempdir().expect("a folder");
    let output = |name: &str| std::fs::File::create(folder.path().join(name)).expect("a file");
    let mut child = starting.stdout(output("out")).stderr(output("err")).spawn().expect("it starts");
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("it can be waited for") {
            break status;
        }
        if began.elapsed() > PATIENCE {
            child.kill().expect("it can be killed");
            child.wait().expect("it is gone");
            panic!("it goes on, and says: {}", std::fs::read_to_string(folder.path().join("err")).expect("a file"));
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).expect("a file");
    Ran { code: status.code().expect("an exit code"), stdout: read("out"), stderr: read("err") }
}

/// A second daemon in a folder of its own, on this database.
fn second(folder: &Path, database: &Path) -> Ran {
    let url = format!("sqlite://{}", database.display());
    let env = [("RYZED_SERVER__LISTEN", "127.0.0.1:0"), ("RYZED_DATABASE__URL", url.as_str())];
    ends(command(folder, &env, &["serve"]))
}

fn is_taken(ran: &Ran, daemon: &Daemon) {
    assert_eq!(ran.code, 2, "{}", ran.said());
    assert!(ran.stderr.contains(&format!("process {}", daemon.pid())), "{} is not in: {}", daemon.pid(), ran.stderr);
}

#[tokio::test]
async fn a_second_daemon_in_the_same_folder_ends() {
    let mut daemon = on_sqlite().start();
    let me = daemon.account();
    for env in [vec![], vec![("RYZED_DATABASE__URL", "sqlite://elsewhere.db")]] {
        let env: Vec<_> = [("RYZED_SERVER__LISTEN", "127.0.0.1:0")].into_iter().chain(env).collect();
        is_taken(&ends(command(daemon.folder(), &env, &["serve"])), &daemon);
    }
    me.store("food_entries", &food_entry(json!({}))).await;
    // The system lets go of it, however a daemon ends.
    daemon.kill9();
    daemon.restart();
    daemon.account_of(me.person).store("food_entries", &food_entry(json!({}))).await;
}

#[tokio::test]
async fn a_second_daemon_on_the_same_file_ends_whatever_it_is_called() {
    let daemon = on_sqlite().start();
    let data = daemon.folder().join("data");
    let database = data.join("ryzed.db");
    let other = tempfile::Builder::new().prefix("second-").tempdir_in(daemon.folder()).expect("a folder");
    let named = |name: &str| other.path().join(name);
    symlink(&data, named("folder")).expect("a link");
    symlink(&database, named("link.db")).expect("a link");
    symlink(named("link.db"), named("chain.db")).expect("a link");
    std::fs::hard_link(&database, named("hard.db")).expect("a link");
    for path in [
        database.clone(),
        named("folder/ryzed.db"),
        named("link.db"),
        named("chain.db"),
        named("hard.db"),
        data.join("../data/./ryzed.db"),
        // Another mount of the same.
        Path::new("/proc/self/root").join(database.strip_prefix("/").expect("a whole path")),
    ] {
        is_taken(&second(other.path(), &path), &daemon);
    }
    daemon.account().store("food_entries", &food_entry(json!({}))).await;
    assert!(Database::Sqlite(database).is_sound());
}

#[tokio::test]
async fn commands_go_on_working_beside_the_daemon() {
    let daemon = on_sqlite().start();
    let user = Uuid::new_v4().to_string();
    let file = daemon.folder().join("diary.ndjson");
    std::fs::write(&file, "{\"quantity\": 3, \"consumed_at\": \"2026-05-01T08:00:00Z\"}\n").expect("a file");
    let import = ["import", "diary.ndjson", "--table", "food_entries", "--user", &user];
    for arguments in [&import[..], &["export", "--user", &user], &["export", "--all"], &["migrate"], &["tables"]] {
        let _ = Ran::of(&mut daemon.command(arguments)).ok();
    }
    // The same by a name of the same file; not beside a log of its own.
    let linked = daemon.folder().join("link.db");
    symlink(daemon.folder().join("data/ryzed.db"), &linked).expect("a link");
    let with = |path: &Path, arguments: &[&str]| {
        let url = format!("sqlite://{}", path.display());
        Ran::of(&mut command(daemon.folder(), &[("RYZED_DATABASE__URL", url.as_str())], arguments))
    };
    let _ = with(&linked, &import).ok();
    let hard = daemon.folder().join("hard.db");
    std::fs::hard_link(daemon.folder().join("data/ryzed.db"), &hard).expect("a link");
    for path in [&linked, &hard] {
        for arguments in
            [&["export", "--all", "--seal"][..], &["import", "--all", "diary.ndjson"], &["export", "--unseal"]]
        {
            let ran = with(path, arguments);
            assert_eq!(ran.code, 2, "{arguments:?} by {}: {}", path.display(), ran.said());
        }
    }
    is_taken(&with(&hard, &import), &daemon);
    assert!(Database::Sqlite(daemon.folder().join("data/ryzed.db")).is_sound());
}

#[tokio::test]
async fn what_takes_a_database_elsewhere_keeps_daemons_off_by_every_name() {
    let mut daemon = on_sqlite().start();
    daemon.terminate();
    assert_eq!(daemon.exit_code().await, 0);
    let database = daemon.folder().join("data/ryzed.db");
    let hard = daemon.folder().join("hard.db");
    std::fs::hard_link(&database, &hard).expect("a link");
    // It waits for the rest of its archive.
    let mut moving =
        command(daemon.folder(), &[("RYZED_DATABASE__URL", "sqlite://data/ryzed.db")], &["import", "--all", "-"]);
    let mut moving =
        moving.stdin(std::process::Stdio::piped()).stderr(std::process::Stdio::null()).spawn().expect("it starts");
    let began = Instant::now();
    // On the database's file, and on the one beside it.
    let held = || {
        let locks = std::fs::read_to_string("/proc/locks").expect("the locks of the system");
        locks.lines().filter(|line| line.contains("FLOCK") && line.contains(&format!(" {} ", moving.id()))).count()
    };
    while held() < 2 {
        assert!(began.elapsed() < PATIENCE, "it has not begun");
        std::thread::sleep(Duration::from_millis(10));
    }
    let ran = second(daemon.folder(), &hard);
    assert!(ran.code == 2 && ran.stderr.contains(&format!("process {}", moving.id())), "{}", ran.said());
    drop(moving.stdin.take());
    moving.wait().expect("it ends");
}
