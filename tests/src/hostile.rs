//! Requests of a hostile client, and the memory that they cost the daemon.

use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::Daemon;

/// An address that is this machine's, and that the daemon takes for a stranger's: it trusts 127.0.0.1 alone.
pub const ELSEWHERE: &str = "127.0.0.2";

/// The same, compressed as well as it goes.
#[must_use]
pub fn gzipped(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(body).expect("memory");
    encoder.finish().expect("memory")
}

/// A JSON list of as many of these as fit into so many bytes.
#[must_use]
pub fn list(element: &str, bytes: usize) -> String {
    let count = (bytes - 2) / (element.len() + 1);
    format!("[{}]", vec![element; count].join(","))
}

/// The result of some work, and the most memory that the daemon held meanwhile beyond what it held before, in KiB.
pub async fn peak<T>(daemon: &Daemon, work: impl Future<Output = T>) -> (T, u64) {
    daemon.forget_peak();
    let before = daemon.resident_kib();
    let came = work.await;
    (came, daemon.peak_kib().saturating_sub(before))
}

/// A connection whose bytes the story writes itself.
#[derive(Debug)]
pub struct Wire(TcpStream);

impl Wire {
    /// Connects to the daemon.
    pub async fn open(daemon: &Daemon) -> Self {
        Self::from(daemon, "127.0.0.1").await.expect("the daemon listens")
    }

    /// The same from another address of this machine.
    ///
    /// # Errors
    /// When it is not let in.
    pub async fn from(daemon: &Daemon, address: &str) -> std::io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::new(address.parse().expect("an address"), 0))?;
        Ok(Self(socket.connect(daemon.address().parse().expect("an address")).await?))
    }

    /// Writes as much as is taken within this time; how much that was.
    pub async fn send(&mut self, bytes: &[u8], patience: Duration) -> usize {
        let mut sent = 0;
        let _ = timeout(patience, async {
            while sent < bytes.len() {
                match self.0.write(&bytes[sent..]).await {
                    Ok(0) | Err(_) => return,
                    Ok(count) => sent += count,
                }
            }
        })
        .await;
        sent
    }

    /// Everything that comes until the daemon ends the connection; nothing when that takes longer.
    pub async fn rest(&mut self, patience: Duration) -> Option<String> {
        let mut rest = Vec::new();
        let ended = timeout(patience, async {
            let mut part = [0; 4096];
            while let Ok(count @ 1..) = self.0.read(&mut part).await {
                rest.extend_from_slice(&part[..count]);
            }
        });
        ended.await.ok().map(|()| String::from_utf8_lossy(&rest).into_owned())
    }

    /// The bytes up to the end of an answer's head; as much as there was when nothing more came in time.
    pub async fn head(&mut self, patience: Duration) -> String {
        let mut head = Vec::new();
        let _ = timeout(patience, async {
            while !head.ends_with(b"\r\n\r\n") {
                match self.0.read_u8().await {
                    Ok(byte) => head.push(byte),
                    Err(_) => return,
                }
            }
        })
        .await;
        String::from_utf8_lossy(&head).into_owned()
    }
}

/// The head of a request with a body of so many bytes.
#[must_use]
pub fn posting(path: &str, token: &str, bytes: usize) -> String {
    format!(
        "POST /api/realtime{path} HTTP/1.1\r\nHost: story\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {bytes}\r\n\r\n"
    )
}

/// The head of a request without a body. An empty token is none.
#[must_use]
pub fn getting(path: &str, token: &str) -> String {
    let token = if token.is_empty() { String::new() } else { format!("Authorization: Bearer {token}\r\n") };
    format!("GET {path} HTTP/1.1\r\nHost: story\r\n{token}\r\n")
}
