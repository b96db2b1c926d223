//! Clients that ask and do not read: what they can hold is bounded, and nobody else is slowed down.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use ryzed_tests::readers::{self, Readers};
use ryzed_tests::rows::row;
use ryzed_tests::{Account, Daemon, Metrics, Socket, insert};
use serde_json::{Value, json};

/// The memory that the daemon may keep for one device, in bytes.
const OUTBOX: usize = 32 << 10;
/// Devices that never read, and devices that do.
const SLOW: usize = 40;
const READERS: usize = 20;
/// Changes of the catalogue in one measurement.
const CHANGES: usize = 30;
/// Changes of each slow device's own; together many times the outboxes.
const OWN: usize = 40;
/// The number of measurements of each; the best counts.
const ROUNDS: usize = 3;
/// The allowance of a time for other reasons.
const NOISE_MS: f64 = 20.0;
/// The growth of memory for other reasons, in KiB.
const NOISE: u64 = 24 << 10;
/// The bytes that may be on their way to a device that does not read: in the system, and in one write.
const IN_THE_SYSTEM: usize = 400 << 10;
/// The time that anything may take.
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn who_asks_for_everything_and_reads_nothing_is_cut_off() {
    let daemon = Daemon::builder().env("RYZED_SERVER__WRITE_TIMEOUT_SECONDS", 1).start();
    let me = daemon.account();
    let notes = "breath ".repeat(2800);
    for _ in 0..16 {
        let runs: Vec<Value> = (0..100).map(|_| row("cardio_sessions", json!({"notes": notes}))).collect();
        me.push(runs.iter().map(|run| insert("cardio_sessions", run))).await;
    }
    let mut stream = TcpStream::connect(daemon.address()).expect("a connection");
    let token = me.person.token();
    let request = format!("GET /api/realtime/export HTTP/1.1\r\nHost: story\r\nAuthorization: Bearer {token}\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("the request is sent");
    let asked = Instant::now();
    let ended =
        "ryzed_http_request_duration_seconds_count{route=\"/api/realtime/export\",method=\"GET\",status=\"200\"}";
    while Metrics::of(&daemon.address()).await.value(ended) == 0.0 {
        assert!(asked.elapsed() < PATIENCE, "the daemon still waits for a client that does not read");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // What was on its way arrives, and then nothing.
    let mut rest = Vec::new();
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let _ = stream.read_to_end(&mut rest);
    assert!(!rest.ends_with(b"0\r\n\r\n"), "the whole export lay in buffers, so the story proves nothing");
}

/// A change that fills an outbox.
fn long() -> String {
    "stir it ".repeat(3700)
}

/// In milliseconds.
fn p99(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[(times.len() - 1) * 99 / 100].as_secs_f64() * 1000.0
}

#[tokio::test]
async fn devices_that_never_read_cost_little_and_slow_nobody_down() {
    // Nobody is to be closed for being silent meanwhile.
    let daemon =
        Daemon::builder().env("RYZED_LIMITS__OUTBOX_BYTES", OUTBOX).env("RYZED_SYNC__HEARTBEAT_SECONDS", 600).start();
    let mut readers = Readers::of(&daemon, READERS).await;
    readers.read(&long(), CHANGES).await;
    let people: Vec<Account> = (0..SLOW).map(|_| daemon.account()).collect();
    let (mut without, mut with, mut slow) = ([f64::MAX; ROUNDS], [f64::MAX; ROUNDS], Vec::new());
    // In turns, since something else may run on this machine.
    for round in 0..ROUNDS {
        slow.clear();
        without[round] = p99(readers.read(&long(), CHANGES).await);
        for account in &people {
            slow.push((account.clone(), readers::slow(account).await));
        }
        with[round] = p99(readers.read(&long(), CHANGES).await);
    }
    let before = daemon.resident_kib();
    let mut resident = vec![before];
    for _ in 0..3 {
        for (account, _) in &slow {
            let own: Vec<Value> = (0..OWN).map(|_| row("recipes", json!({"steps_en": [long()]}))).collect();
            // Anew: the daemon closes connections that are idle for long.
            let account = daemon.account_of(account.person.clone());
            account.push(own.iter().map(|recipe| insert("recipes", recipe))).await;
        }
        resident.push(daemon.resident_kib());
    }
    // The first round fills what the allocator and the database keep for themselves.
    let grown = resident[3].saturating_sub(resident[1]);
    let figures = format!(
        "p99 by round {without:.1?} ms without, {with:.1?} ms with {SLOW} that never read; resident {resident:?} KiB"
    );
    eprintln!("{figures}");
    let (bound, written) = ((SLOW * OUTBOX) as u64 / 1024 + NOISE, (2 * SLOW * OWN * long().len()) as u64 / 1024);
    assert!(bound * 2 < written, "the story proves nothing");
    assert!(grown < bound, "{figures}; the bound is {bound} KiB of {written} KiB written");
    let best = |rounds: [f64; ROUNDS]| rounds.into_iter().fold(f64::MAX, f64::min);
    assert!(best(with) < best(without) * 2.0 + NOISE_MS, "{figures}");

    let lost = Metrics::of(&daemon.address()).await.value("ryzed_outbox_losses_total{reason=\"too_slow\"}");
    assert!(lost >= SLOW as f64, "{lost} losses");
    for (account, socket) in &mut slow {
        recovers(&daemon.account_of(account.person.clone()), socket).await;
    }
}

/// A system takes megabytes for a device that does not read, if it is let.
#[tokio::test]
async fn what_waits_for_a_device_that_never_reads_waits_in_its_outbox() {
    let daemon = Daemon::builder().env("RYZED_LIMITS__OUTBOX_BYTES", OUTBOX).start();
    let mut readers = Readers::of(&daemon, 1).await;
    let mut slow = readers::slow(&daemon.account()).await;
    readers.read(&long(), CHANGES).await;
    let required = slow.next("sync_required").await;
    assert_eq!(required["reason"], "too_slow", "{required}");
    let waited = slow.received("data_updated").len() * long().len();
    assert!(waited < IN_THE_SYSTEM, "{waited} bytes waited elsewhere, of {}", CHANGES * long().len());
}

/// Asserts that the frames before the notice and one pull from its cursor bring everything.
async fn recovers(account: &Account, socket: &mut Socket) {
    let required = socket.next("sync_required").await;
    assert_eq!(required["reason"], "too_slow", "{required}");
    let mut held: BTreeSet<String> = ids(socket.received("data_updated").iter().map(|message| &message["data"]));
    let from = &socket.hello["cursor"];
    let pulled = account.pull(json!({"cursor": required["cursor"], "tables": ["recipes"]})).await;
    held.extend(ids(pulled["changes"]["recipes"].as_array().into_iter().flatten()));
    let all = account.pull(json!({"cursor": from, "tables": ["recipes"]})).await;
    assert_eq!(held, ids(all["changes"]["recipes"].as_array().into_iter().flatten()));
    socket.fence().await;
}

fn ids<'a>(rows: impl Iterator<Item = &'a Value>) -> BTreeSet<String> {
    rows.map(|row| row["id"].to_string()).collect()
}
