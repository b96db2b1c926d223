//! What devices that never read cost those that do: 100 readers of the catalogue, first alone, then beside 200 devices that
//! never read a byte. Each change is 30 KB, so that the slow ones' outboxes overflow again and again.
//!
//! A time runs from just before an administrator's push until one reader has the change; the bench reads for all of them
//! in turn, so its own parsing is in both figures and only their ratio tells.

use std::time::{Duration, Instant};

use ryzed_benches::{Figures, load, release, requested};
use ryzed_tests::rows::row;
use ryzed_tests::{Account, Daemon, Metrics, Person, Socket, insert};
use serde_json::json;
use tokio::runtime::Runtime;

const READERS: usize = 100;
const SLOW: usize = 200;
/// Changes in a round, and rounds of each kind.
const CHANGES: usize = 40;
const ROUNDS: usize = 3;
/// What a change holds.
const LONG: usize = 30_000;
/// What the daemon may keep for one device, its default.
const OUTBOX_KIB: u64 = 256;
/// What a slow device's socket takes off the wire before anybody reads it.
const RECEIVE_BUFFER: u32 = 2048;

fn main() {
    if !requested() {
        return;
    }
    // Nobody is to be closed for being silent meanwhile.
    let daemon = release().env("RYZED_SYNC__HEARTBEAT_SECONDS", 3600).start();
    println!("slow_readers: {READERS} that read, {SLOW} that never do, {}", load());
    Runtime::new().expect("a runtime").block_on(measure(&daemon));
}

async fn measure(daemon: &Daemon) {
    let keeper = daemon.account_of(Person::admin());
    keeper.push([]).await;
    let mut readers = Vec::new();
    for _ in 0..READERS {
        readers.push(daemon.account().connect("reader").query("tables", "recipes").established().await);
    }
    round(&keeper, &mut readers).await;
    let without = rounds(daemon, &keeper, &mut readers, "without").await;
    let mut slow = Vec::new();
    for _ in 0..SLOW {
        let connect = daemon.account().connect("slow").query("tables", "recipes");
        slow.push(connect.receive_buffer(RECEIVE_BUFFER).established().await);
    }
    let before = daemon.resident_kib();
    let with = rounds(daemon, &keeper, &mut readers, "beside the slow").await;
    let grown = daemon.resident_kib().saturating_sub(before);
    let ratio = with.spread(0.99)[1].as_secs_f64() / without.spread(0.99)[1].as_secs_f64();
    println!("p99 is {ratio:.2} times as long (target: under 2)");
    println!("memory grew by {grown} KiB; {SLOW} outboxes may hold {} KiB", SLOW as u64 * OUTBOX_KIB);

    let metrics = Metrics::of(&daemon.address()).await;
    let lost = metrics.value("ryzed_outbox_losses_total{reason=\"too_slow\"}");
    let began = Instant::now();
    for socket in &mut slow {
        socket.next("sync_required").await;
    }
    println!(
        "{lost} losses; all {SLOW} were told to pull, {:.1} s to read them\n{}\n",
        began.elapsed().as_secs_f64(),
        load()
    );
}

async fn rounds(daemon: &Daemon, keeper: &Account, readers: &mut [Socket], what: &str) -> Figures {
    let mut figures = Figures::default();
    for _ in 0..ROUNDS {
        figures.round(round(keeper, readers).await);
    }
    println!("{}; resident {} KiB", figures.line(what), daemon.resident_kib());
    figures
}

/// From each write until each reader has it.
async fn round(keeper: &Account, readers: &mut [Socket]) -> Vec<Duration> {
    let long = "x".repeat(LONG);
    let mut times = Vec::with_capacity(CHANGES * readers.len());
    for _ in 0..CHANGES {
        let recipe = row("recipes", json!({"user_id": null, "steps_en": [long]}));
        let began = Instant::now();
        let version = keeper.apply(insert("recipes", &recipe)).await;
        for socket in readers.iter_mut() {
            socket.next_where("data_updated", |message| message["version"] == version).await;
            times.push(began.elapsed());
        }
    }
    times
}
