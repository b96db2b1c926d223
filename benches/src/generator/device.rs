//! One device: its socket, from the handshake to its end.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, interval_at, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, client_async_tls_with_config};

use super::hub::{Order, Person};
use super::server::Server;
use super::words::{Heard, PING, hear};

/// The time that a device may take to get in.
pub const CONNECT: Duration = Duration::from_secs(60);
/// Less than the time after which a server closes a silent socket: two heartbeats.
const PING_EVERY: Duration = Duration::from_secs(25);
/// The library's own is 128 KiB, too much for thousands of sockets.
const READ_BUFFER: usize = 4 << 10;

/// A connected socket.
pub type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Connects and waits until the server says that the device is in.
///
/// # Errors
/// When it does not.
pub async fn connect(server: &Server, token: &str, device: &str, cursor: Option<&str>) -> Result<Socket> {
    timeout(CONNECT, enter(server, token, device, cursor, None)).await.context("not in after a minute")?
}

/// The same for a device that takes no more than so many bytes off the wire before it reads.
///
/// # Errors
/// When it does not get in.
pub async fn connect_slowly(server: &Server, token: &str, device: &str, buffer: u32) -> Result<Socket> {
    timeout(CONNECT, enter(server, token, device, None, Some(buffer))).await.context("not in after a minute")?
}

async fn enter(
    server: &Server,
    token: &str,
    device: &str,
    cursor: Option<&str>,
    buffer: Option<u32>,
) -> Result<Socket> {
    let mut request = server.socket(device, cursor).into_client_request()?;
    request.headers_mut().insert("authorization", format!("Bearer {token}").parse()?);
    let address = lookup_host(server.authority()).await?.next().context("the host has no address")?;
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(buffer) = buffer {
        socket.set_recv_buffer_size(buffer)?;
    }
    socket.set_nodelay(true)?;
    let stream = socket.connect(address).await?;
    let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER);
    let (mut socket, _) = client_async_tls_with_config(request, stream, Some(config), None).await?;
    loop {
        match socket.next().await.context("the connection ended")?? {
            Message::Text(text) if hear(&text) == Heard::Ready => return Ok(socket),
            Message::Close(Some(close)) => bail!("closed with {} {}", u16::from(close.code), close.reason),
            _ => {}
        }
    }
}

/// Does what the device is told and hears what comes, until it ends.
pub async fn attend(person: Arc<Person>, device: usize, mut socket: Socket, mut orders: UnboundedReceiver<Order>) {
    let mut ping = interval_at(Instant::now() + PING_EVERY, PING_EVERY);
    let end = loop {
        tokio::select! {
            order = orders.recv() => match obey(&mut socket, order, &mut orders).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => break error.to_string(),
            },
            message = socket.next() => match message {
                Some(Ok(Message::Text(text))) => person.hear(device, &text),
                Some(Ok(Message::Close(Some(close)))) => break format!("{} {}", u16::from(close.code), close.reason),
                Some(Ok(_)) => {}
                Some(Err(error)) => break error.to_string(),
                None => break "no close".to_owned(),
            },
            _ = ping.tick() => if let Err(error) = socket.send(Message::text(PING)).await {
                break error.to_string();
            },
        }
    };
    person.hub().trouble(format!("a socket ended: {end}"));
}

/// Sends everything that is ordered by now at once. `false` when the device is to end.
async fn obey(socket: &mut Socket, first: Option<Order>, more: &mut UnboundedReceiver<Order>) -> Result<bool> {
    let mut next = first;
    loop {
        match next {
            Some(Order::Say(frame)) => socket.feed(Message::text(frame)).await?,
            Some(Order::Leave) | None => {
                socket.close(None).await?;
                return Ok(false);
            }
        }
        next = match more.try_recv() {
            Ok(order) => Some(order),
            Err(_) => break,
        };
    }
    socket.flush().await?;
    Ok(true)
}
