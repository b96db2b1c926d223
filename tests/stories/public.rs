//! The public endpoints: alive, ready, health.

use std::time::{Duration, Instant};

use hyper::Method;
use ryzed_tests::{Api, Daemon};
use serde_json::json;

use crate::{shared, somebody};

fn stranger() -> Api {
    Api::new(&shared().address(), None)
}

/// The most age of the facts in `/health`.
const SOON: Duration = Duration::from_secs(5);
/// What the client's files may weigh on the way, in bytes: what pages name, what it loads to go online, the others.
const CLIENT_MOST: [(&str, usize); 6] = [
    ("client.js", 12_100),
    ("client-online.js", 9_050),
    ("client-more.js", 5_500),
    ("client-query.js", 3_000),
    ("client-inspector.js", 4_800),
    ("client-lazy.js", 8_600),
];

#[tokio::test]
async fn it_says_that_it_lives_and_is_ready() {
    stranger().get("//livez").await.done();
    stranger().get("//readyz").await.done();
}

#[tokio::test]
async fn health_is_public_and_names_no_user() {
    let me = somebody();
    me.push([]).await;
    // How many devices there are is counted now and then only.
    let mut answer = stranger().get("/health").await;
    while answer.json()["total_devices"].as_u64() < Some(1) {
        tokio::time::sleep(Duration::from_millis(100)).await;
        answer = stranger().get("/health").await;
    }
    let health = answer.ok();
    assert_eq!(health["service"], "realtime-sync");
    assert!(health["status"].is_string(), "{health}");
    assert!(health["active_connections"].is_u64(), "{health}");
    assert!(health["total_devices"].as_u64() >= Some(1), "{health}");
    for feature in ["websocket", "broadcast", "multi_device", "conflict_resolution"] {
        assert_eq!(health["features"][feature], true, "{feature}: {health}");
    }
    for member in ["timestamp", "version"] {
        assert!(health[member].is_string(), "{member}: {health}");
    }
    for member in ["database", "bridge"] {
        assert!(health.get(member).is_some(), "{member}: {health}");
    }
    assert!(!answer.text().contains(&me.person.id.to_string()));
}

#[tokio::test]
async fn health_counts_the_sockets_that_are_open() {
    // With a daemon of its own, since others come and go at the shared one.
    let daemon = Daemon::start();
    let me = daemon.account();
    // Of other instances it is known how many they had a moment ago.
    let counts = async |wanted: u64| {
        let asked = Instant::now();
        while me.api.get("/health").await.ok()["active_connections"] != wanted {
            assert!(asked.elapsed() < SOON, "not {wanted} connections");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    counts(0).await;
    let (one, mut two) = (me.socket("one").await, me.socket("two").await);
    counts(2).await;
    one.close().await;
    two.next_where("presence", |message| message["is_online"] == false).await;
    counts(1).await;
}

#[tokio::test]
async fn a_path_that_is_nowhere_is_a_problem_document() {
    let problem = stranger().get("//no/such/place").await.problem(&[404]);
    assert_eq!(problem["status"], 404);
    somebody().api.get("/no-such-call").await.problem(&[404]);
}

#[tokio::test]
async fn a_wrong_method_is_a_problem_document() {
    somebody().api.delete("/sync").await.problem(&[405]);
}

#[tokio::test]
async fn every_answer_carries_a_request_id() {
    let answer = stranger().get("/health").await;
    let other = stranger().get("/health").await;
    assert!(!answer.header("x-request-id").is_empty(), "{:?}", answer.headers);
    assert_ne!(answer.header("x-request-id"), other.header("x-request-id"));
}

#[tokio::test]
async fn answers_are_compressed_for_who_accepts_it() {
    let api = somebody().api;
    let plain = api.get("/tables/recipes/schema").await;
    assert_eq!(plain.header("content-encoding"), "");
    for encoding in ["gzip", "br", "zstd"] {
        let answer = api
            .raw(Method::GET, "/tables/recipes/schema", &[("accept-encoding", encoding)], "")
            .await
            .expect("an answer");
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-encoding"), encoding);
        assert!(answer.header("vary").to_lowercase().contains("accept-encoding"), "{:?}", answer.headers);
        assert!(answer.body.len() < plain.body.len(), "{encoding} is no shorter");
        assert_eq!(decompressed(encoding, &answer.body), plain.body, "{encoding}");
    }
}

#[tokio::test]
async fn the_catalogue_comes_compressed_too() {
    let me = somebody();
    let body = json!({"device_id": "phone", "tables": ["foods"]}).to_string();
    let headers = [("accept-encoding", "gzip"), ("content-type", "application/json")];
    let answer = me.api.raw(Method::POST, "/sync", &headers, body).await.expect("an answer");
    assert_eq!(answer.header("content-encoding"), "gzip");
    let text = decompressed("gzip", &answer.body);
    let answer: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
    assert!(answer["changes"]["foods"].as_array().is_some_and(|foods| foods.len() > 50));
}

fn decompressed(encoding: &str, body: &[u8]) -> Vec<u8> {
    use std::io::Read as _;
    let mut plain = Vec::new();
    match encoding {
        "gzip" => flate2::read::GzDecoder::new(body).read_to_end(&mut plain).expect("gzip"),
        "br" => brotli::Decompressor::new(body, 4096).read_to_end(&mut plain).expect("brotli"),
        _ => zstd::Decoder::new(body).expect("zstd").read_to_end(&mut plain).expect("zstd"),
    };
    plain
}

#[tokio::test]
async fn the_client_is_served_as_modules_that_lie_beside_one_another() {
    let client = stranger().get("//client.js").await.text();
    assert!(client.contains("./client-"), "what it loads later lies beside it");
    for (file, _) in CLIENT_MOST {
        let answer = stranger().get(&format!("//{file}")).await;
        answer.done();
        assert!(answer.header("content-type").starts_with("text/javascript"), "{file}");
        assert!(answer.text().contains("export"), "{file} is a module");
        // A file that could not be had is asked for by another address.
        assert_eq!(stranger().get(&format!("//{file}?2")).await.text(), answer.text());
    }
}

#[tokio::test]
async fn embedded_files_are_served_as_small_as_they_get() {
    let api = stranger();
    let plain = api.get("//client.js").await;
    let browser = "gzip, deflate, br, zstd";
    for (accepted, encoding) in
        [("gzip", "gzip"), ("zstd;q=0.5", "zstd"), (browser, "br"), ("br;q=0, GZIP", "gzip"), ("*", "br")]
    {
        let answer =
            api.raw(Method::GET, "//client.js", &[("accept-encoding", accepted)], "").await.expect("an answer");
        assert_eq!(answer.header("content-encoding"), encoding, "{accepted}");
        assert!(answer.header("vary").to_lowercase().contains("accept-encoding"), "{:?}", answer.headers);
        for (file, most) in CLIENT_MOST {
            let headers = [("accept-encoding", accepted)];
            let answer = api.raw(Method::GET, &format!("//{file}"), &headers, "").await.expect("an answer");
            assert!(answer.body.len() < most, "{file}: {} bytes as {encoding}", answer.body.len());
        }
        assert_eq!(decompressed(encoding, &answer.body), plain.body, "{encoding}");
        assert_eq!(answer.header("etag"), plain.header("etag"));
        let headers = [("accept-encoding", accepted), ("if-none-match", answer.header("etag"))];
        assert_eq!(api.raw(Method::GET, "//client.js", &headers, "").await.expect("an answer").status, 304);
    }
    for refused in ["identity", "", "br;q=0, gzip;q=0, zstd;q=0.0"] {
        let answer = api.raw(Method::GET, "//client.js", &[("accept-encoding", refused)], "").await.expect("an answer");
        assert_eq!((answer.header("content-encoding"), &answer.body), ("", &plain.body), "{refused}");
        assert!(answer.header("vary").to_lowercase().contains("accept-encoding"));
    }
}

#[tokio::test]
async fn the_root_leads_to_the_demo() {
    let answer = stranger().get("//").await;
    assert_eq!((answer.status, answer.header("location")), (307, "/demo"));
}

#[tokio::test]
async fn the_sockets_path_knows_one_method() {
    for method in [Method::POST, Method::HEAD, Method::DELETE] {
        let answer = stranger().raw(method.clone(), "/ws/tablet", &[], "").await.expect("an answer");
        assert_eq!((answer.status, answer.header("allow")), (405, "GET"), "{method}");
    }
    stranger().get("/ws/tablet").await.problem(&[426]);
}

#[tokio::test]
async fn who_accepts_no_encoding_at_all_gets_the_answer_as_it_is() {
    for accepted in ["identity;q=0", "*;q=0", "compress, identity;q=0", "nonsense"] {
        let headers = [("accept-encoding", accepted)];
        let answer = stranger().raw(Method::GET, "/health", &headers, "").await.expect("an answer");
        assert_eq!((answer.status, answer.header("content-encoding")), (200, ""), "{accepted}");
        answer.ok();
    }
}

#[tokio::test]
async fn every_answer_names_the_release_so_that_clients_know_it_for_the_daemons() {
    let release = stranger().get("/health").await.ok()["version"].clone();
    for (method, path, status) in [
        (Method::GET, "/health", 200),
        (Method::POST, "/sync", 401),
        (Method::GET, "/nowhere", 404),
        (Method::DELETE, "/sync", 405),
        (Method::GET, "//", 307),
        (Method::GET, "/ws/tablet", 426),
    ] {
        let answer = stranger().raw(method, path, &[], "").await.expect("an answer");
        assert_eq!((answer.status, answer.header("ryzed-release")), (status, release.as_str().unwrap_or("")), "{path}");
    }
}

/// The page holds a token: it connects home only, and nobody else's page gets hold of it.
#[tokio::test]
async fn embedded_pages_connect_to_their_own_host_only() {
    for path in ["//demo", "//demo/demo.js", "//demo/device.js", "//client.js"] {
        let answer = stranger().get(path).await;
        answer.done();
        let policy = answer.header("content-security-policy");
        let directives: Vec<&str> = policy.split(';').map(str::trim).collect();
        assert!(directives.contains(&"connect-src 'self'"), "{path}: {policy}");
        for wanted in ["default-src 'none'", "script-src 'self'", "base-uri 'none'", "form-action 'none'"] {
            assert!(directives.contains(&wanted), "{path}: {policy}");
        }
        assert!(directives.contains(&"frame-ancestors 'none'"), "{path}: {policy}");
        assert!(!policy.contains("unsafe") && !policy.contains('*'), "{path}: {policy}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("referrer-policy"), "no-referrer", "{path}");
        assert_eq!(answer.header("cross-origin-opener-policy"), "same-origin", "{path}");
    }
}

/// Headers of a proxy, or of a client that pretends to be one, about the way here are neither trusted nor repeated.
#[tokio::test]
async fn nothing_of_what_a_request_says_of_its_way_is_repeated() {
    let headers = [
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-for", "6.6.6.6"),
        ("forwarded", "host=evil.example;for=6.6.6.6"),
        ("x-original-url", "/metrics"),
        ("x-rewrite-url", "/metrics"),
    ];
    for path in ["//", "//demo", "//openapi.json", "/health", "//no/such"] {
        let answer = stranger().raw(Method::GET, path, &headers, "").await.expect("an answer");
        let said = format!("{:?} {}", answer.headers, answer.text());
        assert!(!said.contains("evil.example") && !said.contains("6.6.6.6"), "{path}: {said}");
        assert_eq!(answer.status, stranger().get(path).await.status, "{path}");
    }
}
