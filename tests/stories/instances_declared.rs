//! Tables that the configuration declares, with several daemons on one database: with the same blocks they behave as one, and one
//! that lacks a block leaves the table to the others.

use ryzed_tests::instances::Instances;
use ryzed_tests::rows::food_entry;
use ryzed_tests::{Daemon, postgres};
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use uuid::Uuid;

const BLOCK: &str = "[tables.sleep_logs]\nowner = \"user_id\"\n[tables.sleep_logs.columns]\n\
    began_at = { type = \"time\", required = true }\nlabels = { type = \"text_list\", default = [] }\n";

/// A configuration for daemons that start with it.
fn block() -> NamedTempFile {
    let file = NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), BLOCK).expect("a block");
    file
}

fn sleep_log() -> Value {
    json!({"id": Uuid::new_v4(), "began_at": "2026-01-05T22:00:00Z", "labels": ["deep"]})
}

#[tokio::test]
async fn what_is_declared_at_both_is_as_one_table() {
    let file = block();
    let both = Instances::without_redis(|builder| builder.env("RYZED_CONFIG", file.path().display()));
    let (here, there) = both.account();
    let mut tablet = there.socket("tablet").await;
    let row = sleep_log();
    here.store("sleep_logs", &row).await;
    let heard = tablet.next_where("data_updated", |message| message["table"] == "sleep_logs").await;
    assert_eq!((&heard["data"]["id"], &heard["data"]["labels"]), (&row["id"], &json!(["deep"])));
    assert_eq!(there.rows("sleep_logs").await.len(), 1);
    // The database keeps people apart by itself, as on every table.
    let kept = "SELECT c.relrowsecurity, (SELECT count(*) FROM pg_policy p WHERE p.polrelid = c.oid) FROM pg_class c \
        WHERE c.oid = 'sleep_logs'::regclass";
    assert_eq!(both.a.database().run(kept), "t|4");
    let stranger = format!(
        "SET ROLE ryzed_daemon; SET request.jwt.claims = '{{\"sub\":\"{}\",\"role\":\"authenticated\"}}'; SELECT count(*) FROM sleep_logs",
        Uuid::new_v4()
    );
    assert_eq!(both.a.database().run(&stranger).lines().last(), Some("0"));
}

#[tokio::test]
async fn one_without_the_block_leaves_the_table_to_the_other() {
    let (file, url) = (block(), postgres::new_database());
    let builder = Daemon::builder().alone().env("RYZED_DATABASE__URL", url);
    let mut with = builder.clone().env("RYZED_CONFIG", file.path().display()).start();
    let me = with.account();
    me.store("sleep_logs", &sleep_log()).await;
    let without = builder.start();
    let there = without.account_of(me.person.clone());
    there.store("food_entries", &food_entry(json!({}))).await;
    assert_eq!(there.api.get("/changes?tables=sleep_logs").await.status, 422);
    let mut phone = there.device("phone");
    phone.sync().await;
    assert!(phone.is_complete().await.expect("a digest") && !phone.rows.contains_key("sleep_logs"));
    me.store("sleep_logs", &sleep_log()).await;
    assert_eq!(me.api.get("//readyz").await.text(), "ready\n", "{}", with.log());
    // What the phone has passed over reaches it, once the daemon that it syncs with has the block.
    with.terminate();
    assert_eq!(with.exit_code().await, 0);
    with.restart();
    let mut moved = me.device("phone");
    moved.cursor = phone.cursor.clone();
    moved.sync().await;
    assert_eq!(moved.rows["sleep_logs"].len(), 2);
    assert!(with.database().is_sound());
}
