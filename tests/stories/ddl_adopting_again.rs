//! `ryzed adopt` once more, after an application has changed its tables: what is certain goes on, what is not is asked, and
//! databases of earlier releases, and those that were restored from a dump, are brought to what their tables say.

use ryzed_tests::postgres;
use ryzed_tests::{Application, flat, insert, proposed};
use serde_json::json;

use crate::adopt_meanwhile::contradictions;
use crate::ddl_adopted::{Scene, assert_complete, entry};

/// A migration as it is shipped, back to the release before it.
const BACK: &str = include_str!("../../migrations/postgres/0007_layout_sync/down.sql");

#[tokio::test]
async fn a_column_of_the_owners_name_that_is_another_is_not_taken_for_it() {
    let mut scene = Scene::new();
    let mut theirs = scene.other.device("theirs");
    theirs.sync().await;
    scene.daemon.terminate();
    assert_eq!(scene.daemon.exit_code().await, 0);
    scene.app.sql("ALTER TABLE foods RENAME created_by TO owner_id; ALTER TABLE foods ADD created_by uuid; UPDATE foods SET name_en = 'Private'");
    let ran = scene.app.ryzed(&["adopt"]);
    let told = "rows of public.foods that belong to people would be others', or everybody's. If it is right as it is: \
                ryzed adopt --accept foods. Else see to it that it is the right one: its column created_by is not the one that told \
                whose they are, which is called owner_id now: [tables.foods] columns = { user_id = \"owner_id\" }";
    assert!(ran.code == 2 && flat(&ran.stderr).contains(told), "{}", ran.said());
    assert_eq!(proposed(&ran.stderr).len(), 1, "{}", ran.said());
    // The others are served all the same.
    scene.restart().await;
    scene.until_stopped("foods").await;
    theirs.sync().await;
    assert!(!json!(theirs.rows).to_string().contains("Private"));
    let as_before = scene.app.configuration();
    scene.app.configure(&as_before.replace("created_by", "owner_id"));
    scene.adopt_again(&[]).await;
    assert_complete(&mut theirs).await;
    assert_eq!(contradictions(&scene.app), "");
    let mine = scene.owner.rows("foods").await.len();
    assert_eq!(
        scene.app.sql("SELECT count(*) FROM foods WHERE owner_id IS NULL OR owner_id = md5('user 1')::uuid"),
        mine.to_string()
    );

    // Who means it says so: then they are everybody's.
    scene.app.configure(&as_before);
    scene.daemon.terminate();
    assert_eq!(scene.daemon.exit_code().await, 0);
    assert_eq!(scene.app.ryzed(&["adopt"]).code, 2);
    let unknown = scene.app.ryzed(&["adopt", "--accept", "fods"]);
    assert!(
        unknown.code == 2 && unknown.stderr.contains("--accept fods: there is no such table"),
        "{}",
        unknown.said()
    );
    let _ = scene.app.ryzed(&["adopt", "--accept", "foods"]).ok();
    scene.restart().await;
    let everybodys = "SELECT (SELECT count(*) FROM foods) = count(*) FROM ryzed.changes WHERE table_name = 'foods' \
                      AND scope = 'global' AND operation <> 'DELETE'";
    assert_eq!((scene.app.sql(everybodys), contradictions(&scene.app)), ("t".into(), String::new()));
}

#[tokio::test]
async fn a_table_that_is_gone_from_where_it_was_is_not_left_in_silence() {
    let mut scene = Scene::new();
    let mut mine = scene.owner.device("mine");
    mine.sync().await;
    let held = mine.rows["food_entries"].len();
    scene.daemon.terminate();
    assert_eq!(scene.daemon.exit_code().await, 0);
    let refused = |advice: &str| {
        for arguments in [&["adopt", "--dry-run"][..], &["adopt"]] {
            let ran = scene.app.ryzed(arguments);
            assert!(ran.code == 2 && flat(&ran.stdout).contains(advice), "{advice}:\n{}", ran.said());
        }
    };
    scene.app.sql("ALTER TABLE food_entries RENAME TO diary");
    refused(
        "public.food_entries is synced, and it is called public.diary now: [tables.food_entries] relation = \"public.diary\"",
    );
    scene.app.sql("CREATE VIEW food_entries AS SELECT * FROM diary");
    refused("public.food_entries is a view");
    refused("it is called public.diary now: [tables.food_entries] relation = \"public.diary\"");
    let moved = scene
        .app
        .configuration()
        .replace("[tables.food_entries]\n", "[tables.food_entries]\nrelation = \"public.diary\"\n");
    scene.app.configure(&moved);
    let ran = scene.app.ryzed(&["serve"]);
    assert!(ran.code == 2 && ran.stderr.contains("Run `ryzed adopt` again"), "{}", ran.said());
    let _ = scene.app.ryzed(&["adopt"]).ok();
    scene.restart().await;
    assert_complete(&mut mine).await;
    assert_eq!((mine.rows["food_entries"].len(), mine.resets), (held, 0));
    scene.owner.store("food_entries", &entry()).await;
    assert_eq!(contradictions(&scene.app), "");
    // Leaving and coming back is a new beginning.
    scene.daemon.terminate();
    assert_eq!(scene.daemon.exit_code().await, 0);
    let _ = scene.app.ryzed(&["adopt", "--undo"]).ok();
    scene.adopt_after_leaving().await;
    mine.sync().await;
    assert_eq!((mine.rows["food_entries"].len(), mine.resets), (held + 1, 1));
}

#[tokio::test]
async fn what_an_earlier_release_has_booked_wrongly_is_mended_at_the_first_start() {
    let mut scene = Scene::new();
    let (mut mine, mut theirs) = (scene.owner.device("mine"), scene.other.device("theirs"));
    scene.daemon.terminate();
    assert_eq!(scene.daemon.exit_code().await, 0);
    // That release believes what a column is called.
    scene.app.sql(&format!("{BACK}; DELETE FROM ryzed.__diesel_schema_migrations WHERE version = '0007'; DELETE FROM ryzed.meta WHERE key = 'put_up'"));
    let me = scene.owner.person.id;
    scene.app.sql(&format!(
        "ALTER TABLE foods RENAME created_by TO owner_id; \
         INSERT INTO foods (id, owner_id, name_en, calories) VALUES (md5('secret')::uuid, '{me}', 'Private', 1); \
         UPDATE foods SET name_en = 'Private' WHERE owner_id = '{me}'; ALTER TABLE foods RENAME owner_id TO created_by; \
         ALTER TABLE app.sessions RENAME user_id TO u; UPDATE app.sessions SET name = 'Private' WHERE u = '{me}'; \
         ALTER TABLE app.sessions RENAME u TO user_id"
    ));
    let wrong = "SELECT count(*) > 0 FROM ryzed.changes c JOIN foods f ON f.id = c.row_id WHERE c.scope = 'global' \
                 AND c.operation <> 'DELETE' AND f.created_by IS NOT NULL";
    assert_eq!(scene.app.sql(wrong), "t", "nothing is to be mended");
    let epoch = scene.app.sql("SELECT value FROM ryzed.meta WHERE key = 'life'");
    scene.restart().await;
    scene.until_stopped("").await;
    assert_eq!(contradictions(&scene.app), "");
    assert_eq!(scene.app.sql("SELECT value FROM ryzed.meta WHERE key = 'life'"), epoch);
    for device in [&mut mine, &mut theirs] {
        assert_complete(device).await;
    }
    assert!(!json!(theirs.rows).to_string().contains("Private"));
    assert_eq!(mine.rows["workout_sessions"].len(), 20);
    // Its triggers are those of this release now.
    scene.app.sql("ALTER TABLE foods RENAME created_by TO owner_id");
    scene.app.sql("UPDATE foods SET name_en = 'Private'");
    scene.until_stopped("foods").await;
}

#[tokio::test]
async fn a_column_that_was_renamed_under_an_earlier_release_stops_its_table() {
    let mut scene = Scene::new();
    scene.daemon.terminate();
    assert_eq!(scene.daemon.exit_code().await, 0);
    scene.app.sql(&format!("{BACK}; DELETE FROM ryzed.__diesel_schema_migrations WHERE version = '0007'"));
    scene.app.sql("ALTER TABLE foods RENAME created_by TO owner_id; ALTER TABLE foods ADD created_by uuid; UPDATE foods SET name_en = 'Private'");
    scene.restart().await;
    scene.until_stopped("foods").await;
    assert!(!scene.other.pull(json!({})).await.to_string().contains("Private"));
    scene.app.configure(&scene.app.configuration().replace("created_by", "owner_id"));
    scene.adopt_again(&[]).await;
    scene.until_stopped("").await;
    assert_eq!(contradictions(&scene.app), "");
    let seen = scene.other.rows("foods").await;
    let theirs = scene.app.sql("SELECT count(*) FROM foods WHERE owner_id IS NULL OR owner_id = md5('user 2')::uuid");
    assert_eq!(seen.len().to_string(), theirs);
}

#[tokio::test]
async fn a_restored_dump_is_served_and_its_index_is_held_against_its_rows() {
    let mut scene = Scene::new();
    scene.owner.store("food_entries", &entry()).await;
    scene.daemon.terminate();
    assert_eq!(scene.daemon.exit_code().await, 0);
    let (dump, copy) = (postgres::dump(&scene.app.url, &[]), postgres::new_database());
    postgres::psql(&copy, &dump).expect("it is restored");
    scene.app.url = copy;
    // Before anybody has looked, and so unseen.
    let me = scene.owner.person.id;
    scene.app.sql(&format!(
        "DELETE FROM food_entries WHERE id = md5('entry 2')::uuid; UPDATE food_entries SET note = 'late' WHERE id = md5('entry 4')::uuid; \
         INSERT INTO food_entries (id, user_id, quantity, eaten_at) VALUES (md5('late')::uuid, '{me}', 1, now())"
    ));
    let daemon = scene.app.daemon().start();
    scene.daemon = daemon;
    (scene.owner, scene.other) = (scene.app.account(&scene.daemon, 1), scene.app.account(&scene.daemon, 2));
    scene.until_stopped("").await;
    assert_eq!(contradictions(&scene.app), "");
    let rows = scene.owner.rows("food_entries").await;
    let has = |id: &str| rows.iter().any(|row| row["id"] == scene.app.sql(&format!("SELECT md5('{id}')::uuid")));
    assert!(has("late") && !has("entry 2"));
    let done = scene.owner.push([insert("food_entries", &entry())]).await;
    assert_eq!(done["results"][0]["status"], "applied", "{done}");
}

impl Scene {
    async fn adopt_after_leaving(&mut self) {
        let _ = self.app.ryzed(&["adopt"]).ok();
        self.restart().await;
    }
}

/// A copy that has forgotten whose its rows are.
#[tokio::test]
async fn a_swapped_table_that_lost_its_owners_is_refused() {
    let mut scene = Scene::new();
    let mut theirs = scene.other.device("theirs");
    theirs.sync().await;
    scene.app.sql(
        "BEGIN; CREATE TABLE foods_new (LIKE foods INCLUDING DEFAULTS INCLUDING INDEXES); \
         INSERT INTO foods_new (id, name_en, calories, serial_no) SELECT id, 'Private', calories, serial_no FROM foods; \
         ALTER TABLE foods RENAME TO foods_old; ALTER TABLE foods_new RENAME TO foods; COMMIT",
    );
    // Within the moment before it is noticed, and afterwards.
    let early = scene.other.pull(json!({})).await.to_string();
    scene.until_stopped("foods").await;
    assert!(!early.contains("Private") && !scene.other.pull(json!({})).await.to_string().contains("Private"));
    scene.daemon.terminate();
    assert_eq!(scene.daemon.exit_code().await, 0);
    let ran = scene.app.ryzed(&["adopt"]);
    let told = "it is not the table that was adopted, which is called public.foods_old now: [tables.foods] relation = \"public.foods_old\"";
    assert!(ran.code == 2 && flat(&ran.stderr).contains(told), "{}", ran.said());
    scene.app.sql("DROP TABLE foods; ALTER TABLE foods_old RENAME TO foods");
    scene.restart().await;
    scene.until_stopped("").await;
    assert_complete(&mut theirs).await;
    assert!(!json!(theirs.rows).to_string().contains("Private"));
}

/// A column under another's name has values that nobody was told of, and some that nobody may be.
#[tokio::test]
async fn a_column_under_anothers_name_is_noticed_and_told_anew() {
    let app = Application::with_people(2);
    app.configure(&app.configuration().replace("[tables.foods]\n", "[tables.foods]\nhidden = [\"barcode\"]\n"));
    app.sql("UPDATE foods SET barcode = 'hush'");
    let mut scene = Scene::made(app);
    let mut mine = scene.owner.device("mine");
    mine.sync().await;
    let swap = "BEGIN; ALTER TABLE foods RENAME category TO kind; ALTER TABLE foods RENAME barcode TO category; \
                ALTER TABLE foods RENAME kind TO barcode; COMMIT";
    scene.app.sql(swap);
    scene.until_stopped("foods").await;
    let whole = scene.owner.pull(json!({})).await;
    assert!(!whole.to_string().contains("hush"), "{whole}");
    scene.app.sql(swap);
    scene.until_stopped("").await;
    assert_complete(&mut mine).await;

    scene.app.sql("ALTER TABLE foods DROP category; ALTER TABLE foods ADD category text NOT NULL DEFAULT 'fresh'");
    scene.until_stopped("foods").await;
    scene.restart_after_end().await;
    scene.until_stopped("foods").await;
    scene.adopt_again(&[]).await;
    scene.until_stopped("").await;
    assert_complete(&mut mine).await;
    let foods: Vec<_> = mine.rows["foods"].values().collect();
    assert!(!foods.is_empty() && foods.iter().all(|row| row["category"] == "fresh"), "{foods:?}");
    assert!(mine.resets == 0 && !json!(mine.rows).to_string().contains("hush"));
}

#[tokio::test]
async fn what_was_written_past_the_triggers_is_mended_once_somebody_says_so() {
    let mut scene = Scene::new();
    let (mut mine, mut theirs) = (scene.owner.device("mine"), scene.other.device("theirs"));
    mine.sync().await;
    theirs.sync().await;
    let (me, them) = (scene.owner.person.id, scene.other.person.id);
    scene.app.sql(&format!(
        "BEGIN; SET session_replication_role = replica; UPDATE foods SET created_by = '{me}', name_en = 'Private' WHERE created_by = '{them}'; \
         DELETE FROM food_entries WHERE user_id = '{me}'; COMMIT"
    ));
    for table in ["foods", "food_entries"] {
        scene.app.sql(&format!(
            "INSERT INTO ryzed.stopped (table_name, since_xid, reason) VALUES ('{table}', '3', 'written by replication')"
        ));
    }
    scene.until_stopped("food_entries, foods").await;
    theirs.sync().await;
    assert!(!json!(theirs.rows).to_string().contains("Private"));
    scene.adopt_again(&[]).await;
    scene.until_stopped("").await;
    assert_eq!(contradictions(&scene.app), "");
    let mut late = scene.owner.connect("late").from_cursor(&mine.cursor).established().await;
    let gone = late.next_where("database_change", |told| told["operation"] == "DELETE").await;
    assert!(gone["old_record"]["id"].is_string(), "{gone}");
    for device in [&mut mine, &mut theirs] {
        assert_complete(device).await;
        assert_eq!(device.resets, 0);
    }
    assert!(mine.rows["food_entries"].is_empty() && json!(mine.rows["foods"]).to_string().contains("Private"));
    assert!(!json!(theirs.rows).to_string().contains("Private"));
}
