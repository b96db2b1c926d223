//! An operator can rely on the log: it says why, its level can be changed while the daemon serves, and its reader can
//! do the daemon no harm.

use std::io::Read;
use std::time::Duration;

use ryzed_tests::command::ryzed;
use ryzed_tests::foreground::Foreground;
use ryzed_tests::rows::food_entry;
use ryzed_tests::{Account, Daemon, insert};
use serde_json::json;

/// More requests than a pipe has room for their lines.
const MANY: usize = 1500;

async fn make_log(me: &Account) {
    for _ in 0..MANY {
        assert_eq!(me.api.get("/devices").await.status, 200);
    }
    me.apply(insert("food_entries", &food_entry(json!({})))).await;
}

#[test]
fn a_misspelt_level_is_told_instead_of_silencing_the_log() {
    let folder = tempfile::tempdir().expect("a folder");
    for level in ["inof", "", "warn,inof", "ryzed=", "ryzed"] {
        for (name, command) in
            [("RYZED_LOG__LEVEL", "check-config"), ("RYZED_LOG__LEVEL", "serve"), ("RYZED_LOG", "serve")]
        {
            if (name, level) == ("RYZED_LOG", "") {
                // An empty override is none.
                continue;
            }
            let env = [
                (name, level),
                ("RYZED_SERVER__LISTEN", "127.0.0.1:0"),
                ("RYZED_DATABASE__URL", "sqlite:///nowhere/at/all"),
            ];
            let ran = ryzed(folder.path(), &env, &[command]);
            assert_eq!(ran.code, 2, "{name}={level:?} {command}: {}", ran.said());
            assert!(ran.stderr.contains("log level") && ran.stderr.contains("warn,ryzed=debug"), "{}", ran.stderr);
        }
    }
}

#[tokio::test]
async fn a_reader_of_the_log_that_goes_away_takes_nothing_along() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut daemon = Foreground::start(folder.path(), &[]);
    drop(daemon.stderr.take());
    let me = daemon.account();
    me.push([]).await;
    make_log(&me).await;
    assert_eq!(daemon.stop().await, 0);
}

#[tokio::test]
async fn a_reader_of_the_log_that_stops_reading_holds_up_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut daemon = Foreground::start(folder.path(), &[]);
    let me = daemon.account();
    me.push([]).await;
    tokio::time::timeout(Duration::from_secs(60), make_log(&me)).await.expect("an upload is waited for");
    let mut log = daemon.stderr.take().expect("the log");
    // Nobody reads, and it ends nevertheless; then what the pipe holds is there to be read.
    assert_eq!(daemon.stop().await, 0);
    let mut read = String::new();
    log.read_to_string(&mut read).expect("the log");
    assert!(read.lines().filter(|line| line.contains("/api/realtime/devices")).count() > 100, "{read}");
}

#[tokio::test]
async fn a_command_whose_words_nobody_reads_does_its_work() {
    // `2>&-` closes the standard error, a pipe whose reader ends at once breaks both.
    for redirection in ["2>&-", "2>&1 | true"] {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(Foreground::start(folder.path(), &[]).stop().await, 0);
        let file = folder.path().join("foods.csv");
        std::fs::write(&file, "name_en,name_fr,calories\nFig,Figue,x\nOat,Avoine,389\n").expect("a file");
        let script = format!("\"$0\" import \"$1\" --table foods {redirection}; exit 0");
        let mut import = ryzed_tests::command::command(folder.path(), &[], &[]);
        let binary = import.get_program().to_owned();
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &script]).arg(binary).arg(&file).current_dir(folder.path());
        shell.env("RYZED_DATA_DIR", folder.path().join("data"));
        assert!(shell.status().expect("a shell").success());
        import.args(["export", "--catalogue"]);
        let exported = ryzed_tests::Ran::of(&mut import).ok();
        assert!(exported.contains("Avoine"), "{redirection}: {exported}");
    }
}

#[tokio::test]
async fn a_hangup_takes_the_level_from_the_file_and_ends_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("ryzed.toml");
    let write = |text: &str| std::fs::write(&file, text).expect("the configuration");
    write("[log]\nlevel = \"info\"\n");
    let mut daemon = Daemon::builder().alone().env("RYZED_CONFIG", file.display()).start();
    let me = daemon.account();
    let mut socket = me.socket("tablet").await;
    assert!(daemon.log().contains("/readyz"), "{}", daemon.log());

    write("[log]\nlevel = \"warn\"\n[sync]\ntombstone_days = 3\n");
    daemon.hang_up();
    daemon.logged(&["the configuration is reloaded", "sync.tombstone_days"]).await;
    let lines = daemon.lines().len();
    me.api.get("/devices").await.done();
    socket.fence().await;
    assert_eq!(daemon.lines().len(), lines, "the level is another one: {}", daemon.log());

    write("[log]\nlevel = \"inof\"\n");
    daemon.hang_up();
    daemon.logged_after(lines, &["inof"]).await;
    write("[log]\nlevel = \"info\"\n");
    daemon.hang_up();
    daemon.logged_after(lines, &["the configuration is reloaded"]).await;
    me.apply(insert("food_entries", &food_entry(json!({})))).await;
    daemon.logged_after(lines, &["/api/realtime/sync"]).await;
    daemon.terminate();
    assert_eq!(daemon.exit_code().await, 0);
}
