//! Writes for which PostgreSQL fires no triggers of the usual kind: those of a subscription's worker, and of whoever calls himself
//! a replica. They are booked like any other.

use std::time::{Duration, Instant};

use ryzed_tests::postgres::{Cluster, psql};
use ryzed_tests::rows::{food_entry, time};
use ryzed_tests::{Account, Daemon};
use serde_json::{Value, json};
use uuid::Uuid;

const SOON: Duration = Duration::from_secs(30);

async fn until(me: &Account, what: &str, wanted: impl Fn(&[Value]) -> bool) {
    let began = Instant::now();
    loop {
        let rows = me.rows("food_entries").await;
        if wanted(&rows) {
            return;
        }
        assert!(began.elapsed() < SOON, "{what} does not come: {rows:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn has(rows: &[Value], id: Uuid, quantity: u32) -> bool {
    rows.iter().any(|row| row["id"] == json!(id) && row["quantity"] == json!(quantity))
}

fn insert(id: Uuid, person: Uuid) -> String {
    let now = time(chrono::TimeDelta::zero());
    format!(
        "INSERT INTO food_entries (id, user_id, quantity, unit, consumed_at, created_at, updated_at) \
         VALUES ('{id}', '{person}', 1, 'g', '{now}', '{now}', '{now}')"
    )
}

/// Each kind of write by a session that is a replica: once in the index, and on the sockets.
#[tokio::test]
async fn what_a_replica_writes_is_booked_once() {
    let daemon = Daemon::builder().on_postgres().alone().start();
    let (me, other) = (daemon.account(), daemon.account());
    me.store("food_entries", &food_entry(json!({}))).await;
    other.store("food_entries", &food_entry(json!({}))).await;
    let mut phone = me.device("phone");
    phone.sync().await;
    let (id, run) = (Uuid::new_v4(), |sql: &str| {
        daemon.database().run(&format!("BEGIN; SET LOCAL session_replication_role = replica; {sql}; COMMIT"))
    });
    let before = me.cursor().await["user"].as_i64().expect("a version");
    for (step, sql) in [
        insert(id, me.person.id),
        format!("UPDATE food_entries SET quantity = 2 WHERE id = '{id}'"),
        format!("UPDATE food_entries SET quantity = 2 WHERE id = '{id}'"),
        format!("DELETE FROM food_entries WHERE id = '{id}'"),
    ]
    .iter()
    .enumerate()
    {
        run(sql);
        // The third changes nothing.
        let taken = [1, 2, 2, 3][step];
        assert_eq!(me.cursor().await["user"], json!(before + taken), "{sql}");
        phone.sync().await;
        assert!(phone.is_complete().await.expect("a digest"), "{sql}");
        assert_eq!(phone.rows["food_entries"].contains_key(&id.to_string()), step < 3, "{sql}");
    }
    // A row that changes hands leaves one and comes to the other.
    run(&insert(id, me.person.id));
    run(&format!("UPDATE food_entries SET user_id = '{}' WHERE id = '{id}'", other.person.id));
    assert!(!has(&me.rows("food_entries").await, id, 1) && has(&other.rows("food_entries").await, id, 1));
    assert!(daemon.database().is_sound());
    assert_eq!(me.api.get("//readyz").await.text(), "ready\n");
}

/// A subscription: what is published elsewhere arrives on devices.
#[tokio::test]
async fn what_a_subscription_brings_reaches_devices() {
    let cluster = Cluster::start();
    let (here, there) = (cluster.new_database(), cluster.new_database());
    psql(&here, "ALTER SYSTEM SET wal_level = 'logical'").expect("a setting");
    cluster.shut_down();
    cluster.start_again();
    let daemon = Daemon::builder().env("RYZED_DATABASE__URL", &here).start();
    let me = daemon.account();
    me.push([]).await;
    // Its publisher is a copy of the tables, and nothing else of them.
    let copy = "CREATE TABLE food_entries (id uuid PRIMARY KEY, user_id uuid, quantity numeric, unit text, \
         consumed_at timestamptz, created_at timestamptz, updated_at timestamptz); \
         CREATE PUBLICATION fed FOR TABLE food_entries; SELECT pg_create_logical_replication_slot('fed', 'pgoutput')";
    psql(&there, copy).expect("a publisher");
    psql(
        &here,
        &format!(
            "CREATE SUBSCRIPTION fed CONNECTION '{there}' PUBLICATION fed \
        WITH (create_slot = false, slot_name = 'fed', copy_data = false)"
        ),
    )
    .expect("a subscription");
    let id = Uuid::new_v4();
    psql(&there, &insert(id, me.person.id)).expect("a row");
    until(&me, "a new row", |rows| has(rows, id, 1)).await;
    psql(&there, &format!("UPDATE food_entries SET quantity = 2 WHERE id = '{id}'")).expect("an edit");
    until(&me, "an edit", |rows| has(rows, id, 2)).await;
    psql(&there, &format!("DELETE FROM food_entries WHERE id = '{id}'")).expect("a deletion");
    until(&me, "a deletion", <[Value]>::is_empty).await;
    assert_eq!(me.api.get("//readyz").await.text(), "ready\n");
    psql(&here, "ALTER SUBSCRIPTION fed DISABLE; ALTER SUBSCRIPTION fed SET (slot_name = NONE); DROP SUBSCRIPTION fed")
        .expect("an end");
}
