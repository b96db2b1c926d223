//! `/api/realtime/ws/{device_id}`: a WebSocket, from its handshake to its end.
//!
//! warp's own WebSocket keeps 130 KiB a connection, so the upgraded stream is taken from hyper and
//! given to a library whose buffers are as small as told. What is said over it is known to the actors.

mod deflate;
mod handshake;
mod log;
mod meter;
mod origin;
mod pump;
mod stream;
mod welcome;

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tracing::debug;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::http::{HeaderMap, Method};
use warp::path::FullPath;
use warp::reply::Response;
use yawc::{DeflatePool, Options, Role, WebSocket};

use super::observe::Identity;
use super::origin::Origin;
use super::problem::Problem;
use super::query::Query;
use super::routes::SOCKET;
use super::{Guest, Guests};
use crate::actors::{Realtime, SocketGuard};
use crate::auth::Verify;
use crate::config::Config;
use log::SocketLog;
use meter::Meter;
use origin::Origins;
use stream::SharedStream;
use welcome::{Arrival, Whence};

/// The read buffer of an idle socket, in bytes; grows for a large message and shrinks after it.
const READ_BUFFER: usize = 1024;
/// The write buffer of an idle socket, in bytes; likewise.
const WRITE_BUFFER: usize = 512;
/// The bytes that may lie in the write buffer before the socket waits for a slow reader.
const WRITE_AHEAD: usize = 16 << 10;
/// The time that a client may take between the parts of one message.
const FRAGMENT_TIMEOUT: Duration = Duration::from_secs(30);

/// The library's socket over hyper's stream.
type Socket = WebSocket<SharedStream>;

/// The route. It answers with 101 to every WebSocket request, whatever the device is called, so that a browser can read why
/// it is closed; 426 to any other `GET`.
pub fn route(
    live: Realtime,
    verify: Arc<dyn Verify>,
    guests: Arc<Guests>,
    config: &Config,
) -> BoxedFilter<(Response,)> {
    let limits = &config.limits;
    let shell = Shell {
        live,
        verify,
        guests,
        message_bytes: limits.message_bytes,
        auth_within: Duration::from_secs(limits.auth_seconds),
        origins: Origins::listed(&config.server.allowed_origins),
        pool: deflate::pool(),
    };
    let device = |path: FullPath| ready(device_in(path.as_str()).ok_or_else(warp::reject::not_found));
    warp::path::full()
        .and_then(device)
        .and(warp::method())
        .and(warp::header::headers_cloned())
        .and(warp::query::raw().or(warp::any().map(String::new)).unify())
        .and(warp::ext::optional::<OnUpgrade>())
        .and(warp::ext::optional::<Identity>())
        .and(warp::ext::optional::<Origin>())
        .and(warp::ext::optional::<Guest>())
        .map(
            move |device: String,
                  method: Method,
                  headers: HeaderMap,
                  query: String,
                  upgrade: Option<OnUpgrade>,
                  identity: Option<Identity>,
                  origin: Option<Origin>,
                  guest: Option<Guest>| {
                identity.iter().for_each(|identity| identity.took(SOCKET));
                if method != Method::GET {
                    return Problem::wrong_method(&["GET"]).into_response();
                }
                let extension = deflate::agreed(&headers);
                let (reply, accepted) = handshake::answer(&headers, extension.as_deref());
                match (accepted, upgrade) {
                    (true, Some(upgrade)) => {
                        let is_at_home = shell.origins.admit(&headers);
                        let from = Whence { origin, guest, is_at_home };
                        let arrival = Arrival::of(device, &headers, &Query::of(&query), from);
                        let guard = shell.live.socket();
                        tokio::spawn(shell.clone().serve(upgrade, extension, arrival, guard));
                        reply
                    }
                    (true, None) => handshake::upgrade_required(),
                    (false, _) => reply,
                }
            },
        )
        .boxed()
}

/// The path segment of the device's id, if the path is a socket's.
fn device_in(path: &str) -> Option<String> {
    let device = path.strip_prefix(SOCKET.strip_suffix("{device_id}")?)?;
    let device = device.strip_suffix('/').unwrap_or(device);
    (!device.contains('/')).then(|| device.to_owned())
}

/// The state that every socket needs. Cheap to clone.
#[derive(Clone)]
struct Shell {
    live: Realtime,
    verify: Arc<dyn Verify>,
    guests: Arc<Guests>,
    message_bytes: usize,
    auth_within: Duration,
    origins: Origins,
    pool: DeflatePool,
}

impl Shell {
    async fn serve(self, upgrade: OnUpgrade, extension: Option<String>, arrival: Arrival, guard: SocketGuard) {
        let upgraded = match upgrade.await {
            Ok(upgraded) => upgraded,
            Err(error) => return debug!(%error, "a socket went before it was upgraded"),
        };
        let stream = SharedStream::new(TokioIo::new(upgraded), Meter::new(self.message_bytes));
        let Some(mut socket) = self.open(stream.clone(), extension) else { return };
        let mut log = SocketLog::of(arrival.device());
        // Boxed, since it is needed only at the beginning of a long life.
        let ended = match Box::pin(welcome::welcome(&self, &mut socket, arrival, &mut log)).await {
            Ok((connection, _seat)) => {
                stream.belongs_to(self.live.budget(), connection.link().user);
                pump::run(&mut socket, &stream, connection, &mut log).await
            }
            Err(ended) => ended,
        };
        log.write(&ended);
        Box::pin(stream::end(socket, stream, ended)).await;
        drop(guard);
    }

    // Not within `serve`, which would keep a place for each of its steps as long as the socket lives.
    fn open(&self, stream: SharedStream, extension: Option<String>) -> Option<Socket> {
        let options = match &extension {
            Some(_) => deflate::with(self.options(), self.pool.clone()),
            None => self.options(),
        };
        WebSocket::from_stream_with_extensions(stream, Role::Server, extension.as_deref(), options).ok()
    }

    /// The library's bounds are exclusive, ours is not.
    fn options(&self) -> Options {
        Options::default()
            .with_limits(self.message_bytes + 1, self.message_bytes + 1)
            .with_read_buffer_capacity(READ_BUFFER)
            .with_write_buffer_capacity(WRITE_BUFFER)
            .with_backpressure_boundary(WRITE_AHEAD)
            .with_fragment_timeout(FRAGMENT_TIMEOUT)
            .with_utf8()
    }
}

#[cfg(test)]
mod tests;
