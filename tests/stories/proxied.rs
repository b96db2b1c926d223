//! Proxies between devices and the daemon: both read a request alike, no answer is kept on the way, and headers about
//! the way are not trusted.

use std::time::Duration;

use hyper::Method;
use ryzed_tests::TokenIn;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::{shared, somebody};

/// Longer than any answer may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// A request that a proxy has not seen as one.
const HIDDEN: &str = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";

/// All that comes over a connection until the daemon ends it.
async fn until_the_end(bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(shared().address()).await.expect("it listens");
    // What was answered already may be cut off from the other side.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let reading = async {
        let mut part = [0; 4096];
        while let Ok(length @ 1..) = stream.read(&mut part).await {
            answer.extend_from_slice(&part[..length]);
        }
    };
    let ended = tokio::time::timeout(PATIENCE, reading).await;
    let text = String::from_utf8_lossy(&answer).into_owned();
    assert!(ended.is_ok(), "the connection stays open after: {text}");
    text
}

/// The status of the one answer before the end.
async fn only_answer(request: &str) -> u16 {
    let all = until_the_end(request.as_bytes()).await;
    assert_eq!(all.matches("HTTP/1.1 ").count(), 1, "{request:?}: {all}");
    let status = all.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    status.unwrap_or_else(|| panic!("{request:?}: {all}"))
}

#[tokio::test]
async fn a_request_that_a_proxy_may_understand_otherwise_is_refused_and_nothing_follows_it() {
    for headers in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: \x0bchunked",
        "Transfer-Encoding:\r\n chunked",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5, 5",
        "Content-Length: +5",
        "Content-Length : 5",
        "Host: y\r\nContent-Length: 5",
        "Authorization: Bearer a\r\nAuthorization: Bearer b\r\nContent-Length: 5",
    ] {
        let request = format!("POST /api/realtime/sync HTTP/1.1\r\nHost: x\r\n{headers}\r\n\r\n0\r\n\r\n{HIDDEN}");
        // What hyper lets through as chunked alone it ends the connection after; nobody is known by it.
        let status = only_answer(&request).await;
        assert!([400, 401].contains(&status), "{headers}: {status}");
    }
    for twice in ["Host: y", "Authorization: Bearer a\r\nAuthorization: Bearer b"] {
        let request = format!("GET /livez HTTP/1.1\r\nHost: x\r\n{twice}\r\n\r\n{HIDDEN}");
        assert_eq!(only_answer(&request).await, 400, "{twice}");
    }
}

#[tokio::test]
async fn a_refused_upgrade_is_no_tunnel() {
    let upgrade = "Host: x\r\nConnection: Upgrade\r\nUpgrade: websocket";
    for (rest, status) in [
        ("Sec-WebSocket-Version: 777\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", 426),
        ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", 426),
        ("Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x", 400),
    ] {
        let request = format!("GET /api/realtime/ws/a HTTP/1.1\r\n{upgrade}\r\n{rest}\r\n\r\n{HIDDEN}");
        assert_eq!(only_answer(&request).await, status, "{rest}");
    }
}

#[tokio::test]
async fn what_a_proxy_keeps_inside_has_one_name() {
    let me = somebody();
    let api = &me.api;
    for inside in ["metrics", "readyz", "livez"] {
        let of = |path: String| async move { api.raw(Method::GET, &path, &[], "").await.expect("an answer").status };
        assert_eq!(of(format!("//{inside}")).await, 200, "{inside}");
        for other in
            [format!("//{inside}/"), format!("//{inside};a"), format!("//%{:x}{}", inside.as_bytes()[0], &inside[1..])]
        {
            assert_eq!(of(other.clone()).await, 404, "{other}");
        }
    }
    // Clients write theirs as they like.
    me.api.raw(Method::GET, "/health/", &[], "").await.expect("an answer").done();
}

#[tokio::test]
async fn no_answer_that_a_token_has_opened_is_kept_on_the_way() {
    let me = somebody();
    me.sync(serde_json::json!({"device_id": "phone"})).await;
    for path in [
        "/changes",
        "/digest",
        "/export",
        "/devices",
        "/sync-status?device_id=phone",
        "/topics",
        "/conflicts",
        "/health",
    ] {
        let answer = me.api.get(path).await;
        assert_eq!((answer.status, answer.header("cache-control")), (200, "no-store"), "{path}");
    }
    for path in ["/changes", "/active-users", "/tables/none/schema"] {
        let problem = me.with_token(me.token().key("another secret that nobody believes")).api.get(path).await;
        assert_eq!((problem.status, problem.header("cache-control")), (401, "no-store"), "{path}");
    }
}

#[tokio::test]
async fn what_is_said_of_the_way_is_not_believed() {
    let daemon =
        ryzed_tests::Daemon::builder().alone().env("RYZED_SERVER__ALLOWED_ORIGINS", "https://app.example").start();
    let me = daemon.account();
    for (name, value) in [
        ("x-forwarded-host", "evil.example"),
        ("forwarded", "host=evil.example;proto=https;for=127.0.0.1"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-original-host", "evil.example"),
        ("x-real-ip", "127.0.0.1"),
    ] {
        let evil = me.connect("tablet").token_in(TokenIn::Subprotocol).header("origin", "https://evil.example");
        assert_eq!(evil.header(name, value).refused().await, 4400, "{name}");
    }
    // Nor that another path or person was meant.
    for (name, value) in
        [("x-original-url", "/metrics"), ("x-rewrite-url", "/metrics"), ("x-http-method-override", "DELETE")]
    {
        let answer = me.api.raw(Method::GET, "/devices", &[(name, value)], "").await.expect("an answer");
        assert!(answer.status == 200 && answer.text().starts_with('['), "{name}: {}", answer.text());
    }
}
