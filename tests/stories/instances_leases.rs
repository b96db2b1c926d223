//! The instances' knowledge of each other's devices stays right when one of them stands still, fails, or holds what
//! others need.
//!

use std::time::{Duration, Instant};

use ryzed_tests::instances::Instances;
use ryzed_tests::{Account, Builder, Daemon, Socket, postgres};

use crate::instances::is_active;

/// The time for which an instance counts as alive after its last renewal, in seconds.
const LEASE: u64 = 2;
/// The time that the others may take to notice something.
const SOON: Duration = Duration::from_secs(15);

fn settings(builder: Builder) -> Builder {
    builder.env("RYZED_SYNC__LEASE_SECONDS", LEASE)
}

async fn sees(account: &Account, device: &str) -> bool {
    is_active(&account.api.get("/devices").await.ok(), device)
}

/// Waits until an account's instance says of a device whether it is connected.
async fn wait_until(account: &Account, device: &str, is_there: bool, log: &Daemon) {
    let begun = Instant::now();
    while sees(account, device).await != is_there {
        assert!(begun.elapsed() < SOON, "{device} is not {is_there}; the log:\n{}", log.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn told(socket: &mut Socket, device: &str, is_online: bool) {
    let fits = |message: &serde_json::Value| message["device_id"] == device && message["is_online"] == is_online;
    socket.next_where("presence", fits).await;
}

#[tokio::test]
async fn a_device_of_an_instance_that_stood_still_is_offline_and_then_there_again() {
    for both in [Instances::with_redis(settings), Instances::without_redis(settings)] {
        let (here, there) = both.account();
        let mut phone = here.socket("phone").await;
        let mut tablet = there.socket("tablet").await;
        told(&mut phone, "tablet", true).await;
        both.b.pause();
        told(&mut phone, "tablet", false).await;
        assert!(!sees(&here, "tablet").await);
        both.b.wake();
        told(&mut phone, "tablet", true).await;
        wait_until(&here, "tablet", true, &both.b).await;
        assert!(sees(&there, "phone").await && sees(&there, "tablet").await);
        tablet.fence().await;
    }
}

/// An instance that stands still in the middle of a transaction keeps what that has locked.
#[tokio::test]
async fn living_instances_stay_so_whatever_a_dead_one_has_locked() {
    let both = Instances::without_redis(settings);
    let mut third = settings(Daemon::builder().alone()).env("RYZED_DATABASE__URL", both.a.database_url()).start();
    let (here, there) = both.account();
    let (phone, tablet) = (here.socket("phone").await, there.socket("tablet").await);
    let watch = third.account_of(here.person.clone()).socket("watch").await;
    let url = both.a.database_url().to_owned();
    let held = format!("SELECT * FROM ryzed.presence WHERE user_id = '{}' AND device_id = 'watch'", here.person.id);
    let holds = format!("BEGIN; {held} FOR UPDATE; SELECT pg_sleep({}); COMMIT", 4 * LEASE);
    let holding = std::thread::spawn(move || postgres::psql(&url, &holds).expect("it holds a row"));
    let is_held = format!("SELECT count(*) FROM ({held} FOR UPDATE SKIP LOCKED) free");
    while both.a.database().run(&is_held) != "0" {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    third.kill9();
    let begun = Instant::now();
    while !holding.is_finished() {
        for account in [&here, &there] {
            assert!(sees(account, "phone").await && sees(account, "tablet").await, "after {:?}", begun.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(begun.elapsed() > Duration::from_secs(2 * LEASE), "it was not held for long enough");
    holding.join().expect("it held a row");
    // What was left of the dead one is swept now.
    let (left, begun) = ("SELECT count(*) FROM ryzed.instances", Instant::now());
    while both.a.database().run(left) != "2" {
        assert!(begun.elapsed() < SOON, "the dead one is still known");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    drop((phone, tablet, watch));
}

/// As when who notes that a device has gone fails with the note in hand.
#[tokio::test]
async fn a_device_whose_end_was_not_noted_is_offline_after_the_next_comparison() {
    let both = Instances::without_redis(|builder| settings(builder).env("RYZED_SYNC__SWEEP_SECONDS", 1));
    let (here, there) = both.account();
    let mut phone = here.socket("phone").await;
    let _tablet = there.socket("tablet").await;
    told(&mut phone, "tablet", true).await;
    both.a.database().run(
        "INSERT INTO ryzed.presence (user_id, device_id, instance, link, since) \
         SELECT user_id, 'watch', instance, link + 1000, now() FROM ryzed.presence WHERE device_id = 'tablet'",
    );
    told(&mut phone, "watch", false).await;
    assert!(!sees(&here, "watch").await && sees(&here, "tablet").await);
}
