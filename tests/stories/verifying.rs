//! The change index held against the tables: what triggers did not see is found, said and mended, while the daemon serves.

use std::time::{Duration, Instant};

use ryzed_tests::database::Database;
use ryzed_tests::rows::{food_entry, time};
use ryzed_tests::{Account, Daemon, Device, Ran};
use serde_json::{Value, json};
use uuid::Uuid;

const SOON: Duration = Duration::from_secs(30);

struct Scene {
    daemon: Daemon,
    me: Account,
    ids: Vec<String>,
}

impl Scene {
    async fn with_rows(rows: usize, daemon: Daemon) -> Self {
        let me = daemon.account();
        let mut ids = Vec::new();
        for _ in 0..rows {
            let row = food_entry(json!({}));
            me.store("food_entries", &row).await;
            ids.push(row["id"].as_str().expect("an id").to_owned());
        }
        Self { daemon, me, ids }
    }

    fn sql(&self, sqlite: &str, postgres: &str) {
        match self.daemon.database() {
            database @ Database::Sqlite(_) => database.run(sqlite),
            database @ Database::Postgres(_) => database.run(postgres),
        };
    }

    /// The index says what these statements have it say; `CHANGES` is its name.
    fn spoil(&self, statements: &str) {
        self.sql(&statements.replace("CHANGES", "sync_changes"), &statements.replace("CHANGES", "ryzed.changes"));
    }

    fn verify(&self, arguments: &[&str]) -> Ran {
        Ran::of(&mut self.daemon.command(&[&["verify"], arguments].concat()))
    }

    /// Waits until the device's copy is what the tables hold.
    async fn until_complete(&self, device: &mut Device, wanted: impl Fn(&Device) -> bool) {
        let began = Instant::now();
        loop {
            device.sync().await;
            if wanted(device) && device.is_complete().await.expect("a digest") {
                return;
            }
            assert!(began.elapsed() < SOON, "{}: {:?}\n{}", device.id, device.rows, self.daemon.log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Rows without an entry, entries without a row, rows that the index has as deleted or as another's: each is counted, and one
/// call mends all of it while a device listens.
#[tokio::test]
async fn an_index_that_says_something_else_is_found_and_mended_while_serving() {
    let scene = Scene::with_rows(5, Daemon::builder().alone().start()).await;
    let mut phone = scene.me.device("phone");
    phone.sync().await;
    let clean = scene.verify(&[]);
    assert!(clean.code == 0 && clean.stdout.contains("The index says what the tables hold."), "{}", clean.said());

    let (stray, gone) = (Uuid::new_v4(), Uuid::new_v4());
    let [missing, buried, moved, lost, _] = &scene.ids[..] else { panic!("five rows") };
    scene.spoil(&format!(
        "DELETE FROM CHANGES WHERE row_id = '{missing}'; \
         UPDATE CHANGES SET operation = 'DELETE' WHERE row_id = '{buried}'; \
         UPDATE CHANGES SET scope = 'user:{stray}', version = 1 WHERE row_id = '{moved}'; \
         UPDATE CHANGES SET row_id = '{gone}' WHERE row_id = '{lost}'"
    ));
    let found = scene.verify(&[]);
    assert_eq!(found.code, 3, "{}", found.said());
    assert!(found.stdout.contains("2 missing, 1 buried, 1 extra, 1 moved"), "{}", found.said());
    assert!(found.stderr.contains("ryzed verify --repair"), "{}", found.said());
    assert_eq!(scene.verify(&["--table", "foods"]).code, 0);
    assert_eq!(scene.verify(&["--table", "swords"]).code, 2);

    let mut tablet = scene.me.socket("tablet").await;
    let mended = scene.verify(&["--repair"]);
    assert!(mended.code == 0 && mended.stdout.contains("; 5 mended"), "{}", mended.said());
    assert_eq!(tablet.next("database_change").await["table"], "food_entries");
    assert_eq!(scene.verify(&[]).code, 0);
    scene.until_complete(&mut phone, |phone| phone.rows["food_entries"].len() == 5).await;
    assert_eq!(phone.resets, 0);
    assert!(scene.daemon.database().is_sound());
}

/// The daemon samples by itself, and says what it finds where an operator looks; mended, it says so no more.
#[tokio::test]
async fn a_sample_says_what_differs_until_it_is_mended() {
    let scene = Scene::with_rows(2, Daemon::builder().alone().env("RYZED_SYNC__SWEEP_SECONDS", 1).start()).await;
    scene.spoil(&format!("DELETE FROM CHANGES WHERE row_id = '{}'", scene.ids[0]));
    let readyz = async |wanted: &str| {
        let began = Instant::now();
        loop {
            let answer = scene.me.api.get("//readyz").await;
            if answer.status == 200 && answer.text() == wanted {
                return;
            }
            assert!(began.elapsed() < SOON, "{}: {}\n{}", answer.status, answer.text(), scene.daemon.log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    readyz("ready\ndiffers from the index: food_entries; run `ryzed verify --repair`\n").await;
    scene.daemon.logged(&["WARN", "rows differ from the change index"]).await;
    assert!(scene.me.api.get("//metrics").await.text().contains("ryzed_index_differences 1\n"));
    scene.verify(&["--repair"]).ok();
    readyz("ready\n").await;
}

/// Triggers that are dropped, or switched off, miss writes of every kind. SQLite's are put up again and their table is mended by
/// itself; PostgreSQL's table stops until an operator mends it with one command. What devices upload meanwhile reaches the others.
#[tokio::test]
async fn what_is_written_without_triggers_reaches_every_device_in_the_end() {
    let daemon = Daemon::builder().alone().env("RYZED_SYNC__SWEEP_SECONDS", 1).start();
    let scene = Scene::with_rows(3, daemon).await;
    let mut phone = scene.me.device("phone");
    phone.sync().await;
    let [changed, deleted, _] = &scene.ids[..] else { panic!("three rows") };
    let (made, now, me) = (Uuid::new_v4(), time(chrono::TimeDelta::zero()), scene.me.person.id);
    let unseen = format!(
        "UPDATE food_entries SET quantity = 777 WHERE id = '{changed}'; DELETE FROM food_entries WHERE id = '{deleted}'; \
         INSERT INTO food_entries (id, user_id, quantity, unit, consumed_at, created_at, updated_at) \
         VALUES ('{made}', '{me}', 5, 'g', '{now}', '{now}', '{now}')"
    );
    let drops: String =
        ["insert", "update", "delete"].iter().map(|on| format!("DROP TRIGGER sync_food_entries_{on}; ")).collect();
    scene.sql(
        &format!("BEGIN; {drops} {unseen}; COMMIT"),
        &format!("ALTER TABLE food_entries DISABLE TRIGGER ALL; {unseen}"),
    );
    // At once: nobody has looked yet.
    let row = food_entry(json!({}));
    let mut tablet = scene.me.device("tablet");
    tablet.insert("food_entries", &row);
    // A stopped table has it wait.
    let _ = tablet.try_sync().await;
    if let Database::Postgres(_) = scene.daemon.database() {
        scene.daemon.logged(&["a synced table is stopped", "ryzed verify --repair"]).await;
        let mended = scene.verify(&["--repair"]);
        assert_eq!(mended.code, 0, "{}", mended.said());
        scene.daemon.logged(&["a synced table goes on"]).await;
    } else {
        scene.daemon.logged(&["triggers of ryzed were missing and are installed again"]).await;
    }
    tablet.sync().await;
    let is_there = |device: &Device| {
        let rows = device.rows.get("food_entries").cloned().unwrap_or_default();
        let quantity = |id: &str| rows.get(id).map_or(Value::Null, |row| row["quantity"].clone());
        quantity(changed) == json!(777)
            && quantity(&made.to_string()) == json!(5)
            && quantity(row["id"].as_str().expect("an id")) != Value::Null
            && !rows.contains_key(deleted)
    };
    for device in [&mut phone, &mut tablet] {
        scene.until_complete(device, is_there).await;
        assert_eq!(device.resets, 0);
    }
    assert_eq!(scene.verify(&[]).code, 0);
}
