//! A whole database taken elsewhere. What needs both kinds of database is told in `moving_between.rs`.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use ryzed_tests::moving::{Place, digest, lines, live, stop};
use ryzed_tests::rows::{food_entry, workout_exercise, workout_session};
use ryzed_tests::{Person, Ran, insert};
use serde_json::{Value, json};
use uuid::Uuid;

#[tokio::test]
async fn a_pipe_takes_everything_along() {
    let (from, to) = (Place::usual(), Place::usual());
    let lived = live(&from).await;
    let exporting = from.command(&["export", "--all", "--seal"]).stdout(Stdio::piped()).spawn();
    let mut exporting = exporting.expect("an export");
    let archive = exporting.stdout.take().expect("its output");
    Ran::of(to.command(&["import", "--all", "-"]).stdin(archive)).ok();
    assert!(exporting.wait().expect("the end of the export").success());
    lived.goes_on(&to).await;
}

/// A database with one person, and the archive of it.
async fn small(more: &[&str]) -> (Place, Person, Value, PathBuf) {
    let place = Place::usual();
    let mut daemon = place.serve();
    let me = daemon.account();
    let session = workout_session(json!({}));
    me.push([insert("workout_sessions", &session), insert("workout_exercises", &workout_exercise(&session))]).await;
    let cursor = me.cursor().await;
    stop(&mut daemon).await;
    let archive = place.export("all.ndjson", more);
    (place, me.person, cursor, archive)
}

/// The archive with other lines.
fn altered(place: &Place, archive: &Path, alter: impl FnOnce(&mut Vec<String>)) -> PathBuf {
    let text = std::fs::read_to_string(archive).expect("an archive");
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    alter(&mut lines);
    let file = place.file("altered.ndjson");
    std::fs::write(&file, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).expect("a file");
    file
}

fn position(lines: &[String], beginning: &str) -> usize {
    lines.iter().position(|line| line.starts_with(beginning)).unwrap_or_else(|| panic!("no line {beginning}"))
}

/// The bytes that a pipe holds when nobody reads.
const PIPE: usize = 64 << 10;
const SESSION: &str = r#"{"table":"workout_sessions""#;
const EXERCISE: &str = r#"{"table":"workout_exercises""#;

#[tokio::test]
async fn an_archive_that_is_not_right_is_refused_whole() {
    let (from, _, _, archive) = small(&[]).await;
    let to = Place::usual();
    type Alter = Box<dyn FnOnce(&mut Vec<String>)>;
    let cases: [(Alter, &str); 10] = [
        (Box::new(|lines| drop(lines.pop())), "cut off"),
        (Box::new(|lines| drop(lines.remove(0))), "no archive"),
        (Box::new(|lines| lines.truncate(lines.len() / 2)), "cut off"),
        (
            Box::new(|lines| {
                let (scope, end) = (lines.remove(1), lines.len() - 1);
                lines.insert(end - 1, scope);
            }),
            "too late",
        ),
        (Box::new(|lines| drop(lines.remove(position(lines, EXERCISE)))), "workout_exercises"),
        (
            // An entry of the index without its row.
            Box::new(|lines| {
                let gone = position(lines, EXERCISE);
                lines.remove(gone);
                let end = lines.len() - 1;
                lines[end] = lines[end].replace(r#""workout_exercises":1"#, r#""workout_exercises":0"#);
            }),
            "contradicts",
        ),
        (Box::new(|lines| lines.push("{}".into())), "line"),
        (Box::new(|lines| lines[3] = "not json".into()), "line 4"),
        (
            Box::new(|lines| {
                let at = position(lines, SESSION);
                lines[at] = lines[at].replace(r#""name":"Legs""#, r#""name":null"#);
            }),
            "line",
        ),
        (
            // Somebody else's row in the person's scope.
            Box::new(|lines| {
                let at = position(lines, r#"{"change":{"changed_at":"#);
                let scope = lines[at].find("\"scope\":\"global\"").expect("a change of the catalogue");
                lines[at].replace_range(scope..scope + 16, &format!("\"scope\":\"user:{}\"", Uuid::nil()));
            }),
            "contradicts",
        ),
    ];
    for (alter, named) in cases {
        let file = altered(&from, &archive, alter);
        let ran = to.import(&file);
        assert_eq!(ran.code, 1, "{}", ran.said());
        assert!(ran.stderr.contains(named) && ran.stderr.contains("Nothing was imported"), "{named}: {}", ran.said());
    }
    let refused_row = altered(&from, &archive, |lines| {
        let at = position(lines, SESSION);
        lines[at] = lines[at].replace(r#""is_completed":false"#, r#""is_completed":"perhaps""#);
    });
    let line =
        std::fs::read_to_string(&archive).expect("an archive").lines().position(|line| line.starts_with(SESSION));
    let said = to.import(&refused_row).stderr;
    assert!(said.contains(&format!("line {} was refused", line.expect("a session") + 1)), "{said}");
    to.import(&archive).ok();
}

#[tokio::test]
async fn only_an_empty_database_is_filled() {
    let (from, me, cursor, archive) = small(&["--seal"]).await;
    // The starter catalogue is nobody's.
    let to = Place::usual();
    let mut daemon = to.serve();
    let ran = to.import(&archive);
    assert_eq!(ran.code, 2, "{}", ran.said());
    assert!(ran.stderr.contains("stop the daemon"), "{}", ran.stderr);
    stop(&mut daemon).await;
    to.import(&archive).ok();
    let mut daemon = to.serve();
    let news = daemon.account_of(me).sync(json!({"cursor": cursor})).await;
    assert_eq!((&news["reset"], &news["total_changes"]), (&json!(false), &json!(0)), "{news}");
    let other = daemon.account();
    let before = digest(&other).await;
    stop(&mut daemon).await;

    // People are somebody, and so is a catalogue that is looked after.
    let kept = Place::usual();
    stop(&mut kept.serve()).await;
    let own = kept.file("own.csv");
    std::fs::write(&own, "name_en,name_fr,calories\nMedlar,Nèfle,53\n").expect("a file");
    kept.run(&["import", own.to_str().expect("a path"), "--table", "foods"]).ok();
    for occupied in [&to, &kept] {
        let ran = occupied.import(&archive);
        assert_eq!(ran.code, 2, "{}", ran.said());
        assert!(ran.stderr.contains("not empty"), "{}", ran.stderr);
    }
    let daemon = to.serve();
    assert_eq!(digest(&daemon.account_of(other.person)).await, before);
    drop(from);
}

#[tokio::test]
async fn a_database_in_use_is_not_sealed_and_a_sealed_one_is_not_used() {
    let place = Place::usual();
    let mut daemon = place.serve();
    let me = daemon.account();
    let mut tablet = me.device("tablet");
    me.store("food_entries", &food_entry(json!({}))).await;
    tablet.sync().await;
    let ran = place.run(&["export", "--all", "--seal"]);
    assert_eq!(ran.code, 2, "{}", ran.said());
    assert!(ran.stderr.contains("stop the daemon") && ran.stdout.is_empty(), "{}", ran.said());
    let beside = place.export("beside.ndjson", &[]);
    assert!(lines(&beside).iter().any(|line| line.starts_with(r#"{"table":"food_entries""#)), "a copy hurts nobody");
    stop(&mut daemon).await;

    place.export("all.ndjson", &["--seal"]);
    assert!(place.refusal_to_serve().contains("export --unseal"));
    let ran = place.run(&["import", "x.csv", "--table", "foods"]);
    assert_eq!(ran.code, 2, "nothing is written into it by our own commands: {}", ran.said());
    let again = place.export("again.ndjson", &["--seal"]);
    assert_eq!(lines(&again), lines(&place.file("all.ndjson")));

    place.run(&["export", "--unseal"]).ok();
    let daemon = place.serve();
    let cursor = tablet.cursor;
    assert_eq!(
        daemon.account_of(me.person).sync(json!({"cursor": cursor})).await["reset"],
        true,
        "elsewhere it may have gone on in the old life"
    );
}

#[tokio::test]
async fn without_the_seal_a_new_life_begins_and_nothing_is_lost() {
    let (from, me, _, _) = small(&[]).await;
    let mut daemon = from.serve();
    let account = daemon.account_of(me.clone());
    let mut tablet = account.device("tablet");
    tablet.sync().await;
    let waiting = food_entry(json!({"quantity": 5}));
    tablet.insert("food_entries", &waiting);
    stop(&mut daemon).await;
    let archive = from.export("copy.ndjson", &[]);
    let to = Place::usual();
    let said = to.import(&archive).ok();
    assert!(said.contains("devices start over"), "{said}");
    let daemon = to.serve();
    let account = daemon.account_of(me);
    let mut moved = account.device("tablet");
    (moved.rows, moved.cursor, moved.queue) = (tablet.rows, tablet.cursor, tablet.queue);
    moved.sync().await;
    assert_eq!(moved.resets, 1);
    assert!(moved.is_complete().await.expect("a digest"));
    assert!(account.row("food_entries", &waiting["id"]).await.is_some(), "what it had not uploaded");
    assert_eq!(account.rows("workout_exercises").await.len(), 1);
    // The source was only copied.
    drop(from.serve());
}

#[tokio::test]
async fn an_import_that_is_killed_leaves_nothing_and_is_run_again() {
    let (from, to) = (Place::usual(), Place::usual());
    let mut daemon = from.serve();
    let me = daemon.account();
    me.push((0..1000).map(|_| insert("food_entries", &food_entry(json!({}))))).await;
    let cursor = me.cursor().await;
    stop(&mut daemon).await;
    let archive = from.export("all.ndjson", &["--seal"]);
    let mut child = to.command(&["import", "--all", "-"]);
    child.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = child.spawn().expect("an import");
    let whole = std::fs::read(&archive).expect("an archive");
    let mut input = child.stdin.take().expect("its input");
    // It has written what no longer fits into the pipe, and waits for the end.
    assert!(whole.len() > 4 * PIPE, "the pipe takes all of it");
    std::io::Write::write_all(&mut input, &whole[..whole.len() - 20]).expect("all but the end");
    child.kill().expect("SIGKILL");
    child.wait().expect("its end");
    drop(input);
    to.import(&archive).ok();
    let daemon = to.serve();
    let news = daemon.account_of(me.person).sync(json!({"cursor": cursor})).await;
    assert_eq!((&news["reset"], &news["total_changes"]), (&json!(false), &json!(0)), "{news}");
}
