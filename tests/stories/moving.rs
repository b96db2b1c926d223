//! A whole database taken elsewhere. The stories that need both kinds of database are told when the others run on PostgreSQL,
//! where a server is at hand; the rest in both runs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ryzed_tests::command::{command, ryzed};
use ryzed_tests::rows::{exercise_set, food, food_entry, row, workout_exercise, workout_session};
use ryzed_tests::{Account, Daemon, Device, Person, Ran, delete, insert, postgres, update};
use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

const URL: &str = "RYZED_DATABASE__URL";
/// How long the janitor may take after a start.
const SWEPT: Duration = Duration::from_secs(15);

/// A database, which may not be there yet.
struct Place {
    folder: TempDir,
    url: String,
}

impl Place {
    fn sqlite() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite://{}", folder.path().join("moved.db").display());
        Self { folder, url }
    }

    fn postgres() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder"), url: postgres::new_database() }
    }

    /// On the database that the stories run on.
    fn usual() -> Self {
        if postgres::is_wanted() { Self::postgres() } else { Self::sqlite() }
    }

    fn serve(&self) -> Daemon {
        Daemon::builder().env(URL, &self.url).start()
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        ryzed(self.folder.path(), &[(URL, &self.url)], arguments)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        command(self.folder.path(), &[(URL, &self.url)], arguments)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The database in a file.
    fn export(&self, name: &str, more: &[&str]) -> PathBuf {
        let file = self.file(name);
        let path = file.to_str().expect("a path");
        self.run(&[&["export", "--all", "--output", path], more].concat()).ok();
        file
    }

    fn import(&self, file: &Path) -> Ran {
        self.run(&["import", "--all", file.to_str().expect("a path")])
    }

    /// What a daemon says that is asked to serve it and should not.
    fn refusal_to_serve(&self) -> String {
        let ran = ryzed(self.folder.path(), &[(URL, &self.url), ("RYZED_SERVER__LISTEN", "127.0.0.1:0")], &["serve"]);
        assert_eq!(ran.code, 2, "{}", ran.said());
        ran.stderr
    }
}

/// What a database went through before it was moved, and what people and devices remember of it.
struct Lived {
    me: Person,
    away: Person,
    tablet: Device,
    cursors: [Value; 2],
    digests: [Value; 2],
    conflicts: Value,
    devices: Value,
    /// A mutation and its result.
    done: (Value, Value),
    /// An entry at version `.1` whose quantity went from 1 to 2 afterwards.
    edited: (Value, Value),
    /// A template used 5 times at version `.1` and 8 times afterwards.
    counted: (Value, Value),
    /// A row that was deleted, at the version before.
    gone: (Value, Value),
    /// The same of the other person, and its tombstone is gone as well.
    pruned: (Value, Value),
}

async fn stop(daemon: &mut Daemon) {
    daemon.terminate();
    assert_eq!(daemon.exit_code().await, 0);
}

/// Serves the database for a while.
async fn live(place: &Place) -> Lived {
    let mut daemon = place.serve();
    let (me, away) = (daemon.account(), daemon.account());
    let keeper = daemon.account_of(Person::admin());
    let (fig, plum) = (food(json!({"user_id": null})), food(json!({"user_id": null, "calories": 12.5})));
    keeper.push([insert("foods", &fig), insert("foods", &plum)]).await;
    keeper.push([update("foods", &plum["id"], json!({"name_en": "Plum \u{1f351} \"ripe\""}))]).await;
    keeper.push([delete("foods", &fig["id"])]).await;
    let pruned = food_entry(json!({}));
    let pruned_at = away.store("food_entries", &pruned).await;
    away.apply(delete("food_entries", &pruned["id"]).base(&pruned_at)).await;
    away.store("food_entries", &food_entry(json!({"quantity": 0.1}))).await;

    let session = workout_session(json!({"name": "Legs"}));
    let exercise = workout_exercise(&session);
    let recipe = row("recipes", json!({"ingredients": [{"quantity": 2.50, "name": "leek", "a": {"z": 1, "b": []}}]}));
    let tree = [
        insert("exercise_sets", &exercise_set(&exercise)),
        insert("workout_exercises", &exercise),
        insert("recipes", &recipe),
    ];
    let session_at = me.store("workout_sessions", &session).await;
    me.push(tree).await;
    let edited = food_entry(json!({"quantity": 1}));
    let edited_at = me.store("food_entries", &edited).await;
    me.apply(update("food_entries", &edited["id"], json!({"quantity": 2})).base(&edited_at)).await;
    let counted = row("workout_templates", json!({"usage_count": 5}));
    let counted_at = me.store("workout_templates", &counted).await;
    me.apply(update("workout_templates", &counted["id"], json!({"usage_count": 8})).base(&counted_at)).await;
    let gone = food_entry(json!({"meal_type": null, "consumed_at": "2026-01-05T12:00:00.123456Z"}));
    let gone_at = me.store("food_entries", &gone).await;
    me.apply(delete("food_entries", &gone["id"]).base(&gone_at)).await;
    me.push_from("other", [update("workout_sessions", &session["id"], json!({"name": "Arms"})).base(&session_at)])
        .await;
    let open = update("workout_sessions", &session["id"], json!({"name": "Back"})).base(&session_at).strategy("manual");
    assert!(me.push([open]).await["conflicts"][0]["conflict_id"].is_string());
    me.sync(json!({"device_id": "lost"})).await;
    me.api.delete("/devices/lost").await.done();

    daemon.database().age_tombstones(away.person.id);
    stop(&mut daemon).await;
    daemon.restart();
    let started = Instant::now();
    while daemon.database().tombstones(away.person.id) != "0" {
        assert!(started.elapsed() < SWEPT, "old tombstones are not swept away");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let done = insert("food_entries", &food_entry(json!({"quantity": 33})));
    let result = me.change(done.clone()).await;
    let mut tablet = me.device("tablet");
    tablet.sync().await;
    let lived = Lived {
        cursors: [me.cursor().await, away.cursor().await],
        digests: [digest(&me).await, digest(&away).await],
        conflicts: me.api.get("/conflicts").await.ok(),
        devices: devices(&me).await,
        done: (done.json(), result),
        edited: (edited["id"].clone(), edited_at),
        counted: (counted["id"].clone(), counted_at),
        gone: (gone["id"].clone(), gone_at),
        pruned: (pruned["id"].clone(), pruned_at),
        me: me.person,
        away: away.person,
        tablet,
    };
    stop(&mut daemon).await;
    lived
}

async fn digest(me: &Account) -> Value {
    me.api.get("/digest").await.ok()
}

/// Without what every call changes.
async fn devices(me: &Account) -> Value {
    let mut devices = me.api.get("/devices").await.ok();
    for device in devices.as_array_mut().expect("devices") {
        device.as_object_mut().expect("a device").remove("last_seen");
    }
    devices
}

impl Lived {
    /// Everything goes on at the new place as if nothing had happened.
    async fn goes_on(mut self, place: &Place) {
        let mut daemon = place.serve();
        let (me, away) = (daemon.account_of(self.me.clone()), daemon.account_of(self.away.clone()));
        assert_eq!([digest(&me).await, digest(&away).await], self.digests);
        assert_eq!(me.api.get("/conflicts").await.ok(), self.conflicts);
        assert_eq!(devices(&me).await, self.devices);
        for (account, cursor) in [(&me, &self.cursors[0]), (&away, &self.cursors[1])] {
            let news = account.sync(json!({"cursor": cursor})).await;
            assert_eq!((&news["reset"], &news["total_changes"]), (&json!(false), &json!(0)), "{news}");
        }
        me.api.post("/sync", &json!({"device_id": "lost"})).await.problem(&[403]);
        let again = me.sync(json!({"changes": [self.done.0]})).await;
        assert_eq!(again["results"][0], self.done.1, "a repeated mutation gets its old result");
        self.edits_are_judged_as_before(&me, &away).await;

        // The tablet goes on with its copy, and so do the triggers.
        let mut tablet = me.device("tablet");
        (tablet.rows, tablet.cursor) = (std::mem::take(&mut self.tablet.rows), self.tablet.cursor.clone());
        let id = Uuid::new_v4();
        daemon.database().run(&format!(
            "INSERT INTO food_entries (id, user_id, quantity, consumed_at) \
             VALUES ('{id}', '{}', 7, '2026-05-01T08:00:00.000000Z')",
            self.me.id
        ));
        tablet.sync().await;
        assert_eq!(tablet.resets, 0);
        assert_eq!(tablet.row("food_entries", &json!(id)).expect("the row from outside")["quantity"], 7);
        assert!(tablet.is_complete().await.expect("a digest"));
        assert!(daemon.database().is_sound());
        stop(&mut daemon).await;
        daemon.restart();
        let me = daemon.account_of(self.me);
        assert_eq!(me.sync(json!({"cursor": tablet.cursor})).await["reset"], false, "the life outlasts the next start");
    }

    async fn edits_are_judged_as_before(&self, me: &Account, away: &Account) {
        let (id, base) = &self.pruned;
        assert_eq!(away.refusal(update("food_entries", id, json!({"quantity": 9})).base(base)).await, "stale");
        let (id, base) = &self.gone;
        let answer = me.push([update("food_entries", id, json!({"quantity": 9})).base(base)]).await;
        assert_eq!(answer["results"][0]["status"], "conflict", "{answer}");
        assert_eq!(me.row("food_entries", id).await, None, "a deleted row stays deleted");
        let (id, base) = &self.edited;
        let other_field = update("food_entries", id, json!({"unit": "ml"})).base(base);
        assert_eq!(me.change(other_field).await["status"], "merged");
        let answer = me.push([update("food_entries", id, json!({"quantity": 3})).base(base)]).await;
        let field = &answer["conflicts"][0]["fields"][0];
        assert_eq!((&field["base"], &field["server"], &field["client"]), (&json!(1), &json!(2), &json!(3)), "{answer}");
        let (id, base) = &self.counted;
        let used = update("workout_templates", id, json!({"usage_count": 6})).base(base).strategy("merge");
        me.push([used]).await;
        assert_eq!(me.row("workout_templates", id).await.expect("the row")["usage_count"], 9, "5 + 3 + 1");
    }
}

/// An archive without its header, which says when it was made.
fn lines(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).expect("an archive");
    text.lines().skip(1).map(str::to_owned).collect()
}

async fn moved(from: Place, to: Place) {
    let lived = live(&from).await;
    let archive = from.export("all.ndjson", &["--seal"]);
    let said = to.import(&archive).ok();
    assert!(said.contains("devices go on where they were"), "{said}");
    lived.goes_on(&to).await;
    assert!(from.refusal_to_serve().contains("export --unseal"));
}

#[tokio::test]
async fn everybody_goes_on_after_a_move_from_sqlite_to_postgresql() {
    if postgres::is_wanted() {
        moved(Place::sqlite(), Place::postgres()).await;
    }
}

#[tokio::test]
async fn everybody_goes_on_after_a_move_from_postgresql_to_sqlite() {
    if postgres::is_wanted() {
        moved(Place::postgres(), Place::sqlite()).await;
    }
}

#[tokio::test]
async fn there_and_back_again_is_the_same() {
    if !postgres::is_wanted() {
        return;
    }
    let (home, abroad, again) = (Place::sqlite(), Place::postgres(), Place::sqlite());
    live(&home).await;
    let first = home.export("all.ndjson", &["--seal"]);
    abroad.import(&first).ok();
    let second = abroad.export("all.ndjson", &["--seal"]);
    again.import(&second).ok();
    let third = again.export("all.ndjson", &["--seal"]);
    let kinds = ["scope", "table", "change", "receipt", "device", "conflict", "end"];
    let first = lines(&first);
    for kind in kinds {
        assert!(first.iter().any(|line| line.starts_with(&format!("{{\"{kind}\":"))), "no {kind} in the archive");
    }
    assert_eq!(first, lines(&second));
    assert_eq!(first, lines(&third));
}

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
    let before = digest(&daemon.account()).await;
    stop(&mut daemon).await;

    // People are somebody, and so is a catalogue that is looked after.
    let kept = Place::usual();
    let own = kept.file("own.csv");
    std::fs::write(&own, "name_en,name_fr,calories\nMedlar,Nèfle,53\n").expect("a file");
    kept.run(&["import", own.to_str().expect("a path"), "--table", "foods"]).ok();
    for occupied in [&to, &kept] {
        let ran = occupied.import(&archive);
        assert_eq!(ran.code, 2, "{}", ran.said());
        assert!(ran.stderr.contains("not empty"), "{}", ran.stderr);
    }
    let daemon = to.serve();
    assert_eq!(digest(&daemon.account()).await, before);
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
    let (from, me, cursor, archive) = small(&["--seal"]).await;
    let to = Place::usual();
    let mut child = to.command(&["import", "--all", "-"]);
    child.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = child.spawn().expect("an import");
    let whole = std::fs::read(&archive).expect("an archive");
    let mut input = child.stdin.take().expect("its input");
    std::io::Write::write_all(&mut input, &whole[..whole.len() - 20]).expect("all but the end");
    // It waits for the rest with everything else written.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    child.kill().expect("SIGKILL");
    child.wait().expect("its end");
    drop(input);
    to.import(&archive).ok();
    let daemon = to.serve();
    let news = daemon.account_of(me).sync(json!({"cursor": cursor})).await;
    assert_eq!((&news["reset"], &news["total_changes"]), (&json!(false), &json!(0)), "{news}");
    drop(from);
}
