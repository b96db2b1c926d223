//! `ryzed migrate` on PostgreSQL: told before it is done, done once, and nothing done that was only to be told.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ryzed_tests::command::ryzed;
use ryzed_tests::postgres::{self, dump, psql};
use ryzed_tests::{Daemon, Ran};

/// The migrations, and behind them the functions.
fn known() -> Vec<String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations/postgres");
    let entries = std::fs::read_dir(folder).expect("the migrations");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("a name")).collect();
    names.sort();
    names
}

fn migrate(url: &str, flag: &[&str]) -> Ran {
    let folder = tempfile::tempdir().expect("a folder");
    ryzed(folder.path(), &[("RYZED_DATABASE__URL", url)], &[&["migrate"], flag].concat())
}

#[test]
fn migrations_are_told_before_they_are_applied_and_applied_once() {
    let url = postgres::new_database();
    let (empty, known) = (dump(&url, &[]), known());
    let pending = migrate(&url, &["--status"]).ok();
    assert_eq!(
        pending.lines().collect::<Vec<_>>(),
        known.iter().map(|name| format!("pending  {name}")).collect::<Vec<_>>()
    );
    let planned = migrate(&url, &["--dry-run"]).ok();
    assert!(known.iter().all(|name| planned.lines().any(|line| line == name)), "{planned}");
    assert!(
        planned.contains(&format!("{} to apply", known.len())) && planned.contains("nothing was changed"),
        "{planned}"
    );
    assert_eq!(dump(&url, &[]), empty);

    let applied = migrate(&url, &[]).ok();
    assert!(applied.contains(&format!("{} applied", known.len())), "{applied}");
    let made = dump(&url, &[]);
    assert_ne!(made, empty);
    let status = migrate(&url, &["--status"]).ok();
    assert_eq!(
        status.lines().collect::<Vec<_>>(),
        known.iter().map(|name| format!("applied  {name}")).collect::<Vec<_>>()
    );
    assert!(migrate(&url, &["--dry-run"]).ok().contains("0 to apply"));
    assert!(migrate(&url, &[]).ok().contains("0 applied"));
    let schema =
        |dump: String| dump.lines().filter(|line| line.starts_with("CREATE ")).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(schema(dump(&url, &[])), schema(made));
    drop(Daemon::builder().env("RYZED_DATABASE__URL", &url).start());

    let wrong = migrate("postgres://postgres@127.0.0.1:1/none", &["--status"]);
    assert!(wrong.code == 1 && wrong.stderr.contains("can't look at the database"), "{}", wrong.said());
}

#[tokio::test]
async fn daemons_that_start_together_migrate_once() {
    let url = postgres::new_database();
    let start = || {
        let url = url.clone();
        std::thread::spawn(move || Daemon::builder().env("RYZED_DATABASE__URL", url).start())
    };
    let daemons = [start(), start(), start()].map(|starting| starting.join().expect("a daemon"));
    let mut seen = Vec::new();
    for me in daemons.each_ref().map(|daemon| daemon.account()) {
        seen.push(me.cursor().await["epoch"].clone());
    }
    assert!(seen.iter().all(|epoch| *epoch == seen[0]), "{seen:?}");
    let applied = psql(&url, "SELECT count(*) FROM ryzed.__diesel_schema_migrations").expect("psql");
    // The functions come with them and are none.
    assert_eq!(applied, (known().len() - 1).to_string());
}

/// Somebody who may connect, and holds the lock under which the schema is changed, until it is dropped.
fn holder(url: &str) -> Child {
    let mut shell = Command::new("psql")
        .args(["-X", "-q", "-d", url])
        .env("PGAPPNAME", "somebody else's")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("psql");
    let mut input = shell.stdin.take().expect("psql's input");
    writeln!(input, "SELECT pg_advisory_lock(491664336228); \\echo taken").expect("psql takes it");
    let mut output = BufReader::new(shell.stdout.take().expect("psql's output"));
    let taken = (&mut output).lines().map_while(Result::ok).any(|line| line.contains("taken"));
    assert!(taken, "the lock was not taken");
    shell.stdin = Some(input);
    shell
}

#[test]
fn who_holds_the_schemas_lock_is_told_and_not_waited_for_without_end() {
    let url = postgres::new_database();
    let mut other = holder(&url);
    let waiting = std::thread::spawn({
        let url = url.clone();
        move || (Instant::now(), migrate(&url, &[]))
    });
    let (began, ended) = waiting.join().expect("it ends");
    assert!(began.elapsed() < Duration::from_secs(60));
    assert_eq!(ended.code, 1, "{}", ended.said());
    assert!(ended.stderr.contains("waiting for another start"), "{}", ended.said());
    let named = format!("pid {} (application somebody else's, user postgres)", backend(&url));
    assert!(ended.stderr.matches(&named).count() >= 2 && ended.stderr.contains("491664336228"), "{}", ended.said());
    // Once it is free, what waits goes on.
    let starting = std::thread::spawn({
        let url = url.clone();
        move || migrate(&url, &[])
    });
    std::thread::sleep(Duration::from_millis(1500));
    other.kill().expect("psql is ended");
    other.wait().expect("psql is gone");
    assert!(starting.join().expect("it ends").ok().contains("applied"));
}

/// The process of whoever holds an advisory lock.
fn backend(url: &str) -> String {
    psql(url, "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted").expect("psql")
}
