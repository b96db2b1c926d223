//! Faults of the carrier between two daemons while changes flow: nothing is lost, and the log stays short.

use std::time::{Duration, Instant};

use ryzed_tests::instances::Instances;
use ryzed_tests::redis::{Redis, RedisCluster, Sentinel};
use ryzed_tests::rows::food_entry;
use ryzed_tests::{Account, Api, Builder, Daemon, Socket, insert};
use serde_json::{Value, json};

/// The time until a fault of the carrier is noticed, or its end.
pub(crate) const SOON: Duration = Duration::from_secs(20);

pub(crate) fn settings(builder: Builder) -> Builder {
    builder.env("RYZED_SYNC__LEASE_SECONDS", 3)
}

/// Waits until both say that of their bridge.
pub(crate) async fn wait_for(both: &Instances, word: &str) {
    for daemon in [&both.a, &both.b] {
        let (account, begun) = (daemon.account(), Instant::now());
        loop {
            let health = account.api.get("/health").await.ok();
            if health["bridge"] == word {
                break;
            }
            assert!(begun.elapsed() < SOON, "{health} does not say {word}; its log:\n{}", daemon.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Pushes a change at one instance that must arrive at the other.
pub(crate) async fn crosses(here: &Account, there: &mut Socket, quantity: u32) {
    here.push([insert("food_entries", &food_entry(json!({"quantity": quantity})))]).await;
    let begun = Instant::now();
    loop {
        // The sweep is off: it comes over the bridge, or when that is in order again.
        if let Some(message) = there.maybe_next("data_updated", Duration::from_secs(1)).await {
            if message["data"]["quantity"] == quantity {
                return;
            }
        } else {
            assert!(begun.elapsed() < SOON, "change {quantity} did not come");
        }
    }
}

/// The number of lines of the log about Redis.
fn lines(daemon: &Daemon) -> usize {
    daemon.log().lines().filter(|line| line.contains("Redis")).count()
}

#[tokio::test]
async fn a_redis_that_dies_is_done_without_and_used_again_when_it_is_back() {
    let mut both = Instances::with_redis(settings);
    let (here, there) = both.account();
    let mut tablet = there.socket("tablet").await;
    wait_for(&both, "redis").await;
    crosses(&here, &mut tablet, 1).await;
    both.redis().kill9();
    for quantity in 2..=6 {
        crosses(&here, &mut tablet, quantity).await;
    }
    wait_for(&both, "degraded").await;
    crosses(&here, &mut tablet, 7).await;
    both.redis().start_again();
    wait_for(&both, "redis").await;
    crosses(&here, &mut tablet, 8).await;
    for daemon in [&both.a, &both.b] {
        assert!(lines(daemon) <= 4, "a storm in the log:\n{}", daemon.log());
    }
}

#[tokio::test]
async fn a_redis_that_is_emptied_or_slow_loses_nothing() {
    let mut both = Instances::with_redis(settings);
    let (here, there) = both.account();
    let mut tablet = there.socket("tablet").await;
    wait_for(&both, "redis").await;
    let mut quantity = 0;
    for trouble in [
        &["FLUSHALL"][..],
        &["CLIENT", "PAUSE", "3000"],
        &["CLIENT", "KILL", "TYPE", "normal"],
        &["CLIENT", "KILL", "TYPE", "pubsub"],
        &["DEBUG", "SLEEP", "4"],
    ] {
        let port = both.redis().port().to_string();
        let mut troubling = std::process::Command::new("redis-cli")
            .args(["-p", &port])
            .args(trouble)
            .stdout(std::process::Stdio::null())
            .spawn()
            .expect("redis-cli");
        for _ in 0..5 {
            quantity += 1;
            crosses(&here, &mut tablet, quantity).await;
        }
        troubling.wait().expect("redis-cli ends");
        wait_for(&both, "redis").await;
    }
    for daemon in [&both.a, &both.b] {
        assert!(lines(daemon) <= 12, "a storm in the log:\n{}", daemon.log());
    }
}

#[tokio::test]
async fn an_instance_without_redis_is_heard_and_told_as_well() {
    let both = Instances::with_redis(settings);
    let url = both.a.database_url();
    let third = settings(Daemon::builder().alone())
        .env("RYZED_DATABASE__URL", url)
        .env("RYZED_SYNC__SWEEP_SECONDS", 3600)
        .start();
    let (here, there) = both.account();
    let other = third.account_of(here.person.clone());
    let (mut tablet, mut watch) = (there.socket("tablet").await, other.socket("watch").await);
    for quantity in 1..=3 {
        crosses(&here, &mut watch, quantity).await;
        crosses(&other, &mut tablet, 100 + quantity).await;
    }
    // The tablet's instance hears both ways; what comes over both is for its devices once.
    for (from, way) in [(&here, "here"), (&other, "other")] {
        from.api.post("/trigger-sync", &json!({"device_id": way})).await.ok();
        from.push_from(way, [insert("food_entries", &food_entry(json!({})))]).await;
        for socket in [&mut tablet, &mut watch] {
            for kind in ["sync_triggered", "other_device_synced"] {
                let is_this = |message: &Value| message["device_id"] == way;
                socket.next_where(kind, is_this).await;
                socket.expect_silence_where(kind, is_this, 200).await;
            }
        }
    }
}

#[tokio::test]
async fn what_is_committed_while_the_bridge_is_replaced_reaches_the_others() {
    // No renewal of a lease tells them by the way.
    let settings = |builder: Builder| builder.with_faults().env("RYZED_SYNC__LEASE_SECONDS", 3600);
    for both in [Instances::with_redis(settings), Instances::without_redis(settings)] {
        let (here, there) = both.account();
        let mut tablet = there.socket("tablet").await;
        crosses(&here, &mut tablet, 1).await;
        let api = Api::new(&both.a.address(), None);
        for quantity in 2..=6 {
            while api.post("//faults/bridge", &json!({"do": "panic"})).await.status == 404 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            crosses(&here, &mut tablet, quantity).await;
        }
    }
}

#[tokio::test]
async fn a_redis_that_lets_nobody_publish_is_away_and_said_to_be_so_once() {
    let redis = Redis::start();
    assert_eq!(redis.cli(&["ACL", "SETUSER", "default", "-publish"]), "OK");
    let both = Instances::over(&redis.url(), settings);
    let (here, there) = both.account();
    let mut tablet = there.socket("tablet").await;
    wait_for(&both, "degraded").await;
    // Long enough for several connections.
    let (begun, mut quantity) = (Instant::now(), 0);
    while begun.elapsed() < Duration::from_secs(4) {
        quantity += 1;
        crosses(&here, &mut tablet, quantity).await;
        for daemon in [&both.a, &both.b] {
            assert_eq!(daemon.account().api.get("/health").await.ok()["bridge"], "degraded");
            assert!(lines(daemon) <= 1, "a storm in the log:\n{}", daemon.log());
        }
    }
    assert_eq!(redis.cli(&["ACL", "SETUSER", "default", "+publish"]), "OK");
    wait_for(&both, "redis").await;
    crosses(&here, &mut tablet, quantity + 1).await;
}

#[tokio::test]
async fn a_cluster_carries_changes_over_sharded_channels() {
    let cluster = RedisCluster::start();
    let both = Instances::over(&cluster.url(), settings);
    wait_for(&both, "redis").await;
    for _ in 0..5 {
        // Each person's channel is in a slot of its own.
        let (here, there) = both.account();
        let mut tablet = there.socket("tablet").await;
        crosses(&here, &mut tablet, 1).await;
    }
    assert!(!cluster.channels().is_empty(), "no sharded channel is subscribed to");
    for daemon in [&both.a, &both.b] {
        assert!(lines(daemon) <= 1, "it was not in order all the time:\n{}", daemon.log());
    }
}

#[tokio::test]
async fn sentinels_are_asked_where_the_master_is_and_asked_again_after_a_failover() {
    let mut sentinel = Sentinel::start();
    let both = Instances::over(&sentinel.url(), settings);
    wait_for(&both, "redis").await;
    let (here, there) = both.account();
    let mut tablet = there.socket("tablet").await;
    crosses(&here, &mut tablet, 1).await;
    sentinel.kill_master();
    crosses(&here, &mut tablet, 2).await;
    wait_for(&both, "degraded").await;
    wait_for(&both, "redis").await;
    crosses(&here, &mut tablet, 3).await;
}
