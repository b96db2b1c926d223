//! A rolling restart to this release: an instance of the last one, which sealed nothing and read nothing sealed, works beside
//! one of this. Neither believes the other's messages; both look at the database.

use std::time::{Duration, Instant};

use ryzed_tests::instances::Instances;
use ryzed_tests::rows::food_entry;
use ryzed_tests::stranger::Stranger;
use ryzed_tests::{Metrics, insert};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::instances_faults::{SOON, crosses, settings, wait_for};

/// The lease of an instance of the last release, as it writes it.
fn lease(elder: Uuid) -> String {
    format!(
        "INSERT INTO ryzed.instances (id, name, started_at, alive_until, hears_redis) \
         VALUES ('{elder}', 'elder', now(), now() + interval '1 hour', true)"
    )
}

#[tokio::test]
async fn what_the_last_release_says_is_a_reason_to_look_and_no_more() {
    let both = Instances::without_redis(settings);
    let stranger = Stranger::at_postgres(both.a.database_url()).await;
    let (here, _) = both.account();
    let elder = Uuid::new_v4();
    both.a.database().run(&lease(elder));
    let mut watch = here.socket("watch").await;
    crosses(&here, &mut watch, 1).await;
    let plain = async || Metrics::of(&both.a.address()).await.value("ryzed_bridge_disbelieved_total{reason=\"plain\"}");
    let frame = json!({"v": 1, "from": elder, "m": {"pass": {"to": {}, "frame": {"type": "broadcast", "event": "x"}}}});
    let began = Instant::now();
    while plain().await == 0.0 {
        assert!(began.elapsed() < SOON, "it does not know that an elder is there");
        stranger.say("ryzed_bridge", frame.to_string().as_bytes()).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // What the elder commits, and what it says of it. Its own words are another matter than what is there.
    both.a.database().run(&format!(
        "SET ryzed.device = '*'; INSERT INTO food_entries (id, user_id, quantity, consumed_at) \
         VALUES (gen_random_uuid(), '{}', 7, now())",
        here.person.id
    ));
    let row = food_entry(json!({"quantity": 666}));
    let said = json!({"v": 1, "from": elder, "m": {"committed": {"scope": format!("user:{}", here.person.id),
        "version": 1_000_000_000_000_000_i64, "records": [{"version": 1_000_000_000_000_000_i64, "table": "food_entries",
        "operation": "INSERT", "id": row["id"], "row": row}]}}});
    stranger.say("ryzed_bridge", said.to_string().as_bytes()).await;
    let came = watch.next("database_change").await;
    assert_eq!(came["new_record"]["quantity"], 7);
    crosses(&here, &mut watch, 2).await;
    assert!(watch.received("broadcast").is_empty());
    assert!(plain().await >= 2.0);
}

#[tokio::test]
async fn the_last_release_is_told_by_notices_what_it_would_not_hear_over_redis() {
    let both = Instances::with_redis(settings);
    wait_for(&both, "redis").await;
    let (here, there) = both.account();
    let mut tablet = there.socket("tablet").await;
    crosses(&here, &mut tablet, 1).await;
    let stranger = Stranger::at_postgres(both.a.database_url()).await;
    crosses(&here, &mut tablet, 2).await;
    assert!(stranger.heard().iter().all(|heard| heard.channel != "ryzed_bridge"), "Redis was enough");
    let elder = Uuid::new_v4();
    both.a.database().run(&lease(elder));
    // The elder finds all others deaf to what it says over Redis, and takes notices as well.
    assert_eq!(
        both.a.database().run("SELECT count(*) FROM ryzed.instances WHERE hears_redis AND name <> 'elder'"),
        "0"
    );
    let began = Instant::now();
    let mut quantity = 2;
    while stranger.heard().iter().all(|heard| heard.channel != "ryzed_bridge") {
        assert!(began.elapsed() < SOON, "no notice");
        quantity += 1;
        crosses(&here, &mut tablet, quantity).await;
    }
    // It is told in its own words who is there, so that it gives notice from then on, and nothing else.
    let plain = stranger.heard().into_iter().filter(|heard| heard.message.starts_with(b"{"));
    let plain: Vec<Value> = plain.map(|heard| serde_json::from_slice(&heard.message).expect("JSON")).collect();
    assert!(!plain.is_empty() && plain.iter().all(|said| said["v"] == 1 && said["m"] == "hello"), "{plain:?}");
    // Clients get what comes both ways once.
    here.push_from("web", [insert("food_entries", &food_entry(json!({})))]).await;
    let is_of_web = |message: &Value| message["device_id"] == "web";
    tablet.next_where("other_device_synced", is_of_web).await;
    tablet.expect_silence_where("other_device_synced", is_of_web, 300).await;
}
