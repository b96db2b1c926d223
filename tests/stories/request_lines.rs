//! Whatever stands in a request's first line, the daemon answers or hangs up, and nothing in it panics.

use std::time::Duration;

use http_body_util::{BodyExt as _, Empty};
use hyper::{Method, Request};
use hyper_util::rt::{TokioExecutor, TokioIo};
use ryzed_tests::Daemon;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Longer than any answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Lines with the status that they get; none: any refusal, or the end of the connection.
const LINES: [(&str, Option<u16>); 31] = [
    ("CONNECT example.com:443 HTTP/1.1", Some(405)),
    ("CONNECT [::1]:443 HTTP/1.1", Some(405)),
    ("CONNECT 127.0.0.1:8000 HTTP/1.1", Some(405)),
    ("CONNECT / HTTP/1.1", Some(405)),
    ("CONNECT /api/realtime/health HTTP/1.1", Some(405)),
    ("CONNECT http://example.com/ HTTP/1.1", Some(405)),
    ("CONNECT * HTTP/1.1", Some(405)),
    ("CONNECT user@example.com:1 HTTP/1.1", None),
    ("GET example.com:443 HTTP/1.1", Some(400)),
    ("GET example.com HTTP/1.1", Some(400)),
    ("DELETE a HTTP/1.1", Some(400)),
    ("OPTIONS * HTTP/1.1", Some(404)),
    ("GET * HTTP/1.1", Some(404)),
    ("OPTIONS / HTTP/1.1", Some(405)),
    ("GET http://example.com HTTP/1.1", Some(307)),
    ("GET http://example.com/livez HTTP/1.1", Some(200)),
    ("GET http://example.com?a=b HTTP/1.1", Some(307)),
    ("GET ftp://example.com/livez HTTP/1.1", Some(200)),
    ("GET ?a HTTP/1.1", None),
    ("GET //livez HTTP/1.1", Some(404)),
    ("GET /livez/ HTTP/1.1", Some(404)),
    ("GET /%ff%fe HTTP/1.1", Some(404)),
    ("GET /\u{ff}\u{fe} HTTP/1.1", None),
    ("DELETE /api/realtime/devices/%ff HTTP/1.1", Some(401)),
    ("GET /api/realtime/ws/%ff%00 HTTP/1.1", Some(426)),
    ("TRACE / HTTP/1.1", Some(405)),
    ("BREW /livez HTTP/1.1", Some(405)),
    ("PRI * HTTP/1.1", None),
    ("PRI / HTTP/1.1", None),
    ("get /livez HTTP/1.1", Some(405)),
    ("GET /livez HTTP/1.0", Some(200)),
];

/// The status that bytes get; none when the connection ends without one.
async fn status_of(daemon: &Daemon, bytes: &[u8]) -> Option<u16> {
    let mut stream = TcpStream::connect(daemon.address()).await.expect("it listens");
    // What was answered already may be cut off from the other side.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let reading = async {
        let mut part = [0; 4096];
        while let Ok(length @ 1..) = stream.read(&mut part).await {
            answer.extend_from_slice(&part[..length]);
            if answer.windows(4).any(|end| end == b"\r\n\r\n") {
                break;
            }
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("an answer or the end in time");
    let text = String::from_utf8_lossy(&answer).into_owned();
    text.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)?.parse().ok())
}

async fn is_well(daemon: &Daemon) {
    assert_eq!(status_of(daemon, b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await, Some(200));
    let log = daemon.log();
    assert!(!log.contains("panicked"), "{log}");
}

#[tokio::test]
async fn no_request_line_of_http_1_panics() {
    let daemon = Daemon::builder().alone().start();
    for (line, wanted) in LINES {
        // As Latin-1, so that what is no UTF-8 arrives as such.
        let mut bytes: Vec<u8> = line.chars().map(|c| c as u8).collect();
        bytes.extend_from_slice(b"\r\nhost: x\r\n\r\n");
        let status = status_of(&daemon, &bytes).await;
        match wanted {
            Some(wanted) => assert_eq!(status, Some(wanted), "{line}"),
            None => assert!(status.is_none_or(|status| (400..500).contains(&status)), "{line}: {status:?}"),
        }
    }
    is_well(&daemon).await;
}

#[tokio::test]
async fn no_request_of_http_2_panics() {
    let daemon = Daemon::builder().alone().start();
    let stream = TcpStream::connect(daemon.address()).await.expect("it listens");
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("HTTP/2");
    tokio::spawn(connection);
    for (method, target, wanted) in [
        ("CONNECT", "example.com:443", 405),
        ("CONNECT", "127.0.0.1:1", 405),
        ("OPTIONS", "*", 404),
        ("TRACE", "http://x/", 405),
        ("BREW", "http://x/livez", 405),
        ("GET", "http://x/livez", 200),
        ("GET", "http://x", 307),
    ] {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let request = Request::builder().method(&method).uri(target).body(Empty::<bytes::Bytes>::new());
        let asked = client.send_request(request.expect("a request"));
        let answer = tokio::time::timeout(PATIENCE, asked).await.expect("an answer in time");
        match answer {
            Ok(answer) => {
                assert_eq!(answer.status().as_u16(), wanted, "{method} {target}");
                answer.into_body().collect().await.expect("its body");
            }
            Err(error) => panic!("{method} {target}: {error}"),
        }
    }
    is_well(&daemon).await;
}
