//! The memory held for one person, and for all together, is bounded: bodies that never end, answers that nobody takes,
//! first messages of nobody.

use std::time::{Duration, Instant};

use http_body_util::Empty;
use hyper::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use ryzed_tests::hostile::{Wire, getting, gzipped, peak, posting};
use ryzed_tests::rows::row;
use ryzed_tests::{Account, Daemon, Metrics, TokenIn, insert};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Bytes;

/// The memory that one person may hold by default, in KiB, and the allowance for the allocator and the copies in a
/// debug build. Without bounds these stories would take 200 MiB and more.
const SHARE: u64 = 32 << 10;
const NOISE: u64 = 96 << 10;
/// The time that anything may take.
const PATIENCE: Duration = Duration::from_secs(30);

async fn refusals(daemon: &Daemon, limit: &str) -> f64 {
    Metrics::of(&daemon.address()).await.value(&format!("ryzed_limit_refusals_total{{limit=\"{limit}\"}}"))
}

/// A person with rows of so many bytes together.
async fn rich(daemon: &Daemon, bytes: usize) -> Account {
    let me = daemon.account();
    let notes = "breath ".repeat(2800);
    let runs: Vec<Value> = (0..bytes / notes.len()).map(|_| row("cardio_sessions", json!({"notes": notes}))).collect();
    for runs in runs.chunks(100) {
        me.push(runs.iter().map(|run| insert("cardio_sessions", run))).await;
    }
    me
}

#[tokio::test]
async fn a_hundred_and_twenty_uploads_that_never_end_take_one_persons_share() {
    const UPLOADS: usize = 120;
    const BODY: usize = 8 << 20;
    let daemon = Daemon::builder().env("RYZED_LIMITS__WAIT_SECONDS", 3).start();
    let (me, other) = (daemon.account(), daemon.account());
    me.push([]).await;
    other.push([]).await;
    let head = posting("/sync", &me.person.token(), BODY);
    let uploads = async {
        let mut uploads = JoinSet::new();
        for _ in 0..UPLOADS {
            let (head, mut wire) = (head.clone(), Wire::open(&daemon).await);
            uploads.spawn(async move {
                wire.send(head.as_bytes(), PATIENCE).await;
                wire.send(&vec![b' '; BODY - 1], Duration::from_secs(2)).await;
                wire
            });
        }
        let wires = uploads.join_all().await;
        // Meanwhile somebody else is served as if nothing were.
        let asked = Instant::now();
        other.push([]).await;
        (wires, asked.elapsed())
    };
    let ((mut wires, took), cost) = peak(&daemon, uploads).await;
    assert!(cost < SHARE + NOISE, "{cost} KiB");
    assert!(took < Duration::from_secs(1), "another person has waited for {took:?}");
    let mut refused = 0;
    for wire in &mut wires {
        let head = wire.head(Duration::from_secs(6)).await.to_lowercase();
        if head.starts_with("http/1.1 429") {
            assert!(head.contains("retry-after: "), "{head}");
            refused += 1;
        }
    }
    assert!(refused > UPLOADS / 2, "{refused} of {UPLOADS} were refused");
    let counted = refusals(&daemon, "bytes_per_user").await + refusals(&daemon, "requests_per_user").await;
    assert!(counted >= refused as f64, "{counted} of {refused}");
    assert!(daemon.log().contains("bytes_per_user") && daemon.log().contains(&me.person.id.to_string()));
    drop(wires);
    me.push([]).await;
}

#[tokio::test]
async fn a_body_that_drips_is_given_up_and_a_slow_one_is_not() {
    let daemon = Daemon::builder()
        .env("RYZED_SERVER__HEADER_TIMEOUT_SECONDS", 1)
        .env("RYZED_LIMITS__LEAST_BYTES_PER_SECOND", 500)
        .start();
    let me = daemon.account();
    let token = me.person.token();
    let whole = br#"{"device_id":"phone","tables":["users"]}"#;
    let packed = gzipped(&[b' '; 100_000]);
    let body = |bytes: usize| {
        let mut body = whole.to_vec();
        body.resize(bytes, b' ');
        body
    };
    let dripped = async |head: String, body: Vec<u8>, step: usize| {
        let mut wire = Wire::open(&daemon).await;
        wire.send(head.as_bytes(), PATIENCE).await;
        let begun = Instant::now();
        for part in body.chunks(step) {
            if wire.send(part, PATIENCE).await < part.len() || begun.elapsed() > Duration::from_secs(8) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        wire.head(Duration::from_secs(3)).await
    };
    let zipped = posting("/sync", &token, 50_000).replace("\r\n\r\n", "\r\nContent-Encoding: gzip\r\n\r\n");
    let (drop_by_drop, packed, slowly) = tokio::join!(
        dripped(posting("/sync", &token, 50_000), body(50_000), 1),
        dripped(zipped, packed, 1),
        dripped(posting("/sync", &token, 5_000), body(5_000), 100),
    );
    for head in [drop_by_drop, packed] {
        assert!(head.starts_with("HTTP/1.1 408"), "{head}");
    }
    assert!(slowly.starts_with("HTTP/1.1 200"), "{slowly}");
    assert!(refusals(&daemon, "least_bytes_per_second").await >= 2.0);
}

#[tokio::test]
async fn what_all_hold_together_is_bounded_and_who_comes_then_is_told_when_to_come_back() {
    const BODY: usize = 1 << 20;
    let daemon = Daemon::builder()
        .env("RYZED_LIMITS__REQUEST_BYTES", BODY)
        .env("RYZED_LIMITS__PARSED_BYTES", 2 * BODY)
        .env("RYZED_LIMITS__BYTES_PER_USER", BODY)
        .env("RYZED_LIMITS__BYTES_IN_FLIGHT", 4 * BODY)
        .env("RYZED_LIMITS__WAIT_SECONDS", 1)
        .start();
    let mut wires = Vec::new();
    for _ in 0..2 {
        let mut wire = Wire::open(&daemon).await;
        wire.send(posting("/sync", &daemon.account().person.token(), BODY).as_bytes(), PATIENCE).await;
        wire.send(&vec![b' '; BODY - 1], PATIENCE).await;
        wires.push(wire);
    }
    let me = daemon.account();
    let begun = Instant::now();
    let refused = loop {
        let answer = me.api.post("/sync", &json!({"device_id": "phone"})).await;
        if answer.status == 503 {
            break answer;
        }
        // What was sent may still be on its way.
        assert!(begun.elapsed() < Duration::from_secs(8), "{}: {}", answer.status, answer.text());
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let problem = refused.problem(&[503]);
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("limits.bytes_in_flight")), "{problem}");
    assert!(!refused.header("retry-after").is_empty());
    me.api.with_token(None).get("/health").await.done();
    drop(wires);
    me.push([]).await;
}

#[tokio::test]
async fn answers_that_nobody_takes_are_let_go_over_http2_as_well() {
    const STREAMS: usize = 50;
    let daemon = Daemon::builder()
        .env("RYZED_SERVER__WRITE_TIMEOUT_SECONDS", 1)
        .env("RYZED_LIMITS__LEAST_BYTES_PER_SECOND", 1 << 20)
        .env("RYZED_LIMITS__WAIT_SECONDS", 5)
        .start();
    let me = rich(&daemon, 6 << 20).await;
    let stream = TcpStream::connect(daemon.address()).await.expect("a connection");
    let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    // Nobody ever says that there is room for more.
    builder.initial_stream_window_size(1024).initial_connection_window_size(64 << 10);
    let (sender, connection) = builder.handshake::<_, Empty<Bytes>>(TokioIo::new(stream)).await.expect("a handshake");
    let ended = tokio::spawn(connection);
    let asked = async {
        let mut answers = JoinSet::new();
        for _ in 0..STREAMS {
            let request =
                Request::get(format!("http://{}/api/realtime/changes?tables=cardio_sessions", daemon.address()))
                    .header("authorization", format!("Bearer {}", me.person.token()))
                    .body(Empty::new())
                    .expect("a request");
            let mut sender = sender.clone();
            answers.spawn(async move { sender.send_request(request).await });
        }
        tokio::time::timeout(PATIENCE, answers.join_all()).await
    };
    let (answers, cost) = peak(&daemon, asked).await;
    let answers = answers.expect("answers or an end");
    assert!(cost < SHARE + NOISE, "{cost} KiB for {STREAMS} answers of 4 MiB");
    // They are kept, but nobody reads them.
    let ended = tokio::time::timeout(PATIENCE, ended).await;
    assert!(ended.is_ok(), "the connection goes on");
    drop(answers);
    assert!(refusals(&daemon, "least_bytes_per_second").await >= 1.0);
    me.push([]).await;
}

#[tokio::test]
async fn sockets_that_ask_for_much_and_do_not_read_hold_one_persons_share() {
    let daemon = Daemon::builder().env("RYZED_SYNC__HEARTBEAT_SECONDS", 600).start();
    let me = rich(&daemon, 6 << 20).await;
    let asked = async {
        let mut sockets = Vec::new();
        for device in 0..19 {
            let mut socket = me.connect(&format!("tablet-{device}")).receive_buffer(32 << 10).established().await;
            socket.send(json!({"type": "sync", "tables": ["cardio_sessions"]})).await;
            sockets.push(socket);
        }
        tokio::time::sleep(Duration::from_secs(3)).await;
        sockets
    };
    let (mut sockets, cost) = peak(&daemon, asked).await;
    assert!(cost < SHARE + NOISE, "{cost} KiB");
    // Who reads gets it, and the others after them.
    for socket in &mut sockets {
        let answer = async {
            loop {
                match socket.event(PATIENCE).await.expect("the socket stays") {
                    Some(answer) if answer["type"] == "sync_response" => return true,
                    Some(answer) if answer["type"] == "error" => {
                        assert_eq!(answer["code"], "unavailable", "{answer}");
                        return false;
                    }
                    Some(_) => {}
                    None => panic!("neither an answer nor a refusal"),
                }
            }
        };
        if !answer.await {
            socket.send(json!({"type": "sync", "tables": ["cardio_sessions"]})).await;
            socket.next("sync_response").await;
        }
    }
}

#[tokio::test]
async fn the_first_message_of_nobody_is_short() {
    const SOCKETS: usize = 200;
    let daemon = Daemon::builder().env("RYZED_LIMITS__AUTH_SECONDS", 20).start();
    let me = daemon.account();
    // The beginning of a masked text message of a megabyte, less a little, all of it zeros.
    let mut frame = vec![0x81, 0xff];
    frame.extend_from_slice(&(1_000_000_u64).to_be_bytes());
    frame.extend_from_slice(&[0; 4]);
    frame.resize(900_000, 0);
    let opening = getting("/api/realtime/ws/tablet", "").replace(
        "\r\n\r\n",
        "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    );
    let sent = async {
        let mut sockets = JoinSet::new();
        for _ in 0..SOCKETS {
            let (mut wire, opening, frame) = (Wire::open(&daemon).await, opening.clone(), frame.clone());
            sockets.spawn(async move {
                wire.send(opening.as_bytes(), PATIENCE).await;
                assert!(wire.head(PATIENCE).await.starts_with("HTTP/1.1 101"));
                wire.send(&frame, Duration::from_secs(2)).await;
                wire
            });
        }
        sockets.join_all().await
    };
    let (wires, cost) = peak(&daemon, sent).await;
    assert!(cost < NOISE, "{cost} KiB for {SOCKETS} that did not say who they are");
    drop(wires);
    me.connect("phone").token_in(TokenIn::Message).established().await;
}
