//! A TCP proxy that a story puts between two programs: it counts, delays, holds back and cuts what goes through. It knows no
//! protocol, and runs on the runtime of the test that made it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The most bytes that are read at once.
const CHUNK: usize = 16 << 10;

/// A proxy that listens on a port of its own. Dropping it cuts every connection.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    road: Arc<Road>,
    accepting: JoinHandle<()>,
}

/// The state that all connections share.
#[derive(Debug)]
struct Road {
    state: watch::Sender<State>,
    turns: AtomicU64,
    connections: AtomicU64,
}

/// The treatment of the bytes on their way.
#[derive(Debug, Clone, Copy)]
struct State {
    /// Each part of either direction waits for so long.
    delay: Duration,
    /// True while it carries nothing.
    is_paused: bool,
    /// New connections are closed at once.
    is_closed: bool,
    /// Counts the cuts; a connection lives in one of these lives.
    life: u64,
}

/// The side that spoke last on a connection: a turn is a request after an answer.
#[derive(Debug, Default)]
struct Speaker(AtomicU64);

const CLIENT: u64 = 1;
const SERVER: u64 = 2;

impl Proxy {
    /// A proxy in front of `target`, such as `127.0.0.1:5432`.
    pub async fn in_front_of(target: impl Into<String>) -> Self {
        let target = target.into();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let state = State { delay: Duration::ZERO, is_paused: false, is_closed: false, life: 0 };
        let road = Arc::new(Road { state: watch::channel(state).0, turns: 0.into(), connections: 0.into() });
        let accepting = tokio::spawn(accept(listener, target, Arc::clone(&road)));
        Self { address, road, accepting }
    }

    /// The address that it listens on, `127.0.0.1:<port>`.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// The number of times that an answer was waited for before more was asked, over all connections since the start:
    /// the round trips that a distant server would cost. What is sent together counts once.
    #[must_use]
    pub fn turns(&self) -> u64 {
        self.road.turns.load(Ordering::SeqCst)
    }

    /// The number of connections that were opened since the start.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.road.connections.load(Ordering::SeqCst)
    }

    /// Makes every part of either direction wait for so long.
    pub fn delay(&self, delay: Duration) {
        self.road.state.send_modify(|state| state.delay = delay);
    }

    /// Holds everything back; connections stay open, as behind a network that swallows packets.
    pub fn pause(&self) {
        self.road.state.send_modify(|state| state.is_paused = true);
    }

    /// Lets what was held back go on.
    pub fn go_on(&self) {
        self.road.state.send_modify(|state| state.is_paused = false);
    }

    /// Cuts every connection that there is. New ones are welcome.
    pub fn cut(&self) {
        self.road.state.send_modify(|state| state.life += 1);
    }

    /// Cuts every connection and closes new ones at once.
    pub fn close(&self) {
        self.road.state.send_modify(|state| {
            state.life += 1;
            state.is_closed = true;
        });
    }

    /// Takes new connections again.
    pub fn open(&self) {
        self.road.state.send_modify(|state| state.is_closed = false);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

async fn accept(listener: TcpListener, target: String, road: Arc<Road>) {
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        if road.state.borrow().is_closed {
            continue;
        }
        road.connections.fetch_add(1, Ordering::SeqCst);
        tokio::spawn(join(client, target.clone(), Arc::clone(&road)));
    }
}

/// Carries both directions until one side ends or the connection is cut.
async fn join(client: TcpStream, target: String, road: Arc<Road>) {
    let Ok(server) = TcpStream::connect(&target).await else { return };
    // A story about latency must not measure Nagle's.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let mut state = road.state.subscribe();
    let life = state.borrow_and_update().life;
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let speaker = Speaker::default();
    tokio::select! {
        () = carry(from_client, to_server, &road, &speaker, CLIENT) => {}
        () = carry(from_server, to_client, &road, &speaker, SERVER) => {}
        _ = state.wait_for(|state| state.life != life) => {}
    }
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, road: &Road, speaker: &Speaker, who: u64) {
    let mut state = road.state.subscribe();
    let mut chunk = vec![0; CHUNK];
    loop {
        let Ok(length @ 1..) = from.read(&mut chunk).await else { return };
        if speaker.0.swap(who, Ordering::SeqCst) != who && who == CLIENT {
            road.turns.fetch_add(1, Ordering::SeqCst);
        }
        let delay = state.borrow_and_update().delay;
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        if state.wait_for(|state| !state.is_paused).await.is_err() {
            return;
        }
        if to.write_all(&chunk[..length]).await.is_err() {
            return;
        }
    }
}
