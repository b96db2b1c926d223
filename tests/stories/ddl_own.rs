//! Changes by an operator's DDL to the daemon's own tables on PostgreSQL: they are noticed while serving as in an
//! adopted database, the table stops alone, and the next start installs again what it safely can.

use std::time::{Duration, Instant};

use ryzed_tests::rows::{food, food_entry, workout_exercise, workout_session};
use ryzed_tests::{Account, Daemon, Person, Session};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(20);

struct Scene {
    daemon: Daemon,
    owner: Account,
    other: Account,
}

impl Scene {
    async fn new() -> Self {
        let daemon = Daemon::builder().on_postgres().alone().start();
        let (owner, other) = (daemon.account(), daemon.account_of(Person::new()));
        for account in [&owner, &other] {
            account.store("foods", &food(json!({}))).await;
            account.store("food_entries", &food_entry(json!({}))).await;
            let session = workout_session(json!({}));
            account.store("workout_sessions", &session).await;
            account.store("workout_exercises", &workout_exercise(&session)).await;
        }
        Self { daemon, owner, other }
    }

    fn sql(&self, statements: &str) -> String {
        self.daemon.database().run(statements)
    }

    /// Waits until just these tables are stopped, and where none is, until nothing is owed.
    async fn until_stopped(&self, tables: &str) {
        let wanted =
            if tables.is_empty() { "ready\n".into() } else { format!("ready\nstopped: {tables}; the log says why\n") };
        let began = Instant::now();
        loop {
            let answer = self.owner.api.get("//readyz").await;
            let is_told = || !tables.is_empty() || self.sql("SELECT count(*) FROM ryzed.passed").trim() == "0";
            if answer.status == 200 && answer.text() == wanted && is_told() {
                return;
            }
            assert!(
                began.elapsed() < SOON,
                "{wanted:?} does not come, but {:?}:\n{}",
                answer.text(),
                of_tables(&self.daemon)
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn restart(&mut self) {
        self.daemon.terminate();
        assert_eq!(self.daemon.exit_code().await, 0);
        self.daemon.restart();
        // Connections to the one that has ended are noticed to be closed.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The log's lines about tables.
fn of_tables(daemon: &Daemon) -> String {
    let log = daemon.log();
    let lines =
        log.lines().filter(|line| line.contains("synced table") || line.contains("WARN") || line.contains("ERROR"));
    lines.collect::<Vec<_>>().join("\n")
}

/// A removed guard is noticed, and once it is put back the table goes on by itself; nobody lacks a change made
/// meanwhile.
#[tokio::test]
async fn guards_that_are_taken_away_stop_their_table_until_they_are_back() {
    let scene = Scene::new().await;
    let mut tablet = scene.owner.device("tablet");
    for (open, close, word) in [
        (
            "ALTER TABLE foods DISABLE ROW LEVEL SECURITY",
            "ALTER TABLE foods ENABLE ROW LEVEL SECURITY",
            "row level security is off",
        ),
        (
            "CREATE POLICY leak ON foods FOR SELECT USING (TRUE)",
            "DROP POLICY leak ON foods",
            "is none of ryzed's and binds the role ryzed_daemon: DROP POLICY",
        ),
        (
            "CREATE POLICY hide ON foods AS RESTRICTIVE TO ryzed_daemon USING (FALSE)",
            "DROP POLICY hide ON foods",
            "hide",
        ),
        (
            "REVOKE UPDATE ON foods FROM ryzed_daemon",
            "GRANT UPDATE ON foods TO ryzed_daemon",
            "GRANT UPDATE ON public.foods",
        ),
        (
            "ALTER TABLE foods RENAME user_id TO owner_id",
            "ALTER TABLE foods RENAME owner_id TO user_id",
            "is called owner_id now",
        ),
    ] {
        tablet.sync().await;
        scene.sql(open);
        scene.until_stopped("foods").await;
        scene.daemon.logged(&[word]).await;
        // Neither what SQL writes now nor what devices have written goes past them for good.
        if !open.contains("RENAME") {
            scene.sql(&format!(
                "UPDATE foods SET category = '{}' WHERE user_id = '{}'",
                word.replace('\'', ""),
                scene.owner.person.id
            ));
        }
        let answer = scene.owner.sync(json!({"device_id": "tablet", "cursor": tablet.cursor})).await;
        assert_eq!((&answer["stopped"], answer["changes"].get("foods")), (&json!(["foods"]), None), "{answer}");
        scene.owner.store("food_entries", &food_entry(json!({}))).await;
        tablet.cursor = answer["cursor"].clone();
        scene.sql(close);
        scene.until_stopped("").await;
        tablet.sync().await;
        assert!(tablet.is_complete().await.expect("a digest"), "{open}");
        assert_eq!(tablet.resets, 0);
    }
    assert!(!json!(tablet.rows).to_string().contains(&scene.other.person.id.to_string()));
}

/// Only a start can mend these: policies and triggers are installed again, and the index is compared with the rows.
#[tokio::test]
async fn a_start_puts_up_again_what_was_taken_down() {
    let mut scene = Scene::new().await;
    let (mut mine, mut theirs) = (scene.owner.device("mine"), scene.other.device("theirs"));
    let (me, you) = (scene.owner.person.id, scene.other.person.id);
    let unseen = format!(
        "UPDATE food_entries SET quantity = 77 WHERE user_id = '{me}'; UPDATE food_entries SET user_id = '{me}' WHERE user_id = '{you}'"
    );
    for (change, stopped) in [
        ("DROP POLICY ryzed_select ON food_entries".to_owned(), "food_entries"),
        (format!("ALTER TABLE food_entries DISABLE TRIGGER ryzed_update; {unseen}"), "food_entries"),
        (format!("DROP TRIGGER ryzed_update ON food_entries; {unseen}"), "food_entries"),
        (
            format!(
                "BEGIN; ALTER TABLE food_entries DISABLE TRIGGER USER; {unseen}; ALTER TABLE food_entries ENABLE TRIGGER USER; COMMIT"
            ),
            "food_entries",
        ),
        (
            format!(
                "BEGIN; ALTER TABLE workout_sessions RENAME user_id TO u; UPDATE workout_sessions SET u = '{me}'; \
                 ALTER TABLE workout_sessions RENAME u TO user_id; COMMIT"
            ),
            "exercise_sets, workout_exercises, workout_sessions",
        ),
    ] {
        mine.sync().await;
        theirs.sync().await;
        scene.sql(&change);
        scene.until_stopped(stopped).await;
        mine.sync().await;
        theirs.sync().await;
        scene.restart().await;
        scene.until_stopped("").await;
        mine.sync().await;
        theirs.sync().await;
        for device in [&mine, &theirs] {
            assert!(device.is_complete().await.expect("a digest"), "{change}: {}", device.id);
            assert_eq!(device.resets, 0, "{change}");
        }
        for (device, person) in [(&mine, me), (&theirs, you)] {
            let held = device.rows.get("food_entries").into_iter().flatten();
            let wrong: Vec<&Value> = held.map(|(_, row)| row).filter(|row| row["user_id"] != json!(person)).collect();
            assert!(wrong.is_empty(), "{change}: {wrong:?}");
        }
        scene.other.store("food_entries", &food_entry(json!({}))).await;
    }
    assert_eq!(mine.rows["workout_exercises"].len(), 2, "a session takes along what hangs on it");
}

/// A table that can't be mended safely is left, and named, also at a start: other tables are served.
#[tokio::test]
async fn a_table_that_would_change_hands_stays_stopped() {
    let mut scene = Scene::new().await;
    let mut theirs = scene.other.device("theirs");
    theirs.sync().await;
    scene.sql("ALTER TABLE foods RENAME user_id TO owner_id; ALTER TABLE foods ADD user_id uuid; UPDATE foods SET category = 'Private'");
    scene.until_stopped("foods").await;
    scene.restart().await;
    scene.until_stopped("foods").await;
    scene.daemon.logged(&["is called owner_id now"]).await;
    scene.owner.store("food_entries", &food_entry(json!({}))).await;
    theirs.sync().await;
    assert!(!scene.other.pull(json!({})).await.to_string().contains("Private"));
    scene.sql("ALTER TABLE foods DROP user_id; ALTER TABLE foods RENAME owner_id TO user_id");
    scene.restart().await;
    scene.until_stopped("").await;
    theirs.sync().await;
    assert!(theirs.is_complete().await.expect("a digest") && theirs.resets == 0);
    assert!(!json!(theirs.rows).to_string().contains(&scene.owner.person.id.to_string()));
}

/// A column that was dropped and made again, or got another type, has values that no device was told of.
#[tokio::test]
async fn a_column_that_was_made_again_is_told_anew_at_the_next_start() {
    let mut scene = Scene::new().await;
    let mut mine = scene.owner.device("mine");
    mine.sync().await;
    for (change, unit) in [
        ("ALTER TABLE food_entries DROP unit; ALTER TABLE food_entries ADD unit text NOT NULL DEFAULT 'cup'", "cup"),
        ("ALTER TABLE food_entries ALTER unit TYPE text USING 'mug'", "mug"),
    ] {
        scene.sql(change);
        scene.until_stopped("food_entries").await;
        mine.sync().await;
        scene.restart().await;
        scene.until_stopped("").await;
        mine.sync().await;
        assert!(mine.is_complete().await.expect("a digest") && mine.resets == 0);
        let held: Vec<&Value> = mine.rows["food_entries"].values().collect();
        assert!(!held.is_empty() && held.iter().all(|row| row["unit"] == unit), "{held:?}");
    }
}

/// Changes that one instance passed over are owed by another one, too, that serves the table already: until they are
/// told, no answer calls a copy whole. They are told each time, also when the same is owed again right after.
#[tokio::test]
async fn what_is_owed_of_a_table_that_goes_on_is_said_and_told_each_time() {
    let scene = Scene::new().await;
    let mut tablet = scene.owner.device("tablet");
    tablet.sync().await;
    let user = scene.owner.person.id.to_string();
    let owe = format!("INSERT INTO ryzed.passed (table_name, scope, after) VALUES ('foods', 'user:{user}', 0)");
    let writer = Session::open(scene.daemon.database_url()).await;
    writer.run("BEGIN").await;
    writer.run(&format!("SELECT FROM ryzed.scopes WHERE scope = 'user:{user}' FOR NO KEY UPDATE")).await;
    scene.sql(&owe);
    let mut request = json!({"device_id": "tablet", "cursor": tablet.cursor, "digest": true});
    let answer = scene.owner.api.get("/changes?digest=true").await.json();
    assert_eq!((&answer["stopped"], answer.get("digest")), (&json!(["foods"]), None), "{answer}");
    let counted = scene.owner.api.get("/digest").await.json();
    assert_eq!((&counted["stopped"], counted["digest"].get("foods")), (&json!(["foods"]), None), "{counted}");
    writer.run("COMMIT").await;
    for round in 0..3 {
        let began = Instant::now();
        while scene.sql("SELECT count(*) FROM ryzed.passed").trim() != "0" {
            assert!(began.elapsed() < SOON, "what is owed is never told, round {round}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let answer = scene.owner.sync(request.clone()).await;
        assert!(answer["changes"].get("foods").is_some() && answer.get("stopped").is_none(), "{answer}");
        request["cursor"] = answer["cursor"].clone();
        tablet.sync().await;
        assert!(tablet.is_complete().await.expect("a digest"));
        scene.sql(&owe);
    }
}
