//! permessage-deflate: who offers it gets long messages compressed and may compress their own, and nobody can hide more in one
//! than a message may hold. The client is a few lines of its own, since that of the other stories can't.

use std::time::Duration;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use ryzed_tests::rows::{food_entry, row};
use ryzed_tests::{Account, Daemon, insert};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::{shared, somebody};

const PATIENCE: Duration = Duration::from_secs(5);
/// The offer of every browser.
const BROWSERS: &str = "permessage-deflate; client_max_window_bits";
const TAKEN: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
/// The end of each block that is flushed, which is left away.
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
/// The first byte of a whole text message, of a compressed one, and of a close.
const TEXT: u8 = 0x81;
const COMPRESSED: u8 = 0xc1;
const CLOSE: u8 = 0x88;
/// The memory that a message may cost which would be 64 MiB, in KiB.
const BOMB_COST: u64 = 16 << 10;

/// A socket whose frames are looked at.
struct Wire {
    stream: TcpStream,
    /// The extensions that the daemon has answered with.
    extensions: Option<String>,
}

struct Received {
    head: u8,
    /// As it came.
    payload: Vec<u8>,
}

impl Wire {
    async fn open(daemon: &Daemon, me: &Account, device: &str, offer: &str) -> Self {
        let mut stream = TcpStream::connect(daemon.address()).await.expect("the daemon listens");
        let request = format!(
            "GET /api/realtime/ws/{device} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Extensions: {offer}\r\nAuthorization: Bearer {}\r\n\r\n",
            me.person.token()
        );
        stream.write_all(request.as_bytes()).await.expect("a request");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.expect("an answer"));
        }
        let head = String::from_utf8(head).expect("text");
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        let extensions = head.lines().find_map(|line| line.strip_prefix("sec-websocket-extensions: "));
        Self { stream, extensions: extensions.map(str::to_owned) }
    }

    async fn receive(&mut self) -> Received {
        let receiving = async {
            let head = self.stream.read_u8().await?;
            let length = match self.stream.read_u8().await? {
                126 => usize::from(self.stream.read_u16().await?),
                127 => usize::try_from(self.stream.read_u64().await?).expect("a length"),
                short => usize::from(short),
            };
            let mut payload = vec![0; length];
            self.stream.read_exact(&mut payload).await?;
            std::io::Result::Ok(Received { head, payload })
        };
        timeout(PATIENCE, receiving).await.expect("nothing came").expect("a frame")
    }

    /// The next message of this type, and how it came.
    async fn next(&mut self, kind: &str) -> (Value, Received) {
        loop {
            let received = self.receive().await;
            let message = received.message();
            if message["type"] == kind {
                return (message, received);
            }
        }
    }

    /// The code it is closed with, whatever comes before.
    async fn closed(&mut self) -> u16 {
        loop {
            let received = self.receive().await;
            if received.head == CLOSE {
                return u16::from_be_bytes([received.payload[0], received.payload[1]]);
            }
        }
    }

    /// A frame as clients send it, masked with zeros.
    async fn send(&mut self, head: u8, payload: &[u8]) {
        let mut frame = vec![head, 0xff];
        frame.extend((payload.len() as u64).to_be_bytes());
        frame.extend([0; 4]);
        frame.extend(payload);
        self.stream.write_all(&frame).await.expect("a frame goes out");
    }
}

impl Received {
    fn is_compressed(&self) -> bool {
        assert!([TEXT, COMPRESSED].contains(&self.head), "a frame begins with {:#x}", self.head);
        self.head == COMPRESSED
    }

    fn message(&self) -> Value {
        let text = if self.is_compressed() { inflated(&self.payload) } else { self.payload.clone() };
        serde_json::from_slice(&text).expect("JSON")
    }
}

/// Each message for itself, as no context takeover has it.
fn inflated(payload: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(1 << 20);
    let whole = [payload, &TAIL].concat();
    Decompress::new(false).decompress_vec(&whole, &mut text, FlushDecompress::Sync).expect("a compressed message");
    text
}

fn deflated(text: &[u8]) -> Vec<u8> {
    let mut payload = Vec::with_capacity(text.len() + (1 << 10));
    Compress::new(Compression::best(), false)
        .compress_vec(text, &mut payload, FlushCompress::Sync)
        .expect("compressed");
    assert!(payload.ends_with(&TAIL));
    payload.truncate(payload.len() - TAIL.len());
    payload
}

#[tokio::test]
async fn a_browser_gets_long_messages_compressed_and_short_ones_as_they_are() {
    let me = somebody();
    let mut tablet = Wire::open(shared(), &me, "tablet", BROWSERS).await;
    assert_eq!(tablet.extensions.as_deref(), Some(TAKEN));
    let _ = tablet.next("connection_established").await;
    // Twice, since the second may not build on the first.
    for _ in 0..2 {
        let recipe = row("recipes", json!({"steps_en": vec!["stir and let it simmer"; 100]}));
        me.store("recipes", &recipe).await;
        let (message, received) = tablet.next("data_updated").await;
        assert_eq!(message["data"]["steps_en"], recipe["steps_en"]);
        assert!(received.is_compressed() && received.payload.len() < 1000, "{} bytes", received.payload.len());
    }
    tablet.send(TEXT, br#"{"type":"ping"}"#).await;
    assert!(!tablet.next("pong").await.1.is_compressed());
}

#[tokio::test]
async fn a_client_may_compress_what_it_sends() {
    let me = somebody();
    let mut phone = Wire::open(shared(), &me, "phone", BROWSERS).await;
    let _ = phone.next("connection_established").await;
    for _ in 0..2 {
        let entry = food_entry(json!({}));
        phone.send(COMPRESSED, &deflated(insert("food_entries", &entry).message().to_string().as_bytes())).await;
        assert_eq!(phone.next("change_result").await.0["status"], "applied");
        assert!(me.row("food_entries", &entry["id"]).await.is_some());
    }
}

#[tokio::test]
async fn a_smaller_window_is_kept_to_and_what_can_not_be_done_is_declined() {
    let me = somebody();
    let offer = "permessage-deflate; server_max_window_bits=9; client_max_window_bits=9";
    let mut small = Wire::open(shared(), &me, "small", offer).await;
    assert_eq!(small.extensions, Some(format!("{TAKEN}; server_max_window_bits=9")));
    let mut plain = Wire::open(shared(), &me, "plain", "permessage-deflate; server_max_window_bits=8, bzip2").await;
    assert_eq!(plain.extensions, None);
    for wire in [&mut small, &mut plain] {
        let _ = wire.next("connection_established").await;
    }
    // A thousand bytes that nothing can shorten, twice: who looks back further than 512 bytes finds them.
    let noise: String = (0..32).map(|_| uuid::Uuid::new_v4().simple().to_string()).collect();
    let steps = json!([noise, noise]);
    me.store("recipes", &row("recipes", json!({"steps_en": steps}))).await;
    let (_, received) = plain.next("data_updated").await;
    assert!(!received.is_compressed());
    let whole = received.payload.len();
    let (message, received) = small.next("data_updated").await;
    assert_eq!(message["data"]["steps_en"], steps);
    assert!(received.is_compressed(), "{whole} bytes went as they are");
    assert!(
        received.payload.len() > noise.len(),
        "{} of {whole} bytes: it looked back further",
        received.payload.len()
    );
}

#[tokio::test]
async fn more_than_a_message_may_hold_can_not_be_hidden_in_one() {
    let daemon = Daemon::builder().alone().start();
    let me = daemon.account();
    let bomb = deflated(&vec![b' '; 64 << 20]);
    let mut phone = Wire::open(&daemon, &me, "phone", BROWSERS).await;
    let _ = phone.next("connection_established").await;
    let before = daemon.resident_kib();
    phone.send(COMPRESSED, &bomb).await;
    assert_eq!(phone.closed().await, 1009);
    let cost = daemon.resident_kib().saturating_sub(before);
    assert!(cost < BOMB_COST, "it cost {cost} KiB");
    let mut phone = Wire::open(&daemon, &me, "phone", BROWSERS).await;
    let _ = phone.next("connection_established").await;
    phone.send(COMPRESSED, b"this was never compressed").await;
    // Not what one would choose, but the library's own word.
    assert_eq!(phone.closed().await, 1011);
    // Nor may anybody compress who did not say so.
    let mut phone = Wire::open(&daemon, &me, "phone", "none").await;
    let _ = phone.next("connection_established").await;
    phone.send(COMPRESSED, &deflated(br#"{"type":"ping"}"#)).await;
    assert_eq!(phone.closed().await, 1002);
}
