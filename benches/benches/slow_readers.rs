//! The cost of devices that never read for those that do: 100 readers of the catalogue, in turns alone and beside 200
//! devices that never read a byte. Each change is 30 KB, so that the slow ones' outboxes overflow again and again.
//!
//! A time runs from just before an administrator's push until one reader has the change; the bench reads for all of them
//! in turn, so its own parsing is in both figures and only their ratio tells.

use std::time::{Duration, Instant};

use ryzed_benches::{Figures, Spread, load, release, requested};
use ryzed_tests::readers::{Readers, slow};
use ryzed_tests::{Account, Daemon, Metrics};
use tokio::runtime::Runtime;

const READERS: usize = 100;
const SLOW: usize = 200;
/// Changes in a round, and rounds of each kind.
const CHANGES: usize = 40;
const ROUNDS: usize = 5;
/// The length of a change's text.
const LONG: usize = 30_000;
/// The memory that the daemon may keep for one device, its default.
const OUTBOX_KIB: u64 = 256;
/// The time between two checks that the slow ones have gone.
const GLANCE: Duration = Duration::from_millis(50);

fn main() {
    if !requested() {
        return;
    }
    // Nobody is to be closed for being silent meanwhile.
    let daemon = release().env("RYZED_SYNC__HEARTBEAT_SECONDS", 3600).start();
    println!("slow_readers: {READERS} that read, {SLOW} that never do, {ROUNDS} rounds of each, {}", load());
    Runtime::new().expect("a runtime").block_on(measure(&daemon));
}

async fn measure(daemon: &Daemon) {
    let mut readers = Readers::of(daemon, READERS).await;
    let people: Vec<Account> = (0..SLOW).map(|_| daemon.account()).collect();
    let long = "x".repeat(LONG);
    readers.read(&long, CHANGES).await;
    let (mut without, mut with) = (Figures::default(), Figures::default());
    let [mut ratios, mut grown, mut losses, mut told] = [const { Vec::new() }; 4];
    for _ in 0..ROUNDS {
        let alone = without.round(readers.read(&long, CHANGES).await);
        let mut sockets = Vec::new();
        for account in &people {
            sockets.push(slow(account).await);
        }
        let (resident, lost) = (daemon.resident_kib(), lost(daemon).await);
        let beside = with.round(readers.read(&long, CHANGES).await);
        ratios.push(beside.as_secs_f64() / alone.as_secs_f64());
        grown.push(daemon.resident_kib() as f64 - resident as f64);
        losses.push(self::lost(daemon).await - lost);
        let began = Instant::now();
        for socket in &mut sockets {
            socket.next("sync_required").await;
        }
        told.push(began.elapsed().as_secs_f64());
        drop(sockets);
        while connected(daemon).await > READERS as u64 {
            tokio::time::sleep(GLANCE).await;
        }
    }
    println!("{}\n{}", without.line("without"), with.line("beside the slow"));
    println!("p99 is {} times as long by round (target: under 2)", Spread::of(ratios));
    println!("memory grew by {} KiB; {SLOW} outboxes may hold {} KiB", Spread::of(grown), SLOW as u64 * OUTBOX_KIB);
    println!("{} losses; all were told to pull, {} s to read them\n{}\n", Spread::of(losses), Spread::of(told), load());
}

/// The number of outboxes that have overflowed so far.
async fn lost(daemon: &Daemon) -> f64 {
    Metrics::of(&daemon.address()).await.value("ryzed_outbox_losses_total{reason=\"too_slow\"}")
}

async fn connected(daemon: &Daemon) -> u64 {
    let health = daemon.account().api.get("/health").await.ok();
    health["active_connections"].as_u64().expect("a number")
}
