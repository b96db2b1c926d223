//! Changes by an application's DDL to its adopted tables, to their parents and their types: no row reaches somebody who
//! must not have it, that table alone stops, no change of a device is lost, and adopting again mends the index and the
//! devices.

use std::time::{Duration, Instant};

use ryzed_tests::{Account, Application, Daemon, Device, Metrics, insert};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::adopt_meanwhile::contradictions;

/// The time that the daemon may take to notice something by itself.
const SOON: Duration = Duration::from_secs(20);

/// An adopted database that is served, and two people: the first has rows that the second must not see.
pub(crate) struct Scene {
    pub app: Application,
    pub daemon: Daemon,
    pub owner: Account,
    pub other: Account,
}

impl Scene {
    pub fn new() -> Self {
        Self::made(Application::with_people(2))
    }

    pub fn made(app: Application) -> Self {
        let _ = app.ryzed(&["adopt"]).ok();
        let daemon = app.daemon().start();
        let (owner, other) = (app.account(&daemon, 1), app.account(&daemon, 2));
        Self { app, daemon, owner, other }
    }

    /// The answer of `/readyz`.
    pub async fn readiness(&self) -> String {
        let answer = self.owner.api.get("//readyz").await;
        assert_eq!(answer.status, 200, "other tables go on: {}", answer.text());
        answer.text()
    }

    /// Waits until just these tables are stopped, and where none is, until nothing is owed.
    pub async fn until_stopped(&self, tables: &str) {
        let wanted =
            if tables.is_empty() { "ready\n".into() } else { format!("ready\nstopped: {tables}; the log says why\n") };
        let began = Instant::now();
        loop {
            let said = self.readiness().await;
            let is_told = || !tables.is_empty() || self.app.sql("SELECT count(*) FROM ryzed.passed") == "0";
            if said == wanted && is_told() {
                return;
            }
            assert!(began.elapsed() < SOON, "{wanted:?} does not come, but {said:?}:\n{}", self.of_tables());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The log's lines about tables.
    pub fn of_tables(&self) -> String {
        let log = self.daemon.log();
        let lines = log.lines().filter(|line| ["synced table", "WARN", "ERROR"].iter().any(|word| line.contains(word)));
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Stops the daemon, and starts it.
    pub async fn restart_after_end(&mut self) {
        self.daemon.terminate();
        assert_eq!(self.daemon.exit_code().await, 0);
        self.restart().await;
    }

    /// Stops the daemon, adopts again, and starts it.
    pub async fn adopt_again(&mut self, arguments: &[&str]) {
        self.daemon.terminate();
        assert_eq!(self.daemon.exit_code().await, 0);
        let _ = self.app.ryzed(&[&["adopt"], arguments].concat()).ok();
        self.restart().await;
    }

    /// Starts the daemon, which has ended.
    pub async fn restart(&mut self) {
        self.daemon.restart();
        // Connections to the one that has ended are noticed to be closed.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) fn food() -> Value {
    json!({"id": Uuid::new_v4(), "name_en": "Quince", "calories": 57})
}

pub(crate) fn entry() -> Value {
    json!({"id": Uuid::new_v4(), "quantity": 2, "consumed_at": "2026-05-01T08:00:00.000000Z"})
}

/// A device holds what its person may see, and knows that it does.
pub(crate) async fn assert_complete(device: &mut Device) {
    device.sync().await;
    assert!(device.is_complete().await.expect("a digest"), "{} lacks rows, or has too many", device.id);
}

#[tokio::test]
async fn a_renamed_owner_shows_nobodys_rows_and_stops_that_table_alone() {
    let mut scene = Scene::new();
    let (mut mine, mut theirs) = (scene.owner.device("mine"), scene.other.device("theirs"));
    mine.sync().await;
    theirs.sync().await;
    let mut tablet = scene.other.socket("tablet").await;
    let (secret, me) = (Uuid::new_v4(), scene.owner.person.id);
    // As a migration does it: in one go, with the rows in new hands.
    scene.app.sql(&format!(
        "BEGIN; ALTER TABLE foods RENAME created_by TO owner_id; \
         INSERT INTO foods (id, owner_id, name_en, calories) VALUES ('{secret}', '{me}', 'Secret', 1); \
         UPDATE foods SET name_en = 'Private ' || name_en WHERE owner_id = '{me}'; COMMIT"
    ));
    scene.until_stopped("foods").await;
    assert!(Metrics::of(&scene.daemon.address()).await.value("ryzed_tables_stopped") == 1.0);
    assert_eq!(tablet.next("error").await["code"], "table_stopped");

    // Other tables go on, in the same request; what is made of that one waits.
    let (held, other) = (food(), entry());
    let answer = scene.owner.sync(json!({"device_id": "mine", "cursor": mine.cursor, "digest": true,
        "changes": [insert("foods", &held).json(), insert("food_entries", &other).json()]}));
    let answer = answer.await;
    assert_eq!(
        (answer["results"].as_array().map(Vec::len), &answer["stopped"]),
        (Some(1), &json!(["foods"])),
        "{answer}"
    );
    assert_eq!(
        (&answer["results"][0]["status"], &answer["results"][0]["table"]),
        (&json!("applied"), &json!("food_entries"))
    );
    assert!(answer.get("digest").is_none(), "a digest without foods says that there are none: {answer}");
    let digest = scene.owner.api.get("/digest").await.ok();
    assert!(digest["stopped"] == json!(["foods"]) && digest["digest"].get("foods").is_none(), "{digest}");
    let mut phone = scene.owner.socket("phone").await;
    let change = insert("foods", &held);
    phone.send(change.message()).await;
    let refused = phone.next_where("error", |error| error["answers"] == "data_updated").await;
    assert_eq!((&refused["code"], &refused["mutation_id"]), (&json!("unavailable"), &change.json()["mutation_id"]));
    scene.owner.api.get("/changes?tables=foods").await.problem(&[503]);
    scene.owner.api.get("/export").await.problem(&[503]);

    // Nobody else gets anything of it, by whichever way.
    let news = scene.other.pull(json!({"cursor": theirs.cursor})).await;
    let whole = scene.other.pull(json!({})).await;
    let caught: Vec<Value> = tablet.received("database_change");
    for seen in [news.to_string(), whole.to_string(), json!(caught).to_string()] {
        assert!(!seen.contains(&secret.to_string()) && !seen.contains("Private"), "{seen}");
    }
    assert!(news["deletions"].get("foods").is_none(), "{news}");

    scene.daemon.logged(&["a synced table is stopped"]).await;
    let log = scene.daemon.log();
    let said: Vec<&str> = log.lines().filter(|line| line.contains("a synced table is stopped")).collect();
    assert!(said.len() == 1 && said[0].contains("WARN") && said[0].contains("table=\"foods\""), "{log}");
    assert!(
        said[0].contains("its column created_by is called owner_id now") && said[0].contains("`ryzed adopt`"),
        "{log}"
    );

    // Devices go on from there.
    mine.sync().await;
    theirs.sync().await;

    let report = scene.app.ryzed(&["adopt", "--dry-run"]);
    assert!(
        report.stdout.contains("stopped: its rows were written while the table, or the column"),
        "{}",
        report.said()
    );
    // Where the owner is now has to be said.
    scene.daemon.terminate();
    assert_eq!(scene.daemon.exit_code().await, 0);
    let ran = scene.app.ryzed(&["adopt"]);
    assert!(ran.code == 2 && ran.stdout.contains("columns = { user_id = \"owner_id\" }"), "{}", ran.said());
    scene.app.configure(&scene.app.configuration().replace("created_by", "owner_id"));
    let _ = scene.app.ryzed(&["adopt"]).ok();
    scene.restart().await;
    scene.until_stopped("").await;
    assert_eq!(contradictions(&scene.app), "");

    // Who pulled meanwhile lacks nothing, starts nothing over, and what waited is taken.
    mine.insert("foods", &held);
    assert_complete(&mut mine).await;
    assert_eq!((mine.resets, mine.results.last().map(|result| &result["status"])), (0, Some(&json!("applied"))));
    assert_eq!(mine.row("foods", &json!(secret)).expect("the new row")["name_en"], "Private Secret");
    assert_complete(&mut theirs).await;
    assert!(theirs.resets == 0 && !json!(theirs.rows).to_string().contains("Private"));
}
