//! Nobody is kept waiting by what one person asks for, by whichever door; and who uses what is theirs keeps their place.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Empty};
use hyper::{Method, Request};
use hyper_util::rt::{TokioExecutor, TokioIo};
use ryzed_tests::rows::{food_entry, row};
use ryzed_tests::{Account, Daemon, Metrics, insert};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Bytes;

/// Rows of who asks for much.
const ROWS: usize = 20_000;
/// Uploads of who asks for little, in one measurement.
const UPLOADS: usize = 40;
/// The factor by which an upload may take longer meanwhile, and the allowance for other reasons: other stories run on
/// the same machine. Without turns it was seconds; the bench `abuse` measures more finely.
const TIMES: u32 = 5;
const NOISE: Duration = Duration::from_millis(400);

/// A person with this many rows.
async fn rich(daemon: &Daemon, rows: usize) -> Account {
    let me = daemon.account();
    for _ in 0..rows / 1000 {
        me.push((0..1000).map(|_| insert("food_entries", &food_entry(json!({}))))).await;
    }
    me
}

/// The median of how long somebody's uploads take.
async fn median(account: &Account) -> Duration {
    let mut times = Vec::new();
    for _ in 0..UPLOADS {
        let begun = Instant::now();
        account.store("food_entries", &food_entry(json!({}))).await;
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    times[times.len() / 2]
}

/// Measures somebody's uploads while this is done over and over by so many at once.
async fn beside<F>(other: &Account, at_once: usize, abuse: impl Fn() -> F) -> (Duration, Duration, usize)
where
    F: Future<Output = ()> + Send + 'static,
{
    let quiet = median(other).await;
    let (over, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut abusers = JoinSet::new();
    for _ in 0..at_once {
        let (over, done, abuse) = (Arc::clone(&over), Arc::clone(&done), abuse());
        abusers.spawn(async move {
            abuse.await;
            done.fetch_add(1, Ordering::Relaxed);
            drop(over);
        });
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let busy = median(other).await;
    over.store(true, Ordering::Relaxed);
    let done = done.load(Ordering::Relaxed);
    abusers.abort_all();
    (quiet, busy, done)
}

fn is_fair(quiet: Duration, busy: Duration, what: &str) {
    eprintln!("{what}: {quiet:.1?} quiet, {busy:.1?} beside");
    assert!(busy < quiet * TIMES + NOISE, "{what}: {quiet:?} quiet, {busy:?} beside");
}

/// Asks for this again and again; what is refused is asked for again.
fn asking(
    account: &Account,
    method: Method,
    path: &'static str,
    body: Value,
) -> impl Future<Output = ()> + Send + 'static {
    let api = account.api.clone();
    async move {
        let text = if body.is_null() { String::new() } else { body.to_string() };
        loop {
            let _ = api.raw(method.clone(), path, &[("content-type", "application/json")], text.clone()).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_digests_at_once_hold_nobody_up() {
    let daemon = Daemon::start();
    let (me, other) = (rich(&daemon, ROWS).await, daemon.account());
    let (quiet, busy, _) = beside(&other, 50, || asking(&me, Method::GET, "/digest", Value::Null)).await;
    is_fair(quiet, busy, "50 digests");
}

#[tokio::test(flavor = "multi_thread")]
async fn full_pulls_exports_old_times_and_unknown_devices_hold_nobody_up() {
    let daemon = Daemon::start();
    let (me, other) = (rich(&daemon, ROWS).await, daemon.account());
    let full = json!({"device_id": "phone", "force_full_sync": true});
    let old = json!({"device_id": "phone", "last_sync_timestamp": "2020-01-01T00:00:00Z", "limit": 1});
    for (method, path, body) in [
        (Method::POST, "/sync", full),
        (Method::POST, "/sync", old),
        (Method::GET, "/export", Value::Null),
        (Method::GET, "/sync-status?device_id=never-seen", Value::Null),
    ] {
        let (quiet, busy, _) = beside(&other, 30, || asking(&me, method.clone(), path, body.clone())).await;
        is_fair(quiet, busy, &format!("{path} {body}"));
    }
}

/// Pulls over one connection with so many streams.
async fn streams(daemon: &Daemon, me: &Account, count: usize) -> JoinSet<()> {
    let stream = TcpStream::connect(daemon.address()).await.expect("a connection");
    let builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    let (sender, connection) = builder.handshake::<_, Empty<Bytes>>(TokioIo::new(stream)).await.expect("a handshake");
    tokio::spawn(connection);
    let mut pulls = JoinSet::new();
    for _ in 0..count {
        let (mut sender, address, token) = (sender.clone(), daemon.address(), me.person.token());
        pulls.spawn(async move {
            loop {
                let request = Request::get(format!("http://{address}/api/realtime/changes"))
                    .header("authorization", format!("Bearer {token}"))
                    .body(Empty::new())
                    .expect("a request");
                if sender.ready().await.is_err() {
                    return;
                }
                if let Ok(answer) = sender.send_request(request).await {
                    let _ = answer.into_body().collect().await;
                }
            }
        });
    }
    pulls
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_with_128_streams_is_one_persons() {
    let daemon = Daemon::start();
    let (me, other) = (rich(&daemon, ROWS).await, daemon.account());
    let quiet = median(&other).await;
    let mut pulls = streams(&daemon, &me, 128).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let busy = median(&other).await;
    pulls.abort_all();
    is_fair(quiet, busy, "128 streams");
    assert!(
        Metrics::of(&daemon.address()).await.value("ryzed_limit_refusals_total{limit=\"requests_per_user\"}") > 0.0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_of_one_person_wait_for_each_other_and_for_nobody_else_by_either_door() {
    let daemon = Daemon::start();
    let (me, other) = (daemon.account(), daemon.account());
    let rows: Vec<Value> = (0..300).map(|_| insert("food_entries", &food_entry(json!({}))).json()).collect();
    let large = json!({"device_id": "phone", "tables": ["users"], "changes": rows});
    let (quiet, busy, _) = beside(&other, 20, || asking(&me, Method::POST, "/sync", large.clone())).await;
    is_fair(quiet, busy, "20 large uploads over REST");

    let mut sockets = Vec::new();
    for device in 0..19 {
        sockets.push(me.socket(&format!("tablet-{device}")).await);
    }
    let quiet = median(&other).await;
    let mut uploads = JoinSet::new();
    for mut socket in sockets {
        uploads.spawn(async move {
            loop {
                socket.send(insert("food_entries", &food_entry(json!({}))).message()).await;
                socket.next("change_result").await;
            }
        });
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let busy = median(&other).await;
    uploads.abort_all();
    is_fair(quiet, busy, "uploads over 19 sockets");
}

#[tokio::test]
async fn who_sends_too_much_is_told_when_to_come_back_and_sockets_share_with_rest() {
    let daemon =
        Daemon::builder().env("RYZED_LIMITS__REQUESTS_PER_SECOND", 2).env("RYZED_LIMITS__REQUEST_BURST", 30).start();
    let (me, other) = (daemon.account(), daemon.account());
    let mut socket = me.socket("tablet").await;
    let refused = loop {
        let answer = me.api.get("/digest").await;
        if answer.status != 200 {
            break answer;
        }
    };
    let problem = refused.problem(&[429]);
    assert_eq!(problem["type"], "/problems/too-many-requests");
    assert!(
        problem["detail"].as_str().is_some_and(|detail| detail.contains("limits.requests_per_second")),
        "{problem}"
    );
    let seconds: u64 = refused.header("retry-after").parse().expect("whole seconds");
    assert!((1..=10).contains(&seconds), "{seconds}");
    // The socket is not told off: it waits until there is something to spend.
    let begun = Instant::now();
    for _ in 0..6 {
        socket.send(insert("food_entries", &food_entry(json!({}))).message()).await;
    }
    for _ in 0..6 {
        assert_eq!(socket.next("change_result").await["status"], "applied");
    }
    assert!(begun.elapsed() > Duration::from_millis(900), "the socket has waited for {:?} only", begun.elapsed());
    other.push([]).await;
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    me.api.get("/topics").await.done();
}

#[tokio::test]
async fn what_costs_more_counts_as_more() {
    let daemon =
        Daemon::builder().env("RYZED_LIMITS__REQUESTS_PER_SECOND", 1).env("RYZED_LIMITS__REQUEST_BURST", 100).start();
    let count = async |path: &str| {
        let me = daemon.account();
        let mut asked = 0;
        while me.api.get(path).await.status == 200 {
            asked += 1;
        }
        asked
    };
    for (path, times) in [
        ("/topics", 95..=105),
        ("/digest", 8..=10),
        ("/export", 8..=10),
        ("/changes?digest=true", 8..=10),
        ("/changes?last_sync_timestamp=2020-01-01T00:00:00Z", 8..=10),
    ] {
        let asked = count(path).await;
        assert!(times.contains(&asked), "{path}: {asked} times");
    }
    let me = daemon.account();
    let rows: Vec<Value> = (0..1000).map(|_| insert("food_entries", &food_entry(json!({}))).json()).collect();
    let large = json!({"device_id": "phone", "tables": ["users"], "changes": rows});
    let mut uploads = 0;
    while me.api.post("/sync", &large).await.status == 200 {
        uploads += 1;
    }
    assert!((4..=8).contains(&uploads), "{uploads} times 1000 changes");
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_devices_of_one_person_upload_a_thousand_changes_each_at_once() {
    let daemon = Daemon::start();
    let me = daemon.account();
    let mut devices = JoinSet::new();
    for device in 0..20 {
        let me = me.clone();
        devices.spawn(async move {
            let id = format!("device-{device}");
            let _socket = me.socket(&id).await;
            let rows: Vec<Value> = (0..1000).map(|_| insert("food_entries", &food_entry(json!({}))).json()).collect();
            let body = json!({"device_id": id, "tables": ["food_entries"], "changes": rows});
            let answer = me.api.post("/sync", &body).await.ok();
            let results = answer["results"].as_array().expect("results");
            assert!(results.iter().all(|result| result["status"] == "applied"), "{id}");
        });
    }
    while let Some(device) = devices.join_next().await {
        device.expect("no device is refused");
    }
    assert_eq!(daemon.database().run("SELECT count(*) FROM food_entries"), "20000");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_copy_of_fifty_thousand_rows_keeps_its_place_whatever_comes_of_it() {
    const ROWS: usize = 50_000;
    let daemon = Daemon::start();
    let me = rich(&daemon, ROWS).await;
    // Three at once: one by each way there is.
    let full = me.pull(json!({"device_id": "phone", "tables": ["food_entries"]}));
    let own = {
        let me = me.clone();
        async move {
            let (mut rows, mut path) = (0, "/changes?tables=food_entries".to_owned());
            loop {
                let page = me.api.get(&path).await.ok();
                rows += page["changes"]["food_entries"].as_array().map_or(0, Vec::len);
                if page["has_more"] == false {
                    return rows;
                }
                let cursor = ryzed_tests::account::cursor_text(&page["cursor"]);
                path = format!("/changes?tables=food_entries&cursor={cursor}");
            }
        }
    };
    let over_a_socket = async {
        let mut socket = me.socket("tablet").await;
        let (mut rows, mut cursor) = (0, Value::Null);
        loop {
            let ask = json!({"type": "sync", "tables": ["food_entries"], "cursor": cursor, "force_full_sync": cursor.is_null()});
            socket.send(ask).await;
            let page = socket.next("sync_response").await;
            rows += page["changes"]["food_entries"].as_array().map_or(0, Vec::len);
            if page["has_more"] == false {
                return rows;
            }
            cursor = page["cursor"].clone();
        }
    };
    let begun = Instant::now();
    let (full, own, over_a_socket) = tokio::join!(full, own, over_a_socket);
    let full = full["changes"]["food_entries"].as_array().map_or(0, Vec::len);
    assert_eq!((full, own, over_a_socket), (ROWS, ROWS, ROWS));
    eprintln!("three first copies of {ROWS} rows: {:.1?}", begun.elapsed());
}

#[tokio::test]
async fn an_export_goes_on_while_its_person_does_other_things() {
    let daemon = Daemon::start();
    let me = daemon.account();
    let notes = "breath ".repeat(2800);
    let runs: Vec<Value> = (0..200).map(|_| row("cardio_sessions", json!({"notes": notes}))).collect();
    me.push(runs.iter().map(|run| insert("cardio_sessions", run))).await;
    let exports = async { tokio::join!(me.api.get("/export"), me.api.get("/export"), me.api.get("/export")) };
    let others = async {
        for _ in 0..20 {
            me.store("food_entries", &food_entry(json!({}))).await;
        }
    };
    let (exports, ()) = tokio::join!(exports, others);
    for export in [exports.0, exports.1, exports.2] {
        export.done();
        assert!(export.text().lines().filter(|line| line.contains("cardio_sessions")).count() >= 200);
    }
}
