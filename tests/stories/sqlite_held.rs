//! Another process holds a SQLite database: uploads wait for it, each for as long as if it were alone, and then say so.

use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ryzed_tests::rows::food_entry;
use ryzed_tests::{Account, Daemon, Database, insert};
use serde_json::json;

/// A shell that holds the database until it is told to let go.
struct Holder(Child);

impl Holder {
    fn of(daemon: &Daemon) -> Self {
        let Database::Sqlite(file) = daemon.database() else { panic!("a story about SQLite") };
        let mut shell = Command::new("sqlite3");
        shell.arg("-batch").arg(file).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut shell = shell.spawn().expect("the story needs the sqlite3 shell: apt-get install sqlite3");
        let input = shell.stdin.as_mut().expect("its input");
        writeln!(input, ".timeout 5000\nBEGIN IMMEDIATE;\nSELECT 'held';").expect("it listens");
        let mut said = [0; 4];
        std::io::Read::read_exact(shell.stdout.as_mut().expect("its output"), &mut said).expect("it answers");
        assert_eq!(&said, b"held");
        Self(shell)
    }

    fn lets_go(&mut self) {
        drop(self.0.stdin.take());
        self.0.wait().expect("it ends");
    }
}

fn on_sqlite() -> (tempfile::TempDir, Daemon) {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite://{}", folder.path().join("held.db").display());
    (folder, Daemon::builder().alone().env("RYZED_DATABASE__URL", url).start())
}

/// One upload of each; the status and how long it took.
async fn uploads(people: &[Account]) -> Vec<(u16, Duration)> {
    let all = people.iter().cloned().map(|me| {
        tokio::spawn(async move {
            let body = json!({"device_id": "phone", "tables": ["users"],
                "changes": [insert("food_entries", &food_entry(json!({}))).json()]});
            let began = Instant::now();
            (me.api.post("/sync", &body).await.status, began.elapsed())
        })
    });
    let mut done = Vec::new();
    for upload in all.collect::<Vec<_>>() {
        done.push(upload.await.expect("an answer"));
    }
    done
}

#[tokio::test]
async fn whoever_waits_for_another_process_waits_no_longer_than_if_they_were_alone() {
    let (_folder, daemon) = on_sqlite();
    let people: Vec<Account> = (0..12).map(|_| daemon.account()).collect();
    assert!(uploads(&people).await.iter().all(|(status, _)| *status == 200));
    let mut holder = Holder::of(&daemon);
    let done = uploads(&people).await;
    for (status, took) in &done {
        assert_eq!(*status, 503, "{done:?}");
        assert!(*took < Duration::from_secs(8), "{done:?}");
    }
    assert_eq!(daemon.account().api.get("//readyz").await.status, 200, "it can be read");
    people[0].api.get("/changes?tables=food_entries").await.ok();
    holder.lets_go();
    assert!(uploads(&people).await.iter().all(|(status, _)| *status == 200));
    assert_eq!(daemon.log().matches("another process holds the database").count(), 1, "{}", daemon.log());
}

#[tokio::test]
async fn what_waited_goes_on_when_the_database_is_let_go_of() {
    let (_folder, daemon) = on_sqlite();
    let people: Vec<Account> = (0..12).map(|_| daemon.account()).collect();
    let mut holder = Holder::of(&daemon);
    let waiting = tokio::spawn({
        let people = people.clone();
        async move { uploads(&people).await }
    });
    while !daemon.log().contains("another process holds the database") {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    holder.lets_go();
    let done = waiting.await.expect("answers");
    assert!(done.iter().all(|(status, _)| *status == 200), "{done:?}");
}
