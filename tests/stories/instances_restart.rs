//! A rolling restart: each instance is ended and started again in turn, while devices are connected and write.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hyper::Method;
use ryzed_tests::instances::Instances;
use ryzed_tests::rows::food_entry;
use ryzed_tests::{Account, Daemon, insert};
use serde_json::{Value, json};
use tokio::sync::watch;

/// Devices at both instances, unless `RYZED_TEST_DEVICES` says otherwise: 2,000 need `ulimit -n 8192` and a few minutes.
const DEVICES: usize = 100;
/// Each person's.
const DEVICES_EACH: usize = 10;
/// The time until a signal has reached everybody in the process.
const TOLD: Duration = Duration::from_secs(2);
/// The time that the last change may take; the sweep is off.
const LAST: Duration = Duration::from_secs(15);
/// The time that everybody may take to connect, and more for each device.
const CONNECTED: Duration = Duration::from_secs(30);
const CONNECTED_EACH: Duration = Duration::from_millis(100);
/// The pause of all writers together after each write.
const PAUSE: Duration = Duration::from_millis(2);

/// The rows that were written for the device's person, once they are known.
type Written = watch::Receiver<Option<Arc<HashSet<String>>>>;

/// A device that stays connected to whichever instance takes it, resuming where it was, until it was told of everything or too
/// much time has gone. What it was not told of, and how often it was sent away.
async fn stays(
    accounts: [Account; 2],
    device: String,
    mut cursor: Value,
    written: Written,
) -> (HashSet<String>, usize) {
    let (mut seen, mut restarts, mut turn) = (HashSet::new(), 0, device.len());
    let mut ends: Option<Instant> = None;
    loop {
        turn += 1;
        let opening = accounts[turn % 2].connect(&device).from_cursor(&cursor).try_established();
        let Ok(mut socket) = opening.await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        loop {
            match socket.event(Duration::from_millis(200)).await {
                Ok(Some(message)) if message["type"] == "data_updated" => {
                    seen.insert(message["data"]["id"].as_str().expect("an id").to_owned());
                    cursor["user"] = message["version"].clone();
                }
                Ok(_) => {}
                Err(Some(code)) => {
                    assert_eq!(code, 1012, "sent away with another reason");
                    restarts += 1;
                    break;
                }
                Err(None) => break,
            }
            if let Some(all) = written.borrow().clone() {
                let ends = *ends.get_or_insert_with(|| Instant::now() + LAST);
                let missing: HashSet<String> = all.difference(&seen).cloned().collect();
                if missing.is_empty() || Instant::now() > ends {
                    return (missing, restarts);
                }
            }
        }
    }
}

/// Writes for one person at whichever instance answers, until told to end; the rows that were acknowledged.
async fn writes(accounts: [Account; 2], pause: Duration, ends: Arc<AtomicBool>) -> Vec<Value> {
    let mut acknowledged = Vec::new();
    let mut turn = 0;
    while !ends.load(Ordering::Acquire) {
        let row = food_entry(json!({}));
        let change = insert("food_entries", &row).json();
        let body = json!({"device_id": "writer", "tables": ["users"], "changes": [change]});
        // The same change, until one of them says that it has it.
        loop {
            turn += 1;
            match accounts[turn % 2].api.try_post("/sync", &body).await {
                Ok(answer) if answer.status == 200 => break,
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
        acknowledged.push(row["id"].clone());
        tokio::time::sleep(pause).await;
    }
    acknowledged
}

fn devices() -> usize {
    let given = std::env::var("RYZED_TEST_DEVICES").ok().filter(|given| !given.is_empty());
    given.map_or(DEVICES, |given| given.parse().expect("RYZED_TEST_DEVICES is a number"))
}

async fn restart(daemon: &mut Daemon) {
    let account = daemon.account();
    daemon.terminate();
    // For as long as sockets are being sent away it answers, but says that it is no longer there for more.
    let asked = Instant::now();
    while let Ok(answer) = account.api.raw(Method::GET, "//readyz", &[], "").await
        && answer.status != 503
    {
        assert!(asked.elapsed() < TOLD, "ready while it stops: {}", answer.status);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(daemon.exit_code().await, 0);
    daemon.restart();
}

#[tokio::test(flavor = "multi_thread")]
async fn restarting_each_instance_in_turn_loses_no_change_and_no_acknowledged_write() {
    let count = devices();
    let mut both = Instances::with_redis(|builder| {
        // The devices only listen.
        builder.env("RYZED_SERVER__DRAIN_SECONDS", 4).env("RYZED_SYNC__HEARTBEAT_SECONDS", 600)
    });
    let ends = Arc::new(AtomicBool::new(false));
    let people: Vec<[Account; 2]> = (0..count.div_ceil(DEVICES_EACH)).map(|_| both.account().into()).collect();
    let mut before = Vec::new();
    for person in &people {
        before.push(person[0].cursor().await);
    }
    let pause = PAUSE * people.len() as u32;
    let writers: Vec<_> =
        people.iter().map(|person| tokio::spawn(writes(person.clone(), pause, Arc::clone(&ends)))).collect();
    let known: Vec<_> = people.iter().map(|_| watch::Sender::new(None)).collect();
    let devices: Vec<_> = (0..count)
        .map(|n| {
            let (person, cursor) = (people[n % people.len()].clone(), before[n % people.len()].clone());
            tokio::spawn(stays(person, "d".repeat(1 + n / people.len()), cursor, known[n % people.len()].subscribe()))
        })
        .collect();
    let begun = Instant::now();
    while people[0][0].api.get("/health").await.ok()["active_connections"].as_u64() < Some(count as u64) {
        assert!(begun.elapsed() < CONNECTED + CONNECTED_EACH * count as u32, "not everybody is connected");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let connected = begun.elapsed();
    restart(&mut both.a).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    restart(&mut both.b).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    ends.store(true, Ordering::Release);
    let restarted = begun.elapsed() - connected;

    let mut written = Vec::new();
    for writer in writers {
        written.push(writer.await.expect("a writer"));
    }
    for ((person, acknowledged), known) in people.iter().zip(&written).zip(&known) {
        let all = acknowledged.iter().filter_map(|id| id.as_str().map(ToOwned::to_owned));
        known.send_replace(Some(Arc::new(all.collect::<HashSet<String>>())));
        let rows = person[0].rows("food_entries").await;
        let stored: HashSet<&str> = rows.iter().filter_map(|row| row["id"].as_str()).collect();
        for id in acknowledged {
            assert!(stored.contains(id.as_str().expect("an id")), "{id} was acknowledged and is gone");
        }
        assert_eq!(rows.len(), acknowledged.len(), "something was applied twice");
    }
    let mut restarts = 0;
    for (n, device) in devices.into_iter().enumerate() {
        let (missing, told) = device.await.expect("a device");
        restarts += told;
        assert!(missing.is_empty(), "device {n} missed {missing:?}");
    }
    assert!(restarts >= count / 2, "only {restarts} devices were told of a restart");
    eprintln!(
        "{count} devices connected within {connected:?}; both restarts took {restarted:?}; {} writes reached all of them, the \
         last {:?} after the end; {restarts} were sent away",
        written.iter().map(Vec::len).sum::<usize>(),
        begun.elapsed() - connected - restarted
    );
}
