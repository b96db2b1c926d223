//! Messages between instances are neither trusted because they came nor readable by others: a database role without a
//! grant and a client of the same Redis learn nothing of anybody, and their messages, invented or replayed, change
//! nothing.

use std::time::Duration;

use ryzed_tests::instances::Instances;
use ryzed_tests::rows::food_entry;
use ryzed_tests::stranger::{Overheard, Stranger};
use ryzed_tests::{Account, Builder, Metrics, Redis, Socket, insert};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::instances_faults::{crosses, settings as usual, wait_for};

/// Long enough for what a forged message sets off to show.
const A_WHILE: u64 = 700;

fn settings(builder: Builder) -> Builder {
    usual(builder).env("RYZED_DEV__TEST_BROADCAST", true)
}

/// Two daemons without a Redis and a role that may connect, and two with a Redis and another client of it.
async fn all() -> [(Instances, Stranger); 2] {
    let without = Instances::without_redis(settings);
    let role = Stranger::at_postgres(without.a.database_url()).await;
    let mut with = Instances::with_redis(settings);
    let client = Stranger::at_redis(with.redis());
    wait_for(&without, "postgres").await;
    wait_for(&with, "redis").await;
    [(without, role), (with, client)]
}

/// Has everything go over the bridge that there is, from one instance to a tablet at the other.
async fn talk(here: &Account, there: &Account, tablet: &mut Socket, secret: &str) {
    let mut phone = here.connect(&format!("phone-{secret}")).established().await;
    tablet.next_where("presence", |message| message["is_online"] == true).await;
    here.push([insert("food_entries", &food_entry(json!({"unit": secret})))]).await;
    tablet.next_where("data_updated", |message| message["data"]["unit"] == secret).await;
    tablet.next("other_device_synced").await;
    phone.send(json!({"type": "broadcast", "event": secret, "payload": {"says": secret}})).await;
    tablet.next("broadcast").await;
    here.api.post("/trigger-sync", &json!({"device_id": format!("phone-{secret}")})).await.ok();
    tablet.next("sync_triggered").await;
    here.api.post("/test-broadcast", &json!({"message": secret})).await.ok();
    tablet.next("broadcast").await;
    let newer = there.connect(&format!("phone-{secret}")).established().await;
    assert_eq!(phone.expect_close().await.0, 4409);
    newer.close().await;
    tablet.next_where("presence", |message| message["is_online"] == false).await;
}

/// Nothing came, and the socket is open.
async fn nothing_happened(tablet: &mut Socket) {
    for kind in ["broadcast", "presence", "sync_triggered", "other_device_synced", "data_updated", "database_change"] {
        assert_eq!(tablet.received(kind), Vec::<Value>::new());
    }
    tablet.expect_silence(A_WHILE).await;
}

#[tokio::test]
async fn strangers_hear_nothing_of_anybody() {
    for (both, stranger) in all().await {
        let (here, there) = both.account();
        let mut tablet = there.socket("tablet-of-hers").await;
        let secret = "xylophone";
        talk(&here, &there, &mut tablet, secret).await;
        here.api.delete("/devices/tablet-of-hers").await.done();
        assert_eq!(tablet.expect_close().await.0, 4403);
        let heard = stranger.heard();
        assert!(heard.len() > 5, "something went over the bridge: {heard:?}");
        let id = here.person.id;
        let words = [secret, "tablet-of-hers", "food_entries", "broadcast", "user", "committed", "close"];
        let ids = [id.to_string(), id.simple().to_string()];
        for Overheard { channel, message } in heard.iter().filter(|heard| !heard.message.is_empty()) {
            let said = format!("{channel} {}", String::from_utf8_lossy(message));
            for word in words.iter().copied().chain(ids.iter().map(String::as_str)) {
                assert!(!said.contains(word), "{word} can be heard: {said}");
            }
        }
    }
}

/// Messages of strangers who know the format of earlier releases, on every channel that there is.
fn lies(channels: &[String], user: Uuid, food: &Value) -> Vec<Overheard> {
    let from = Uuid::new_v4();
    let envelope = |message: Value| json!({"v": 1, "from": from, "m": message}).to_string();
    let frame = |kind: &str| json!({"type": kind, "event": "gibberish", "payload": "gibberish", "device_id": "liar", "is_online": true});
    let mut lies = Vec::new();
    for kind in ["broadcast", "presence", "sync_triggered", "other_device_synced", "sync_completed"] {
        lies.push(envelope(json!({"pass": {"to": {}, "frame": frame(kind)}})));
        lies.push(envelope(json!({"pass": {"to": {"user": user}, "frame": frame(kind)}})));
    }
    for scope in ["global".to_owned(), format!("user:{user}")] {
        let change = |version: i64| json!({"version": version, "table": "food_entries", "operation": "INSERT", "id": food["id"], "row": food});
        for version in 1..=50 {
            let records = json!([change(version)]);
            lies.push(envelope(json!({"committed": {"scope": scope, "version": version, "records": records}})));
        }
        lies.push(envelope(json!({"committed": {"scope": scope, "version": 1_000_000_000_000_000_i64}})));
    }
    lies.push(envelope(json!({"close": {"user": user, "device": "tablet"}})));
    lies.extend(["hello", "look"].map(|word| envelope(json!(word))));
    lies.extend(["~1", "~999999999", "", "\u{2}", "{", "null"].map(str::to_owned));
    let each = |channel: &String| {
        let said = lies.iter().map(|lie| Overheard { channel: channel.clone(), message: lie.clone().into_bytes() });
        said.collect::<Vec<_>>()
    };
    let old = [format!("ryzed:{{{user}}}"), "ryzed:{global}".to_owned()];
    channels.iter().chain(&old).flat_map(each).collect()
}

/// Genuine messages with something about them changed.
fn forgeries(heard: &[Overheard]) -> Vec<Overheard> {
    let mut forged = Vec::new();
    for Overheard { channel, message } in heard.iter().filter(|heard| heard.message.len() > 40) {
        let changed = |at: usize| {
            let mut message = message.clone();
            // Another letter, where letters are needed.
            message[at] = if message[at] == b'A' { b'B' } else { b'A' };
            Overheard { channel: channel.clone(), message }
        };
        forged.extend((0..message.len()).step_by(message.len() / 40 + 1).map(changed));
        forged.push(Overheard { channel: channel.clone(), message: message[..message.len() - 4].to_vec() });
        forged.push(Overheard { channel: channel.clone(), message: [&message[..], &message[..]].concat() });
    }
    forged
}

#[tokio::test]
async fn what_strangers_make_up_is_not_believed() {
    for (both, stranger) in all().await {
        let (here, there) = both.account();
        let mut tablet = there.socket("tablet").await;
        crosses(&here, &mut tablet, 1).await;
        talk(&here, &there, &mut tablet, "truth").await;
        tablet.received("other_device_synced");
        let made_up = food_entry(json!({"quantity": 666, "user_id": here.user()}));
        let mut all = lies(&stranger.channels(), here.person.id, &made_up);
        all.extend(forgeries(&stranger.heard()));
        stranger.say_all(&all).await;
        nothing_happened(&mut tablet).await;
        // Neither frozen at a version that never was, nor shadowed by a change that never was.
        for quantity in 2..=4 {
            crosses(&here, &mut tablet, quantity).await;
        }
        assert!(tablet.received("data_updated").is_empty());
        let of_b = Metrics::of(&both.b.address()).await;
        assert!(of_b.value("ryzed_bridge_disbelieved_total{reason=\"forged\"}") > 100.0, "{}", of_b.text());
        let complaints = both.b.log().matches("a message on the bridge failed authentication").count();
        assert_eq!(complaints, 1, "one line a minute:\n{}", both.b.log());
        assert!(!both.b.log().contains("gibberish"), "what strangers say is in the log:\n{}", both.b.log());
    }
}

#[tokio::test]
async fn genuine_messages_that_are_said_again_are_worth_nothing() {
    for (mut both, stranger) in all().await {
        let (here, there) = both.account();
        let mut tablet = there.socket("tablet").await;
        talk(&here, &there, &mut tablet, "once").await;
        here.api.delete("/devices/tablet").await.done();
        assert_eq!(tablet.expect_close().await.0, 4403);
        // The one to be misled: the same device, a new socket of it, the person's other instance.
        let [here, there] = [&here, &there].map(|account| account.with_token(account.token().issued_in(1)));
        here.api.patch("/devices/tablet", &json!({"is_active": true})).await.ok();
        let mut tablet = there.socket("tablet").await;
        let mut other = both.b.account().socket("tablet").await;
        let again = async |tablet: &mut Socket, other: &mut Socket| {
            let heard = stranger.heard();
            stranger.say_all(&heard).await;
            let backwards: Vec<Overheard> = heard.iter().rev().cloned().collect();
            stranger.say_all(&backwards).await;
            for channel in stranger.channels() {
                let elsewhere = heard.iter().map(|heard| Overheard { channel: channel.clone(), ..heard.clone() });
                stranger.say_all(&elsewhere.collect::<Vec<_>>()).await;
            }
            nothing_happened(tablet).await;
            nothing_happened(other).await;
        };
        again(&mut tablet, &mut other).await;
        crosses(&here, &mut tablet, 1).await;
        tablet.next("other_device_synced").await;
        // Who has just started remembers nothing that it has heard.
        both.b.kill9();
        both.b.restart();
        tokio::time::sleep(Duration::from_secs(2)).await;
        let (mut tablet, mut other) = (there.socket("tablet").await, both.b.account().socket("tablet").await);
        tablet.received("presence");
        again(&mut tablet, &mut other).await;
        crosses(&here, &mut tablet, 2).await;
    }
}

#[tokio::test]
async fn what_one_database_says_means_nothing_at_another_on_the_same_redis() {
    let mut one = Instances::with_redis(settings);
    let url = one.redis().url();
    let other = Instances::over(&url, settings);
    let stranger = Stranger::at_redis(one.redis());
    wait_for(&one, "redis").await;
    wait_for(&other, "redis").await;
    // The same person, the same devices, at both.
    let (here, there) = one.account();
    let mut misled = other.b.account_of(here.person.clone()).socket("tablet").await;
    let mut tablet = there.socket("tablet").await;
    talk(&here, &there, &mut tablet, "mine").await;
    let heard = stranger.heard();
    for channel in stranger.channels() {
        let elsewhere = heard.iter().map(|heard| Overheard { channel: channel.clone(), ..heard.clone() });
        stranger.say_all(&elsewhere.collect::<Vec<_>>()).await;
    }
    nothing_happened(&mut misled).await;
}

#[tokio::test]
async fn a_stranger_does_not_make_a_redis_work_that_does_not() {
    let redis = Redis::start();
    assert_eq!(redis.cli(&["ACL", "SETUSER", "stranger", "on", "nopass", "+@all", "~*", "&*"]), "OK");
    assert_eq!(redis.cli(&["ACL", "SETUSER", "default", "-publish"]), "OK");
    let both = Instances::over(&redis.url(), settings);
    wait_for(&both, "degraded").await;
    let stranger = Stranger::at_redis_as(&redis, "stranger");
    let (here, there) = both.account();
    let mut tablet = there.socket("tablet").await;
    for quantity in 1..=20 {
        for channel in stranger.channels() {
            for probe in ["~1", "~2", "~1000", "~18446744073709551615"] {
                stranger.say(&channel, probe.as_bytes()).await;
            }
        }
        crosses(&here, &mut tablet, quantity).await;
        for daemon in [&both.a, &both.b] {
            assert_eq!(daemon.account().api.get("/health").await.ok()["bridge"], "degraded");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Transactions of this database so far.
fn transactions(both: &Instances) -> u64 {
    let asked = "SELECT pg_stat_clear_snapshot(); \
         SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()";
    both.a.database().run(asked).trim().parse().expect("a number")
}

#[tokio::test]
async fn a_flood_of_notices_costs_little_and_keeps_nobody_waiting() {
    const SECONDS: u64 = 3;
    let (both, stranger) = {
        let both = Instances::without_redis(settings);
        let stranger = Stranger::at_postgres(both.a.database_url()).await;
        wait_for(&both, "postgres").await;
        (both, stranger)
    };
    let (here, there) = both.account();
    let mut tablet = there.socket("tablet").await;
    crosses(&here, &mut tablet, 1).await;
    let genuine = stranger.heard().into_iter().rfind(|heard| heard.channel == "ryzed_bridge").expect("a message");
    let (before, began) = (transactions(&both), std::time::Instant::now());
    let flood = async {
        for second in 0..10 * SECONDS {
            let hello = |n: u64| json!({"v": 1, "from": Uuid::from_u128(u128::from(second << 32 | n)), "m": "hello"});
            let mut notices = Vec::new();
            // 10,000 a second: of outside writes, of instances that never were, of nobody.
            for n in 0..500 {
                let bare = Overheard { channel: "ryzed".into(), message: format!("{second} {n}").into_bytes() };
                let lie = Overheard { channel: "ryzed_bridge".into(), message: hello(n).to_string().into_bytes() };
                notices.extend([bare, lie]);
            }
            notices.push(genuine.clone());
            stranger.say_all(&notices).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let mut late = Vec::new();
    let work = async {
        for quantity in 2..30 {
            let began = std::time::Instant::now();
            crosses(&here, &mut tablet, quantity).await;
            late.push(began.elapsed());
        }
    };
    tokio::join!(flood, work);
    late.sort();
    assert!(late[late.len() / 2] < Duration::from_millis(250), "changes came late: {late:?}");
    // The flood's own and the pushes' are some; a look at the scopes 20 times a second at each is what notices may cost.
    let (spent, seconds) = (transactions(&both) - before, began.elapsed().as_secs_f64());
    let looks = 2.0 * 20.0 * (seconds + 1.0);
    assert!((spent as f64) < looks + 700.0, "{spent} transactions in {seconds} s");
}
