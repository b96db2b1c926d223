//! Abusers who send little that unpacks to much, or much that is nothing.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use http_body_util::{BodyExt as _, Empty};
use hyper::Method;
use hyper_util::rt::{TokioExecutor, TokioIo};
use ryzed_tests::rows::{food_entry, row};
use ryzed_tests::{Account, insert};
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::{Abuser, On, Prepare, Strike, Target, again};

/// Streams on one connection.
const STREAMS: usize = 128;
/// The time for which an idle connection is kept.
const KEPT: Duration = Duration::from_secs(1);

/// All of them.
pub const DOORS: [Abuser; 12] = [
    door("two million names of tables, gzip", 3, |target| names(target).boxed()),
    door("the smallest objects, gzip", 3, |target| objects(target).boxed()),
    door("700,000 unknown fields", 2, |target| unknown(target).boxed()),
    door("a name of 5 MB", 4, |target| long_name(target).boxed()),
    door("pulls of 20,000 rows, 128 streams", 1, |target| streams(target).boxed()),
    door("exports", 20, |target| exports(target).boxed()),
    door("the state of unknown devices", 50, |target| unknown_devices(target).boxed()),
    door("health without a token", 50, |target| health(target).boxed()),
    door("120 unfinished uploads", 120, |target| unfinished(target).boxed()),
    door("bodies that drip", 200, |target| drips(target).boxed()),
    door("headers of 350 KB", 100, |target| headers(target).boxed()),
    door("1,500 connections", 1500, |target| connections(target).boxed()),
];

const fn door(name: &'static str, parallel: usize, prepare: Prepare) -> Abuser {
    Abuser { name, parallel, on: On::Both, prepare }
}

/// A strike that sends a compressed body.
fn packed(me: &Account, body: &str) -> Strike {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(body.as_bytes()).expect("memory");
    let (api, body) = (me.api.clone(), Bytes::from(encoder.finish().expect("memory")));
    Arc::new(move || {
        let (api, body) = (api.clone(), body.clone());
        async move {
            let headers = [("content-type", "application/json"), ("content-encoding", "gzip")];
            let _ = api.raw(Method::POST, "/sync", &headers, body).await;
        }
        .boxed()
    })
}

async fn names(target: Target) -> Strike {
    let names = vec![r#""a""#; 2_000_000].join(",");
    packed(&target.me, &format!(r#"{{"device_id":"phone","tables":[{names}]}}"#))
}

async fn objects(target: Target) -> Strike {
    let objects = vec!["{}"; 2_700_000].join(",");
    packed(&target.me, &format!(r#"{{"device_id":"phone","tables":["users"],"changes":[{objects}]}}"#))
}

async fn unknown(target: Target) -> Strike {
    let mut entry = food_entry(json!({}));
    for n in 0..700_000 {
        entry[format!("{n:x}")] = json!(0);
    }
    let body = json!({"device_id": "phone", "tables": ["users"], "changes": [insert("food_entries", &entry).json()]});
    again(&target.me, Method::POST, "/sync", body.to_string())
}

async fn long_name(target: Target) -> Strike {
    let body = json!({"device_id": "phone", "tables": ["x".repeat(5_000_000)]});
    again(&target.me, Method::POST, "/sync", body.to_string())
}

async fn much(me: &Account) {
    for _ in 0..20 {
        me.push((0..1000).map(|_| insert("food_entries", &food_entry(json!({}))))).await;
    }
}

async fn exports(target: Target) -> Strike {
    much(&target.me).await;
    again(&target.me, Method::GET, "/export", String::new())
}

async fn unknown_devices(target: Target) -> Strike {
    much(&target.me).await;
    again(&target.me, Method::GET, "/sync-status?device_id=never-seen", String::new())
}

async fn health(target: Target) -> Strike {
    let nobody = target.me.api.with_token(None);
    Arc::new(move || {
        let nobody = nobody.clone();
        async move {
            let _ = nobody.raw(Method::GET, "/health", &[], "").await;
        }
        .boxed()
    })
}

/// Full pulls on as many streams as one connection may have.
async fn streams(target: Target) -> Strike {
    much(&target.me).await;
    let (address, token) = (target.address, target.me.person.token());
    Arc::new(move || {
        let (address, token) = (address.clone(), token.clone());
        async move {
            let Ok(stream) = TcpStream::connect(&address).await else { return };
            let shaken = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
            let Ok((sender, connection)) = shaken else { return };
            let driving = tokio::spawn(connection);
            let pulls = (0..STREAMS).map(|_| {
                let mut sender = sender.clone();
                let request = hyper::Request::get(format!("http://{address}/api/realtime/changes"))
                    .header("authorization", format!("Bearer {token}"))
                    .body(Empty::<Bytes>::new())
                    .expect("a request");
                async move {
                    let answer = sender.send_request(request).await.ok()?;
                    let mut body = answer.into_body();
                    while body.frame().await?.is_ok() {}
                    Some(())
                }
            });
            let _ = futures_util::future::join_all(pulls).await;
            driving.abort();
        }
        .boxed()
    })
}

/// The head of an upload.
fn head(target: &Target, length: usize, more: &str) -> String {
    format!(
        "POST /api/realtime/sync HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n{more}\r\n",
        target.address,
        target.me.person.token()
    )
}

/// A strike that sends the first part, then a byte now and then.
fn begun(target: &Target, first: Vec<u8>) -> Strike {
    let (address, first) = (target.address.clone(), Bytes::from(first));
    Arc::new(move || {
        let (address, first) = (address.clone(), first.clone());
        async move {
            let Ok(mut stream) = TcpStream::connect(&address).await else { return tokio::time::sleep(KEPT).await };
            if stream.write_all(&first).await.is_err() {
                return tokio::time::sleep(KEPT / 10).await;
            }
            for _ in 0..100 {
                tokio::time::sleep(KEPT).await;
                if stream.write_all(b" ").await.is_err() {
                    return;
                }
            }
        }
        .boxed()
    })
}

async fn unfinished(target: Target) -> Strike {
    const LENGTH: usize = 8 << 20;
    let mut first = head(&target, LENGTH, "").into_bytes();
    let body = json!({"device_id": "phone", "changes": [insert("recipes", &row("recipes", json!({}))).json()]});
    first.extend_from_slice(body.to_string().trim_end_matches(['}', ']']).as_bytes());
    first.resize(first.len() + LENGTH - 1000, b' ');
    begun(&target, first)
}

async fn drips(target: Target) -> Strike {
    let first = head(&target, 1 << 20, "").into_bytes();
    begun(&target, first)
}

async fn headers(target: Target) -> Strike {
    let long: String = (0..80).map(|n| format!("X-Long-{n}: {}\r\n", "x".repeat(4300))).collect();
    let mut first = head(&target, 10, &long).into_bytes();
    // The last line end never comes.
    first.truncate(first.len() - 2);
    begun(&target, first)
}

async fn connections(target: Target) -> Strike {
    begun(&target, b"GET /livez HTTP/1.1\r\n".to_vec())
}
