//! Connections of instances to their Redis: encrypted, with a password, with no more rights than they need; their
//! subscriptions there, and what those cost.

use std::time::{Duration, Instant};

use ryzed_tests::certificates::Authority;
use ryzed_tests::instances::Instances;
use ryzed_tests::redis::{Redis, RedisCluster, Sentinel};
use ryzed_tests::rows::food_entry;
use ryzed_tests::{Builder, Daemon, Metrics, Proxy, insert};
use serde_json::json;

use crate::instances_faults::{SOON, crosses, settings, wait_for};

/// Secret enough to be looked for in the logs, with what a URL has to escape.
const PASSWORD: &str = "open%sesame";
const ESCAPED: &str = "open%25sesame";

/// It works, and neither log says the password.
async fn works(both: &Instances) {
    wait_for(both, "redis").await;
    let (here, there) = both.account();
    let mut tablet = there.socket("tablet").await;
    crosses(&here, &mut tablet, 1).await;
    for daemon in [&both.a, &both.b] {
        assert!(!daemon.log().contains("sesame"), "a password in the log:\n{}", daemon.log());
    }
}

#[tokio::test]
async fn a_redis_with_tls_a_password_and_an_access_list_carries_changes() {
    let authority = Authority::default();
    // What docs/operating.md gives the daemon, and nothing for anybody else.
    let password = format!(">{PASSWORD}");
    let rights = "-@all +hello +ping +select +publish +subscribe +unsubscribe &ryzed:*";
    let user = ["--user", "ryzed", "on", &password].into_iter().chain(rights.split(' '));
    let guard: Vec<&str> = user.chain(["--user", "default", "off"]).collect();
    let encrypted = Redis::encrypted(&authority, &guard);
    let pem = authority.pem();
    let trusting = |builder: Builder| settings(builder).env("SSL_CERT_FILE", pem.display());
    let url = format!("rediss://ryzed:{ESCAPED}@localhost:{}", encrypted.port());
    works(&Instances::over(&url, trusting)).await;
    let plain = Redis::with(&guard);
    works(&Instances::over(&format!("redis://ryzed:{ESCAPED}@localhost:{}", plain.port()), settings)).await;
    // Another installation's channels are none of its business.
    let other = |builder: Builder| settings(builder).env("RYZED_REDIS__PREFIX", "other");
    wait_for(&Instances::over(&format!("redis://ryzed:{ESCAPED}@localhost:{}", plain.port()), other), "degraded").await;
    // Who signed its certificate is not known here.
    wait_for(&Instances::over(&url, settings), "degraded").await;
}

/// A device that comes or goes is announced once. A device that is told it is connected must not miss it, however far
/// its instance is from Redis.
#[tokio::test]
async fn a_device_that_is_connected_hears_who_goes_right_after() {
    let redis = Redis::start();
    let place = redis.url().trim_start_matches("redis://").trim_end_matches('/').to_owned();
    let proxy = Proxy::in_front_of(place).await;
    let distant = format!("redis://{}", proxy.address());
    let both = Instances::over_each([&redis.url(), &distant], settings);
    wait_for(&both, "redis").await;
    let (here, there) = both.account();
    let watch = here.socket("watch").await;
    proxy.delay(Duration::from_millis(300));
    let mut other = there.socket("other").await;
    watch.close().await;
    other.next_where("presence", |told| told["device_id"] == "watch" && told["is_online"] == false).await;
}

#[tokio::test]
async fn sentinels_and_their_master_may_ask_for_a_password() {
    let sentinel = Sentinel::guarded(PASSWORD);
    // The first one named does not answer.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let silent = silent.local_addr().expect("its address");
    let url = sentinel.url().replacen("127.0.0.1", &format!(":{ESCAPED}@{silent},127.0.0.1"), 1);
    works(&Instances::over(&url, settings)).await;
}

/// The number of subscriptions to channels that are not in this list. Their names tell nobody whose they are.
fn subscriptions(redis: &Redis, but: &[String]) -> usize {
    let counted = channels(redis).into_iter().filter(|channel| !but.contains(channel)).map(|channel| {
        let answer = redis.cli(&["PUBSUB", "NUMSUB", &channel]);
        answer.lines().last().and_then(|count| count.parse::<usize>().ok()).unwrap_or_default()
    });
    counted.sum()
}

fn channels(redis: &Redis) -> Vec<String> {
    redis.cli(&["PUBSUB", "CHANNELS"]).lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

async fn wait_for_subscriptions(redis: &Redis, but: &[String], wanted: usize) {
    let begun = Instant::now();
    while subscriptions(redis, but) != wanted {
        assert!(begun.elapsed() < SOON, "{} instead of {wanted}", subscriptions(redis, but));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_persons_channel_is_subscribed_to_where_a_device_of_theirs_is() {
    let mut both = Instances::with_redis(settings);
    wait_for(&both, "redis").await;
    let (here, there) = both.account();
    here.push([]).await;
    // The catalogue's, and one of each instance.
    let common = channels(both.redis());
    assert_eq!(common.len(), 3, "{common:?}");
    let tablet = there.socket("tablet").await;
    wait_for_subscriptions(both.redis(), &common, 1).await;
    let watch = there.socket("watch").await;
    let phone = here.socket("phone").await;
    wait_for_subscriptions(both.redis(), &common, 2).await;
    assert_eq!(channels(both.redis()).len(), 4, "it is one channel at both");
    phone.close().await;
    tablet.close().await;
    wait_for_subscriptions(both.redis(), &common, 1).await;
    watch.close().await;
    wait_for_subscriptions(both.redis(), &common, 0).await;
}

#[tokio::test]
async fn a_change_elsewhere_is_read_once_and_what_is_known_is_not_read_again() {
    for both in [Instances::with_redis(settings), Instances::without_redis(settings)] {
        let (here, there) = both.account();
        let mut tablet = there.socket("tablet").await;
        // The first one is on its way before the channel is subscribed to, perhaps.
        crosses(&here, &mut tablet, 1).await;
        let reads = async |daemon: &Daemon| Metrics::of(&daemon.address()).await.value("ryzed_bridge_reads_total");
        let before = reads(&both.b).await;
        for quantity in 2..=50 {
            here.push([insert("food_entries", &food_entry(json!({"quantity": quantity})))]).await;
        }
        tablet.next_where("data_updated", |message| message["data"]["quantity"] == 50).await;
        let read = reads(&both.b).await - before;
        assert!((1.0..=49.0).contains(&read), "{read} reads of 49 changes");
        assert_eq!(reads(&both.a).await, 0.0, "its own changes are not read");
    }
}

#[tokio::test]
async fn a_slot_of_a_cluster_that_moves_takes_its_channels_along() {
    let cluster = RedisCluster::start();
    let both = Instances::over(&cluster.url(), settings);
    wait_for(&both, "redis").await;
    let (here, there) = both.account();
    let common = cluster.channels();
    let mut tablet = there.socket("tablet").await;
    crosses(&here, &mut tablet, 1).await;
    let channel = cluster.channels().into_iter().find(|channel| !common.contains(channel)).expect("the person's");
    for quantity in 1..=3 {
        crosses(&here, &mut tablet, 2 * quantity).await;
        cluster.migrate(&channel);
        crosses(&here, &mut tablet, 2 * quantity + 1).await;
        wait_for(&both, "redis").await;
    }
}
