//! The memory that a connected device costs the daemon while nothing happens: 5,000 people with one device each.
//!
//! Told is the daemon's whole growth since its start, its database's caches included, once all are connected, once each has sent
//! a ping, once a change of the catalogue has gone to every one of them, and once all have gone, again and again. Each figure is
//! minimum/median/maximum over several daemons.

use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use ryzed_benches::{Spread, load, release, requested};
use ryzed_tests::rows::food;
use ryzed_tests::{Account, Daemon, Person, Socket};
use serde_json::json;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

const DEVICES: usize = 5000;
/// Until an allocator has given back what it does not use: a little more than jemalloc's ten seconds.
const DECAY: Duration = Duration::from_secs(12);
/// The number of daemons that are measured.
const RUNS: usize = 3;
/// The points at which all are connected, and those after all have come and gone once more.
const CONNECTED: [&str; 3] = ["all connected", "each has sent a ping", "each has heard of a change"];
const AGAIN: [&str; 3] = ["gone a second time", "gone a third time", "gone a fourth time"];
/// Connections that are being made at a time.
const AT_ONCE: usize = 64;
/// The daemon's target.
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
    let runtime = Runtime::new().expect("a runtime");
    println!("idle_memory: {devices} devices, {RUNS} daemons one after the other, {}", load());
    let runs = [(); RUNS].map(|()| runtime.block_on(measure(&release().start(), devices)));
    report(&runs);
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

/// The measurements of one daemon.
#[derive(Default)]
struct Run {
    /// The growth since the start for each device, in KiB, at each point.
    points: Vec<(&'static str, f64)>,
    /// Seconds until all were connected.
    connecting: f64,
    /// Milliseconds until the last device had read of a change.
    hearing: f64,
}

async fn measure(daemon: &Daemon, devices: usize) -> Run {
    tokio::time::sleep(CALM).await;
    let before = daemon.resident_kib() as f64;
    let grown = || (daemon.resident_kib() as f64 - before) / devices as f64;
    let mut run = Run::default();

    let began = Instant::now();
    let people: Vec<Account> = (0..devices).map(|_| daemon.account()).collect();
    let mut sockets = connected(&people).await;
    run.connecting = began.elapsed().as_secs_f64();
    tokio::time::sleep(CALM).await;
    run.points.push((CONNECTED[0], grown()));

    for socket in &mut sockets {
        socket.fence().await;
    }
    tokio::time::sleep(CALM).await;
    run.points.push((CONNECTED[1], grown()));

    run.hearing = catalogue_change(daemon, &mut sockets).await.as_secs_f64() * 1000.0;
    tokio::time::sleep(CALM).await;
    run.points.push((CONNECTED[2], grown()));

    drop(sockets);
    tokio::time::sleep(CALM).await;
    run.points.push(("all gone", grown()));
    // What the allocator keeps stays the same; a leak would grow with each round.
    for again in AGAIN {
        drop(connected(&people).await);
        tokio::time::sleep(DECAY).await;
        run.points.push((again, grown()));
    }
    run
}

/// Each figure with its spread over the runs.
fn report(runs: &[Run]) {
    let spread = |figure: &dyn Fn(&Run) -> f64| Spread::of(runs.iter().map(figure).collect());
    let mut most = 0.0_f64;
    for (at, (what, _)) in runs[0].points.iter().enumerate() {
        let each = spread(&|run| run.points[at].1);
        println!("{what:<28} {each} KiB a device");
        if CONNECTED.contains(what) {
            most = most.max(each.most());
        }
    }
    println!("{:<28} {} s", "connecting all", spread(&|run| run.connecting));
    println!("{:<28} {} ms", "a change to the last device", spread(&|run| run.hearing));
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
