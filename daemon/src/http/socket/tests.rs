//! The socket over loopback, with a client of the same library and the actors' backend in memory.

use std::sync::Arc;
use std::time::Duration;

use futures_util::SinkExt;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use yawc::close::CloseCode;
use yawc::frame::{Frame, OpCode};
use yawc::{Options, Role, WebSocket};

use crate::actors::tests::fake::{Fake, Idle, Open, user};
use crate::actors::{ClusterSettings, Fault, Realtime, RealtimeSettings, Victim};
use crate::config::{Config, Limits};
use crate::http::Guests;
use crate::service::Hints;
use crate::sync::Scope;

const WITHIN: Duration = Duration::from_secs(10);
/// Small, so that one who does not read is soon felt.
const RECEIVE_BUFFER: u32 = 64 << 10;

struct House {
    fake: Arc<Fake>,
    live: Realtime,
    address: std::net::SocketAddr,
}

async fn house() -> House {
    let fake = Fake::new();
    let live = Realtime::start_with(
        Arc::clone(&fake) as _,
        Arc::new(Idle),
        RealtimeSettings::default(),
        ClusterSettings::none(),
    )
    .await
    .unwrap();
    fake.hint_to(live.clone());
    let limits = Limits { auth_seconds: 1, ..Limits::default() };
    let guests = Guests::new(&limits, &[], 10_000);
    let config = Config { limits, ..Config::default() };
    let route = super::route(live.clone(), Arc::new(Open), guests, &config);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(warp::serve(route).incoming(listener).run());
    House { fake, live, address }
}

struct Client(WebSocket<TcpStream>);

impl House {
    /// Opens `/api/realtime/ws/<rest>`; the head of the answer comes along.
    async fn open(&self, rest: &str, headers: &str) -> (Client, String) {
        let opening = TcpSocket::new_v4().unwrap();
        opening.set_recv_buffer_size(RECEIVE_BUFFER).unwrap();
        let mut stream = opening.connect(self.address).await.unwrap();
        let request = format!(
            "GET /api/realtime/ws/{rest} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let socket = WebSocket::from_stream(stream, Role::Client, Options::default()).unwrap();
        (Client(socket), String::from_utf8(head).unwrap())
    }

    async fn connect(&self, rest: &str) -> Client {
        let (mut client, _) = self.open(rest, "").await;
        assert_eq!(client.message().await["type"], "connection_established");
        client
    }
}

impl Client {
    async fn next(&mut self) -> Frame {
        tokio::time::timeout(WITHIN, self.0.next_frame()).await.expect("nothing came").expect("the socket broke")
    }

    async fn message(&mut self) -> Value {
        let frame = self.next().await;
        assert_eq!(frame.opcode(), OpCode::Text, "{:?} {:?}", frame.close_code(), frame.close_reason());
        serde_json::from_slice(frame.payload()).unwrap()
    }

    /// The close frame that comes next, and nothing before it.
    async fn closed(&mut self) -> (u16, String) {
        let frame = self.next().await;
        assert_eq!(frame.opcode(), OpCode::Close, "{:?}", frame.as_str());
        let code = frame.close_code().map_or(1005, u16::from);
        (code, frame.close_reason().unwrap().unwrap_or_default().to_owned())
    }

    async fn say(&mut self, text: impl Into<String>) {
        self.0.send(Frame::text(text.into())).await.unwrap();
    }
}

#[tokio::test]
async fn a_token_may_come_in_four_ways() {
    let house = house().await;
    for (rest, headers) in [
        ("a?token=1", ""),
        ("b", "Authorization: Bearer 1\r\n"),
        ("c", "Sec-WebSocket-Protocol: ryzed.v1, bearer.1\r\n"),
    ] {
        let (mut client, head) = house.open(rest, headers).await;
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        assert_eq!(head.contains("ryzed.v1"), rest == "c");
        assert_eq!(client.message().await["type"], "connection_established");
    }
    let (mut client, _) = house.open("d", "").await;
    client.say(r#"{"type":"auth","token":"1"}"#).await;
    let welcome = client.message().await;
    assert_eq!((&welcome["device_id"], &welcome["heartbeat_seconds"]), (&"d".into(), &30.into()));
    assert_eq!(welcome["user_id"], user(1).to_string());
}

#[tokio::test]
async fn who_may_not_come_in_gets_the_close_and_nothing_else() {
    let house = house().await;
    for (rest, code) in [
        ("phone?token=bad", 4401),
        ("not%20a%20device?token=1", 4400),
        ("phone?token=1&cursor=e,user:x", 4400),
        ("phone?token=1&tables=foods,nope", 4400),
        ("revoked?token=1", 4403),
    ] {
        let (mut client, head) = house.open(rest, "").await;
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        assert_eq!(client.closed().await.0, code, "{rest}");
    }
    let (mut client, _) = house.open("phone", "").await;
    client.say(r#"{"type":"ping"}"#).await;
    assert_eq!(client.closed().await.0, 4401);
    let (mut client, _) = house.open("phone", "").await;
    assert_eq!(client.closed().await, (4401, "no token came in time (limits.auth_seconds)".to_owned()));
    assert_eq!(house.live.counts().connections, 0);
}

#[tokio::test]
async fn a_plain_request_is_told_to_upgrade() {
    let house = house().await;
    let mut stream = TcpStream::connect(house.address).await.unwrap();
    stream.write_all(b"GET /api/realtime/ws/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 426"), "{answer}");
    assert!(answer.to_lowercase().contains("upgrade: websocket"), "{answer}");
}

#[tokio::test]
async fn changes_and_answers_flow() {
    let house = house().await;
    let mut phone = house.connect("phone?token=1").await;
    let mut web = house.connect("web?token=1&tables=foods").await;
    assert_eq!(phone.message().await["type"], "presence");
    for n in 1..=3 {
        phone.say(r#"{"type":"data_updated","table":"foods","operation":"UPSERT","data":{"id":"a"}}"#).await;
        assert_eq!(phone.message().await["type"], "change_result");
        assert_eq!(web.message().await["version"], n);
    }
    let mut late = house.connect("late?token=1&cursor=e,user:1").await;
    assert_eq!(
        (late.message().await["version"].as_i64(), late.message().await["version"].as_i64()),
        (Some(2), Some(3))
    );
    web.0.send(Frame::ping("x")).await.unwrap();
    assert_eq!(web.message().await["type"], "presence");
    assert_eq!(web.next().await.opcode(), OpCode::Pong);
}

#[tokio::test]
async fn what_is_out_of_bounds_closes_with_its_code() {
    let house = house().await;
    let mut client = house.connect("a?token=1").await;
    client.say("x".repeat(1 << 20)).await;
    assert_eq!(client.message().await["code"], "malformed", "exactly the limit is allowed");
    let _ = client.0.send(Frame::text("x".repeat((1 << 20) + 1))).await;
    assert_eq!(client.closed().await.0, 1009);

    let mut client = house.connect("a?token=1").await;
    for n in 0..10 {
        client.0.send(Frame::binary("b")).await.unwrap();
        assert_eq!(client.message().await["code"], "binary", "{n}");
    }
    assert_eq!(client.closed().await.0, 4400);

    let mut client = house.connect("a?token=1").await;
    client.0.send(Frame::text(vec![0xff, 0xfe])).await.unwrap();
    assert_eq!(client.closed().await.0, 1007);

    let mut client = house.connect("a?token=1").await;
    let device = Victim::Device(user(1), "a".parse().unwrap());
    assert!(house.live.fault(device, Fault::Panic));
    assert_eq!(client.closed().await.0, 1011);

    let mut client = house.connect("a?token=1").await;
    let _newer = house.connect("a?token=1").await;
    assert_eq!(client.closed().await.0, 4409);
}

#[tokio::test]
async fn a_client_that_goes_is_gone() {
    let house = house().await;
    let mut polite = house.connect("a?token=1").await;
    polite.0.send(Frame::close(CloseCode::Normal, "bye")).await.unwrap();
    assert_eq!(polite.closed().await.0, 1000);
    drop(house.connect("b?token=1").await);
    let gone = async {
        while house.live.counts().connections > 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(WITHIN, gone).await.unwrap();
}

#[tokio::test]
async fn a_restart_is_told_to_everybody_and_waited_for() {
    let house = house().await;
    let mut client = house.connect("a?token=1").await;
    let (mut nameless, _) = house.open("b", "").await;
    let drained = tokio::spawn({
        let live = house.live.clone();
        async move { live.drain(WITHIN).await }
    });
    let (code, reason) = client.closed().await;
    let reason: Value = serde_json::from_str(&reason).unwrap();
    assert_eq!(code, 1012);
    assert!(reason["reconnect_in_ms"].as_u64().is_some_and(|ms| ms > 0));
    assert_eq!(nameless.closed().await.0, 1012);
    // Reading on is what answers the close frame.
    let _ = (client.0.next_frame().await, nameless.0.next_frame().await);
    drop((client, nameless));
    tokio::time::timeout(WITHIN, drained).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_restart_is_told_to_those_whose_request_does_not_end_in_time() {
    let house = house().await;
    let mut client = house.connect("stuck?token=1").await;
    client.say(r#"{"type":"sync","request_id":"1","device_id":"stuck"}"#).await;
    house.fake.stuck.notified().await;
    house.live.drain(Duration::from_millis(20)).await;
    house.live.stop().await;
    assert_eq!(client.closed().await.0, 1012);
}

#[tokio::test]
async fn a_client_that_does_not_read_is_told_what_it_missed() {
    let house = house().await;
    let mut client = house.connect("a?token=1").await;
    let scope = Scope::User(user(1));
    // More than the systems' buffers and the outbox hold together; another device reads along.
    let sent = 40_000;
    let mut other = house.connect("b?token=1").await;
    let reader = tokio::spawn(async move { while other.message().await["version"] != sent {} });
    for n in 0..sent {
        house.live.committed(house.fake.commit(scope, "phone"));
        if n % 100 == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    reader.await.unwrap();
    assert_eq!(client.message().await["type"], "presence");
    let (mut last, mut told) = (0, Vec::new());
    while last < sent {
        let message = client.message().await;
        match message["version"].as_i64() {
            Some(version) => {
                assert!(version > last, "in order");
                assert!(version == last + 1 || !told.is_empty(), "a hole that was not told: {last} to {version}");
                last = version;
            }
            None => {
                assert_eq!(message["cursor"]["user"], if told.is_empty() { last } else { told[0] });
                told.push(last);
            }
        }
    }
    assert!(!told.is_empty());
}
