//! What a connected device costs the daemon in memory while nothing happens: 5,000 people with one device each.
//!
//! Told at four points: once all are connected, once each has sent a ping, and once a change of the catalogue has gone to
//! every one of them; and once all have gone, again and again. "All told": the daemon's whole growth since its start, its database's caches included.

use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use ryzed_benches::{load, release, requested};
use ryzed_tests::rows::food;
use ryzed_tests::{Account, Daemon, Person, Socket};
use serde_json::json;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

const DEVICES: usize = 5000;
/// Until an allocator has given back what it does not use: a little more than jemalloc's ten seconds.
const DECAY: Duration = Duration::from_secs(12);
/// How often all come and go once more.
const AGAIN: usize = 3;
/// Connections that are being made at a time.
const AT_ONCE: usize = 64;
/// What the daemon's target is.
const TARGET_KIB: f64 = 25.0;
/// Descriptors on either side besides those of the devices.
const OTHER_FILES: usize = 200;
/// Until what was freed has settled.
const CALM: Duration = Duration::from_secs(2);

fn main() {
    if !requested() {
        return;
    }
    let devices = devices();
    let daemon = release().start();
    let runtime = Runtime::new().expect("a runtime");
    println!("idle_memory: {devices} devices, {}", load());
    runtime.block_on(measure(&daemon, devices));
}

/// As many as the system lets this process and the daemon, which inherits the limit, have open.
fn devices() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let files =
        getrlimit(Resource::Nofile).current.map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX));
    let devices = DEVICES.min(files.saturating_sub(OTHER_FILES));
    if devices < DEVICES {
        println!("only {files} files may be open (ulimit -Hn): fewer devices than meant");
    }
    devices
}

async fn measure(daemon: &Daemon, devices: usize) {
    tokio::time::sleep(CALM).await;
    let before = resident(daemon);
    println!("{:<28} {before:>8} KiB", "started");
    let tell = |what: &str, resident: u64| {
        let each = (resident as f64 - before as f64) / devices as f64;
        println!("{what:<28} {resident:>8} KiB {each:>7.1} KiB a device");
        each
    };

    let began = Instant::now();
    let people: Vec<Account> = (0..devices).map(|_| daemon.account()).collect();
    let mut sockets = connected(&people).await;
    let took = began.elapsed();
    tokio::time::sleep(CALM).await;
    let mut most = tell("all connected", resident(daemon));

    for socket in &mut sockets {
        socket.fence().await;
    }
    tokio::time::sleep(CALM).await;
    most = most.max(tell("each has sent a ping", resident(daemon)));

    let heard = catalogue_change(daemon, &mut sockets).await;
    tokio::time::sleep(CALM).await;
    most = most.max(tell("each has heard of a change", resident(daemon)));

    drop(sockets);
    tokio::time::sleep(CALM).await;
    tell("all gone", resident(daemon));
    // What the allocator keeps stays the same; a leak would grow with each round.
    for _ in 0..AGAIN {
        drop(connected(&people).await);
        tokio::time::sleep(DECAY).await;
        tell("all gone again", resident(daemon));
    }
    println!(
        "{:.1} s to connect; the change reached the last device after {:.0} ms",
        took.as_secs_f64(),
        heard.as_secs_f64() * 1000.0
    );
    println!("at most {most:.1} KiB a device (target {TARGET_KIB})\n{}\n", load());
}

async fn connected(people: &[Account]) -> Vec<Socket> {
    let mut sockets = Vec::with_capacity(people.len());
    let mut connecting = JoinSet::new();
    for account in people {
        let account = account.clone();
        connecting.spawn(async move { account.socket("phone").await });
        if connecting.len() >= AT_ONCE {
            sockets.extend(connecting.join_next().await.map(|socket| socket.expect("a connection")));
        }
    }
    sockets.extend(connecting.join_all().await);
    sockets
}

/// From the write until the last device has read of it.
async fn catalogue_change(daemon: &Daemon, sockets: &mut [Socket]) -> Duration {
    let keeper = daemon.account_of(Person::admin());
    let began = Instant::now();
    keeper.store("foods", &food(json!({"user_id": null}))).await;
    for socket in sockets {
        socket.next("data_updated").await;
    }
    began.elapsed()
}

/// The daemon's resident memory.
fn resident(daemon: &Daemon) -> u64 {
    let path = format!("/proc/{}/status", daemon.pid());
    let status = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse().unwrap_or_else(|error| panic!("VmRSS {line:?}: {error}"))
}
