//! Clients that ask and do not read: what they can hold is bounded, and nobody else is slowed down.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use ryzed_tests::rows::{food, row};
use ryzed_tests::{Account, Daemon, Metrics, Person, Socket, insert};
use serde_json::{Value, json};

/// What the daemon may keep for one device, in bytes.
const OUTBOX: usize = 32 << 10;
/// Devices that never read, and devices that do.
const SLOW: usize = 60;
const READERS: usize = 30;
/// Changes in one measurement; together many times the outboxes.
const CHANGES: usize = 60;
/// How long anything may take.
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

/// From each write until each reader has it, in milliseconds, in order of size.
async fn delivered(keeper: &Account, readers: &mut [Socket]) -> Vec<f64> {
    let mut times = Vec::with_capacity(CHANGES * readers.len());
    let description = "bread ".repeat(700);
    for _ in 0..CHANGES {
        let asked = Instant::now();
        let entry = food(json!({"user_id": null, "name_en": &description[..200], "category": description}));
        let version = keeper.apply(insert("foods", &entry)).await;
        for socket in readers.iter_mut() {
            socket.next_where("data_updated", |message| message["version"] == version).await;
            times.push(asked.elapsed().as_secs_f64() * 1000.0);
        }
    }
    times.sort_by(f64::total_cmp);
    times
}

fn p99(times: &[f64]) -> f64 {
    times[(times.len() - 1) * 99 / 100]
}

#[tokio::test]
async fn devices_that_never_read_cost_little_and_slow_nobody_down() {
    let daemon = Daemon::builder().env("RYZED_LIMITS__OUTBOX_BYTES", OUTBOX).start();
    let keeper = daemon.account_of(Person::admin());
    keeper.push([]).await;
    let mut readers = Vec::new();
    for _ in 0..READERS {
        readers.push(daemon.account().connect("reader").query("tables", "foods").established().await);
    }
    delivered(&keeper, &mut readers).await;
    let without = delivered(&keeper, &mut readers).await;

    let mut slow = Vec::new();
    for _ in 0..SLOW {
        let account = daemon.account();
        let socket = account.connect("slow").receive_buffer(2048).query("tables", "foods").established().await;
        slow.push((account, socket));
    }
    let before = daemon.resident_kib();
    let with = delivered(&keeper, &mut readers).await;
    let again = delivered(&keeper, &mut readers).await;
    let grown = daemon.resident_kib().saturating_sub(before);
    let figures = format!(
        "p99 {:.1} ms without, {:.1} and {:.1} ms with {SLOW} that never read; memory grew by {grown} KiB",
        p99(&without),
        p99(&with),
        p99(&again)
    );
    eprintln!("{figures}");
    // The outboxes, the frames' overhead and what the operating system would not take; several times that is a leak.
    let bound = (SLOW * (OUTBOX + (64 << 10))) as u64 / 1024;
    assert!(grown < bound, "{figures}; the bound is {bound} KiB");
    // Something else may run on this machine: the better of two is judged.
    assert!(p99(&with).min(p99(&again)) < p99(&without) * 2.0 + 20.0, "{figures}");

    let lost = Metrics::of(&daemon.address()).await.value("ryzed_outbox_losses_total{reason=\"too_slow\"}");
    assert!(lost >= SLOW as f64, "{lost} losses");
    for (account, socket) in &mut slow {
        recovers(account, socket).await;
    }
}

/// What came before the notice and what one pull from its cursor brings is everything.
async fn recovers(account: &Account, socket: &mut Socket) {
    let required = socket.next("sync_required").await;
    assert_eq!(required["reason"], "too_slow", "{required}");
    let mut held: BTreeSet<String> = ids(socket.received("data_updated").iter().map(|message| &message["data"]));
    let from = &socket.hello["cursor"];
    let pulled = account.pull(json!({"cursor": required["cursor"], "tables": ["foods"]})).await;
    assert_eq!(pulled["has_more"], false, "one pull");
    held.extend(ids(pulled["changes"]["foods"].as_array().into_iter().flatten()));
    let all = account.pull(json!({"cursor": from, "tables": ["foods"]})).await;
    assert_eq!(held, ids(all["changes"]["foods"].as_array().into_iter().flatten()));
    socket.fence().await;
}

fn ids<'a>(rows: impl Iterator<Item = &'a Value>) -> BTreeSet<String> {
    rows.map(|row| row["id"].to_string()).collect()
}
