//! Connections: how many, how large their headers, and what anybody may ask without a token.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use ryzed_tests::hostile::{ELSEWHERE, Wire, getting, peak};
use ryzed_tests::{Daemon, Metrics};

/// The time that anything may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The growth of memory for other reasons, in KiB.
const NOISE: u64 = 24 << 10;

async fn refusals(daemon: &Daemon, limit: &str) -> f64 {
    Metrics::of(&daemon.address()).await.value(&format!("ryzed_limit_refusals_total{{limit=\"{limit}\"}}"))
}

/// The status of an answer; 0 when there was none.
fn status(head: &str) -> u16 {
    head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}

async fn asked(wire: &mut Wire, request: &str) -> String {
    wire.send(request.as_bytes(), PATIENCE).await;
    wire.head(PATIENCE).await
}

#[tokio::test]
async fn a_header_is_bounded_before_it_is_whole() {
    const CONNECTIONS: usize = 300;
    let daemon = Daemon::start();
    let beginning = format!("GET /livez HTTP/1.1\r\nHost: story\r\nCookie: {}", "c".repeat(350_000));
    let opened = async {
        let mut wires = Vec::new();
        for _ in 0..CONNECTIONS {
            let mut wire = Wire::open(&daemon).await;
            wire.send(beginning.as_bytes(), Duration::from_millis(200)).await;
            wires.push(wire);
        }
        wires
    };
    let (mut wires, cost) = peak(&daemon, opened).await;
    assert!(cost < NOISE, "{cost} KiB for {CONNECTIONS} headers of 350 KB");
    let head = wires[0].head(PATIENCE).await;
    assert!(head.is_empty() || status(&head) == 431, "{head}");
    drop(wires);
    assert!(refusals(&daemon, "header_bytes").await >= 1.0);
    // A token of sixteen thousand characters still fits.
    let long = getting("/api/realtime/devices", &"t".repeat(16 << 10));
    assert_eq!(status(&asked(&mut Wire::open(&daemon).await, &long).await), 401);
}

#[tokio::test]
async fn one_address_has_so_many_connections_and_proxies_are_not_counted() {
    let daemon = Daemon::builder()
        .env("RYZED_LIMITS__CONNECTIONS_PER_ADDRESS", 5)
        .env("RYZED_LIMITS__CONNECTIONS", 12)
        .alone()
        .start();
    let livez = getting("/livez", "");
    let mut there = Vec::new();
    for _ in 0..5 {
        let mut wire = Wire::from(&daemon, ELSEWHERE).await.expect("a connection");
        assert_eq!(status(&asked(&mut wire, &livez).await), 200);
        there.push(wire);
    }
    let mut refused = Wire::from(&daemon, ELSEWHERE).await.expect("the system takes it");
    assert_eq!(asked(&mut refused, &livez).await, "", "the sixth is closed");
    let mut here = Vec::new();
    for _ in 0..7 {
        let mut wire = Wire::open(&daemon).await;
        assert_eq!(status(&asked(&mut wire, &livez).await), 200, "a proxy has as many as there are");
        here.push(wire);
    }
    assert_eq!(asked(&mut Wire::open(&daemon).await, &livez).await, "", "that makes twelve");
    // Who has become a device's socket is no guest any more.
    drop((there, here, refused));
    // Until the daemon has seen them go.
    while asked(&mut Wire::open(&daemon).await, &livez).await.is_empty() {}
    let me = daemon.account();
    let mut sockets = Vec::new();
    for device in 0..15 {
        sockets.push(me.socket(&format!("tablet-{device}")).await);
    }
    assert!(refusals(&daemon, "connections_per_address").await >= 1.0);
    assert!(refusals(&daemon, "connections").await >= 1.0);
    assert!(daemon.log().contains(ELSEWHERE), "{}", daemon.log());
}

#[tokio::test]
async fn only_so_many_devices_have_a_socket() {
    let daemon = Daemon::builder().env("RYZED_LIMITS__SOCKETS", 3).alone().start();
    let me = daemon.account();
    let mut sockets = Vec::new();
    for device in 0..3 {
        sockets.push(me.socket(&format!("tablet-{device}")).await);
    }
    assert_eq!(me.connect("one-more").refused().await, 1013);
    sockets.remove(0).close().await;
    let begun = Instant::now();
    while me.connect("one-more").try_established().await.is_err() {
        assert!(begun.elapsed() < PATIENCE, "there is room, but not for it");
    }
    assert!(refusals(&daemon, "sockets").await >= 1.0);
}

#[tokio::test]
async fn the_daemon_goes_on_when_files_have_run_out() {
    let daemon = Daemon::builder().alone().start();
    let me = daemon.account();
    me.push([]).await;
    let files = std::fs::read_dir(format!("/proc/{}/fd", daemon.pid())).expect("its files").count() as u64;
    let pid = Pid::from_raw(i32::try_from(daemon.pid()).expect("a pid"));
    let was = getrlimit(Resource::Nofile);
    prlimit(pid, Resource::Nofile, Rlimit { current: Some(files + 5), maximum: was.maximum }).expect("a limit");
    let mut wires = Vec::new();
    for _ in 0..30 {
        wires.push(Wire::open(&daemon).await);
    }
    let begun = Instant::now();
    while !daemon.log().contains("can't accept a connection") {
        assert!(begun.elapsed() < PATIENCE, "nothing is said of it:\n{}", daemon.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let told = daemon.log().matches("can't accept a connection").count();
    assert!(told <= 2, "told {told} times");
    drop(wires);
    prlimit(pid, Resource::Nofile, was).expect("the limit as it was");
    daemon.account_of(me.person.clone()).push([]).await;
}

#[tokio::test]
async fn strangers_of_one_address_are_slowed_down_and_others_are_not() {
    let daemon =
        Daemon::builder().env("RYZED_LIMITS__STRANGERS_PER_SECOND", 1).env("RYZED_LIMITS__STRANGER_BURST", 20).start();
    let me = daemon.account();
    let devices = |token: &str| getting("/api/realtime/devices", token);
    let last = async |request: String, address: &str| {
        let mut statuses = Vec::new();
        for _ in 0..30 {
            let mut wire = Wire::from(&daemon, address).await.expect("a connection");
            let head = asked(&mut wire, &request).await;
            statuses.push(status(&head));
            if statuses.last() == Some(&429) {
                assert!(head.to_lowercase().contains("retry-after: "), "{head}");
                break;
            }
        }
        statuses.last().copied().unwrap_or(0)
    };
    assert_eq!(last(devices("none"), ELSEWHERE).await, 429, "bad tokens");
    assert_eq!(last(getting("/api/realtime/health", ""), "127.0.0.3").await, 429, "no token");
    assert_eq!(last(getting("/nowhere", ""), "127.0.0.4").await, 429, "what is not there");
    // Whom a trusted proxy names is counted, and nobody else whom it asks for.
    let named = |name: &str| getting("/livez", "").replace("\r\n\r\n", &format!("\r\nX-Forwarded-For: {name}\r\n\r\n"));
    assert_eq!(last(named("203.0.113.7"), "127.0.0.1").await, 429);
    assert_eq!(last(named("1.2.3.4, 203.0.113.7"), "127.0.0.1").await, 429);
    assert_eq!(last(named("203.0.113.8"), "127.0.0.5").await, 429, "who is no trusted proxy names nobody");
    let mut wire = Wire::from(&daemon, "127.0.0.1").await.expect("a connection");
    assert_eq!(status(&asked(&mut wire, &named("203.0.113.9")).await), 200);
    // Who has a good token is no stranger, however often they call.
    let mut wire = Wire::from(&daemon, "127.0.0.6").await.expect("a connection");
    for _ in 0..30 {
        wire.send(devices(&me.person.token()).as_bytes(), PATIENCE).await;
        assert_eq!(status(&wire.head(PATIENCE).await), 200);
        wire = Wire::from(&daemon, "127.0.0.6").await.expect("a connection");
    }
    assert!(refusals(&daemon, "strangers_per_second").await >= 5.0);
}

#[tokio::test]
async fn health_asks_the_database_now_and_then_only() {
    const DEVICES: usize = 300_000;
    const CALLS: u32 = 100;
    let daemon = Daemon::builder().alone().start();
    let me = daemon.account();
    me.push([]).await;
    daemon.database().fill_devices(DEVICES);
    let stranger = me.api.with_token(None);
    stranger.get("/health").await.done();
    let begun = Instant::now();
    for _ in 0..CALLS {
        stranger.get("/health").await.done();
        stranger.get("//readyz").await.done();
    }
    let each = begun.elapsed() / CALLS;
    assert!(each < Duration::from_millis(20), "{each:?} a call");
}
