//! A line that can be cut, slowed down, stalled or made deaf: TCP to one target, byte by byte, knowing no protocol.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::plan::Weather;

/// The most bytes that are carried at once.
const CHUNK: usize = 16 << 10;
/// After this, a connection whose answer was swallowed ends.
const DEAF: Duration = Duration::from_millis(200);

/// A line to one target.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    state: watch::Sender<State>,
    accepting: JoinHandle<()>,
}

/// The state of a line.
#[derive(Debug, Clone, Copy, Default)]
struct State {
    delay: Duration,
    stalled: bool,
    refusing: bool,
    deaf: bool,
    cuts: u64,
    halves: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Out,
    Back,
}

impl Proxy {
    /// Listens on a free port.
    ///
    /// # Errors
    /// When there is none.
    pub async fn to(target: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let (state, watched) = watch::channel(State::default());
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if !watched.borrow().refusing {
                    tokio::spawn(carry(client, target, watched.clone()));
                }
            }
        });
        Ok(Self { address, state, accepting })
    }

    /// The address that it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Puts the line under a fault, or sets off one that happens once.
    pub fn suffer(&self, weather: &Weather) {
        self.state.send_modify(|state| match weather {
            Weather::Cut => state.cuts += 1,
            Weather::HalfClose => state.halves += 1,
            Weather::Delay(by) => state.delay = *by,
            Weather::Stall => state.stalled = true,
            Weather::Refuse => {
                state.refusing = true;
                state.cuts += 1;
            }
            Weather::Deaf => state.deaf = true,
        });
    }

    /// All is well again; connections that were stalled go on.
    pub fn clear(&self) {
        self.state.send_modify(|state| {
            *state = State { cuts: state.cuts, halves: state.halves, ..State::default() };
        });
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Carries one connection to its end.
async fn carry(client: TcpStream, target: SocketAddr, mut state: watch::Receiver<State>) {
    let Ok(server) = TcpStream::connect(target).await else { return };
    // A line that waits to fill its packets would only be slower.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (began, (from_client, to_client), (from_server, to_server)) =
        (*state.borrow_and_update(), client.into_split(), server.into_split());
    let out = pump(from_client, to_server, Direction::Out, state.clone());
    let mut back = Some(Box::pin(pump(from_server, to_client, Direction::Back, state.clone())));
    tokio::pin!(out);
    let mut out_ended = false;
    loop {
        tokio::select! {
            fine = &mut out, if !out_ended => {
                out_ended = true;
                if !fine { return }
            }
            fine = async { back.as_mut().expect("it goes on").await }, if back.is_some() => {
                back = None;
                if !fine { return }
            }
            changed = state.changed() => {
                let now = *state.borrow_and_update();
                if changed.is_err() || now.cuts != began.cuts { return }
                // What is dropped is shut down in this one direction.
                if now.halves != began.halves { back = None }
            }
            else => return,
        }
        if out_ended && back.is_none() {
            return;
        }
    }
}

/// Carries one direction until its source ends; `false` when the connection is over.
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    direction: Direction,
    mut state: watch::Receiver<State>,
) -> bool {
    let mut buffer = vec![0; CHUNK];
    loop {
        let Ok(count) = from.read(&mut buffer).await else { return false };
        let now = *state.borrow_and_update();
        if now.deaf && direction == Direction::Back {
            tokio::time::sleep(DEAF).await;
            return false;
        }
        if !now.delay.is_zero() {
            tokio::time::sleep(now.delay).await;
        }
        if state.wait_for(|state| !state.stalled).await.is_err() {
            return false;
        }
        if count == 0 {
            return to.shutdown().await.is_ok();
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    tokio::io::copy(&mut from, &mut to).await
                });
            }
        });
        address
    }

    async fn says(stream: &mut TcpStream, text: &[u8]) -> std::io::Result<Vec<u8>> {
        stream.write_all(text).await?;
        let mut answer = vec![0; text.len()];
        let read = tokio::time::timeout(Duration::from_millis(300), stream.read_exact(&mut answer));
        read.await.map_err(|_| std::io::ErrorKind::TimedOut)??;
        Ok(answer)
    }

    #[tokio::test]
    async fn a_line_carries_stalls_and_is_cut() {
        let proxy = Proxy::to(echo().await).await.expect("a proxy");
        let mut stream = TcpStream::connect(proxy.address()).await.expect("a connection");
        assert_eq!(says(&mut stream, b"one").await.expect("an echo"), b"one");
        proxy.suffer(&Weather::Stall);
        assert_eq!(says(&mut stream, b"two").await.expect_err("silence").kind(), std::io::ErrorKind::TimedOut);
        proxy.clear();
        let mut late = [0; 3];
        stream.read_exact(&mut late).await.expect("what was stalled goes on");
        assert_eq!(&late, b"two");
        proxy.suffer(&Weather::Cut);
        assert!(says(&mut stream, b"six").await.is_err(), "it was cut");
    }

    #[tokio::test]
    async fn a_deaf_line_loses_the_answer_and_ends() {
        let proxy = Proxy::to(echo().await).await.expect("a proxy");
        let mut stream = TcpStream::connect(proxy.address()).await.expect("a connection");
        assert!(says(&mut stream, b"one").await.is_ok());
        proxy.suffer(&Weather::Deaf);
        let lost = says(&mut stream, b"two").await.expect_err("no answer").kind();
        assert_ne!(lost, std::io::ErrorKind::TimedOut, "it ends");
        proxy.suffer(&Weather::Refuse);
        let mut refused = TcpStream::connect(proxy.address()).await.expect("a connection");
        assert!(says(&mut refused, b"ten").await.is_err());
    }
}
