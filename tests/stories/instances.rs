//! Two daemons on one PostgreSQL behave as one: what happens at one shows at the other.
//! A SQLite database has one daemon only.

use std::sync::LazyLock;
use std::time::Duration;

use ryzed_tests::instances::Instances;
use ryzed_tests::polling::Poll;
use ryzed_tests::rows::{food, food_entry, row};
use ryzed_tests::{Account, Person, insert};
use serde_json::{Value, json};

static WITH_REDIS: LazyLock<Instances> = LazyLock::new(|| Instances::with_redis(settings));
static WITHOUT_REDIS: LazyLock<Instances> = LazyLock::new(|| Instances::without_redis(settings));

fn settings(builder: ryzed_tests::Builder) -> ryzed_tests::Builder {
    builder.env("RYZED_DEV__TEST_BROADCAST", true).env("RYZED_SYNC__LEASE_SECONDS", 3)
}

/// Two daemons with a Redis between them, and two without.
fn all() -> [&'static Instances; 2] {
    [&WITH_REDIS, &WITHOUT_REDIS]
}

async fn health(account: &Account) -> Value {
    account.api.get("/health").await.ok()
}

/// Waits for a while until the bridge is called so.
async fn says(account: &Account, word: &str) {
    let mut seen = Value::Null;
    for _ in 0..50 {
        seen = health(account).await["bridge"].clone();
        if seen == word {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(seen, word);
}

pub(crate) fn is_active(devices: &Value, device: &str) -> bool {
    let devices = devices.as_array().expect("a list");
    devices.iter().any(|known| known["device_id"] == device && known["is_active"] == true)
}

#[tokio::test]
async fn a_change_at_one_reaches_devices_at_the_other_in_order_and_once() {
    for both in all() {
        let (here, there) = both.account();
        let mut tablet = there.socket("tablet").await;
        let mut last = 0;
        for quantity in 1..=20 {
            here.push([insert("food_entries", &food_entry(json!({"quantity": quantity})))]).await;
            let message = tablet.next_where("data_updated", |message| message["table"] == "food_entries").await;
            assert_eq!((&message["data"]["quantity"], &message["source_device"]), (&json!(quantity), &json!("phone")));
            assert!(message["version"].as_i64() > Some(last));
            last = message["version"].as_i64().expect("a version");
        }
        tablet.fence().await;
        let rest = tablet.received("data_updated");
        assert!(rest.iter().all(|message| message["table"] != "food_entries"), "something came twice: {rest:?}");
    }
}

#[tokio::test]
async fn who_waits_at_one_hears_of_what_is_done_at_the_other() {
    for both in all() {
        let (here, there) = both.account();
        here.push([]).await;
        let cursor = here.pull(json!({})).await["cursor"].clone();
        let poll = Poll::begin(&there, "tablet", &cursor, "").await;
        let entry = food_entry(json!({}));
        here.store("food_entries", &entry).await;
        let page = poll.early().await.ok();
        assert_eq!(page["changes"]["food_entries"][0]["id"], entry["id"], "{page}");
        let lost = there.with_token(there.token());
        lost.push_from("lost", []).await;
        let poll = Poll::begin(&lost, "lost", &page["cursor"], "").await;
        here.api.delete("/devices/lost").await.done();
        poll.early().await.problem(&[401, 403]);
    }
}

#[tokio::test]
async fn a_file_may_hold_where_redis_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("redis-url");
    let url = WITH_REDIS.redis.as_ref().expect("a Redis").url();
    std::fs::write(&file, format!("{url}\n")).expect("a file");
    let builder = ryzed_tests::Daemon::builder().alone().on_postgres().env("RYZED_REDIS__PREFIX", "file");
    let daemon = builder.env("RYZED_REDIS__URL_FILE", file.display()).start();
    says(&daemon.account(), "redis").await;
}

#[tokio::test]
async fn a_row_too_large_to_be_attached_arrives_as_well() {
    for both in all() {
        let (here, there) = both.account();
        let mut tablet = there.socket("tablet").await;
        let steps = json!(["stir ".repeat(12_000)]);
        here.store("recipes", &row("recipes", json!({"steps_en": steps}))).await;
        let message = tablet.next_where("data_updated", |message| message["table"] == "recipes").await;
        assert_eq!(message["data"]["steps_en"], steps);
    }
}

#[tokio::test]
async fn a_write_by_sql_reaches_devices_at_both_once() {
    for both in all() {
        let (here, there) = both.account();
        here.push([]).await;
        let (mut phone, mut tablet) = (here.socket("phone").await, there.socket("tablet").await);
        both.a.database().run(&format!(
            "INSERT INTO food_entries (id, user_id, quantity, consumed_at) VALUES (gen_random_uuid(), '{}', 7, now())",
            here.person.id
        ));
        for socket in [&mut phone, &mut tablet] {
            assert_eq!(socket.next("database_change").await["new_record"]["quantity"], 7);
            socket.expect_silence_of("database_change", 300).await;
        }
    }
}

#[tokio::test]
async fn a_catalogue_change_reaches_everybody() {
    for both in all() {
        let admin = both.a.account_of(Person::admin());
        let mut tablet = both.b.account().socket("tablet").await;
        let new = food(json!({"user_id": null}));
        admin.store("foods", &new).await;
        tablet.next_where("data_updated", |message| message["data"]["id"] == new["id"]).await;
    }
}

#[tokio::test]
async fn who_is_connected_is_known_everywhere() {
    for both in all() {
        let (here, there) = both.account();
        let mut phone = here.socket("phone").await;
        let before = health(&there).await["active_connections"].as_u64().expect("a number");
        let tablet = there.connect("tablet").query("device_type", "mobile").established().await;
        let came = phone.next("presence").await;
        assert_eq!(
            (&came["device_id"], &came["device_type"], &came["is_online"]),
            (&json!("tablet"), &json!("mobile"), &json!(true))
        );
        for account in [&here, &there] {
            let devices = account.api.get("/devices").await.ok();
            assert!(is_active(&devices, "phone") && is_active(&devices, "tablet"), "{devices}");
            let status = account.api.get("/sync-status?device_id=tablet").await.ok();
            assert_eq!(status["is_online"], true);
            assert!(health(account).await["active_connections"].as_u64() > Some(before));
        }
        let admin = both.a.account_of(Person::admin());
        let active = admin.api.get("/active-users").await.ok();
        let mine =
            active["active_users"].as_array().expect("a list").iter().find(|user| user["user_id"] == here.user());
        assert_eq!(mine.expect("it is active")["devices"], 2, "{active}");
        tablet.close().await;
        let went = phone.next("presence").await;
        assert_eq!((&went["device_id"], &went["is_online"]), (&json!("tablet"), &json!(false)));
        assert!(!is_active(&here.api.get("/devices").await.ok(), "tablet"));
    }
}

#[tokio::test]
async fn a_newer_socket_at_the_other_instance_replaces_the_older_and_nobody_else_notices() {
    for both in all() {
        let (here, there) = both.account();
        let mut witness = here.socket("witness").await;
        let mut old = here.socket("phone").await;
        witness.next("presence").await;
        let new = there.socket("phone").await;
        assert_eq!(old.expect_close().await.0, 4409);
        witness.expect_silence_of("presence", 300).await;
        assert!(is_active(&here.api.get("/devices").await.ok(), "phone"));
        new.close().await;
        assert_eq!(witness.next("presence").await["is_online"], false);
    }
}

#[tokio::test]
async fn a_revoked_device_is_closed_wherever_it_is() {
    for both in all() {
        let (here, there) = both.account();
        let mut tablet = there.socket("tablet").await;
        here.api.delete("/devices/tablet").await.done();
        assert_eq!(tablet.expect_close().await.0, 4403);
    }
}

#[tokio::test]
async fn what_devices_tell_each_other_reaches_them_everywhere() {
    for both in all() {
        let (here, there) = both.account();
        let (mut phone, mut tablet) = (here.socket("phone").await, there.socket("tablet").await);
        let asked = here.api.post("/trigger-sync", &json!({"device_id": "phone"})).await.ok();
        assert_eq!(asked["notified"], 1);
        assert_eq!(tablet.next("sync_triggered").await["device_id"], "phone");

        phone.send(json!({"type": "broadcast", "event": "timer", "payload": {"left": 1.50}})).await;
        let heard = tablet.next("broadcast").await;
        assert_eq!((&heard["event"], &heard["payload"]["left"]), (&json!("timer"), &json!(1.50)));

        here.push([insert("food_entries", &food_entry(json!({})))]).await;
        assert_eq!(tablet.next("other_device_synced").await["device_id"], "phone");
        phone.next("sync_completed").await;
        // The caller of one instance may have its socket at the other.
        there.push_from("phone", [insert("food_entries", &food_entry(json!({})))]).await;
        phone.next("sync_completed").await;

        let sent = here.api.post("/test-broadcast", &json!({"message": "hello"})).await.ok();
        assert_eq!(sent["delivered"], 2);
        for socket in [&mut phone, &mut tablet] {
            assert_eq!(socket.next("broadcast").await["payload"], "hello");
        }
    }
}

#[tokio::test]
async fn an_instance_that_dies_takes_its_devices_offline_within_its_lease() {
    let mut both = Instances::without_redis(|builder| builder.env("RYZED_SYNC__LEASE_SECONDS", 2));
    let (here, there) = both.account();
    let mut phone = here.socket("phone").await;
    let _tablet = there.socket("tablet").await;
    assert_eq!(phone.next("presence").await["is_online"], true);
    both.b.kill9();
    let went = phone.next_where("presence", |message| message["is_online"] == false).await;
    assert_eq!(went["device_id"], "tablet");
    assert!(!is_active(&here.api.get("/devices").await.ok(), "tablet"));
    assert_eq!(health(&here).await["active_connections"], 1);
    // It is alone now, and says so, once it has seen that.
    both.b.restart();
    let tablet = there.socket("tablet").await;
    assert_eq!(phone.next("presence").await["is_online"], true);
    tablet.close().await;
}

#[tokio::test]
async fn health_says_how_the_others_are_reached() {
    for (both, word) in all().into_iter().zip(["redis", "postgres"]) {
        says(&both.b.account(), word).await;
    }
}

#[tokio::test]
async fn an_instance_is_called_by_host_and_address() {
    let both = &*WITHOUT_REDIS;
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").expect("the host's name");
    for daemon in [&both.a, &both.b] {
        let name = format!("{}/{}", host.trim(), daemon.address());
        let called = format!("SELECT count(*) FROM ryzed.instances WHERE name = '{name}'");
        assert_eq!(both.a.database().run(&called), "1", "{name}");
    }
}
