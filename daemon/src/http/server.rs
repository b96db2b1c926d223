//! The accept loop round warp: who is let in, how large and how slow a header may be, no Nagle, the peer's address,
//! compression, and a drain that ends.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::Instant;
use tower::util::BoxCloneSyncService;
use tower::{ServiceBuilder, service_fn};
use tower_http::compression::CompressionLayer;
use tower_http::cors::{AllowOrigin, CorsLayer};
use tower_http::{BoxError, CompressionLevel};
use warp::http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, RETRY_AFTER,
};
use warp::http::{Method, Request, StatusCode};

use super::erased::{Whole, erased};
use super::gate::Gate;
use super::ignored::IGNORED;
use super::observe::{RELEASE, observe};
use super::unread::Connection;
use super::write_timeout::{Upgraded, WriteTimeout};
use super::{App, Guest, Guests, SocketFilter, plain, routes};
use crate::budget::{Who, note};
use crate::metrics::Limit;

/// The time that a browser may remember the answer to a preflight request.
const PREFLIGHT_AGE: Duration = Duration::from_secs(3600);
/// The time for requests to end, when the sockets took all the time there was.
const LAST_ANSWERS: Duration = Duration::from_millis(500);
/// The pause when no connection can be accepted, as when descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// The limit on the unsent bytes of one connection in the system's buffer. Left to itself the system takes 4 MiB for a
/// client that does not read.
#[cfg(target_os = "linux")]
const UNSENT: u32 = 64 << 10;
/// The time between two pings on a silent HTTP/2 connection.
const PING_INTERVAL: Duration = Duration::from_secs(30);
/// Requests that one HTTP/2 connection may have under way.
const STREAMS: u32 = 128;
/// The bytes that an HTTP/2 connection may send unread, over all its requests, and the buffered bytes of one answer.
const WINDOW: u32 = 256 << 10;
const SEND_BUFFER: usize = 64 << 10;
/// The least that the library wants for a header, in bytes.
const SMALLEST_HEADER: usize = 8 << 10;
/// The time that an HTTP/2 connection may be silent between two requests. HTTP/1 has the time limit for a header.
const IDLE: Duration = Duration::from_secs(60);
/// The pause between two checks for idle connections and answers that are not taken.
const LOOK: Duration = Duration::from_secs(5);
/// The pause between two log lines about connections that can't be accepted.
const QUIET: Duration = Duration::from_secs(10);

/// Small messages go at once, and what a client does not read waits here, where it is bounded. A system that can do neither
/// serves as well.
fn tune(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    #[cfg(target_os = "linux")]
    let _ = socket2::SockRef::from(stream).set_tcp_notsent_lowat(UNSENT);
}

/// A bound address.
pub struct Listening(TcpListener);

impl Listening {
    /// The socket handed over by the service manager, else one bound to `address`: an address or a name, and a port.
    ///
    /// # Errors
    /// When it can't be bound.
    pub async fn on(address: &str) -> io::Result<Self> {
        let inherited = listenfd::ListenFd::from_env().take_tcp_listener(0)?;
        match inherited {
            Some(listener) => {
                listener.set_nonblocking(true)?;
                TcpListener::from_std(listener).map(Self)
            }
            None => {
                let mut found: Vec<SocketAddr> = tokio::net::lookup_host(address).await?.collect();
                // A name such as localhost has both, and everybody can reach the older one.
                found.sort_by_key(SocketAddr::is_ipv6);
                TcpListener::bind(&*found).await.map(Self)
            }
        }
    }

    /// The address that it listens on.
    ///
    /// # Errors
    /// When the operating system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// Serves until `stop` is ready; then closes the sockets, still answering meanwhile (`/readyz` with 503), accepts nothing more and
/// lets requests end, all for as long as `server.drain_seconds` allows.
pub async fn serve(listening: Listening, app: Arc<App>, socket: SocketFilter, stop: impl Future<Output = ()>) {
    let (drain, connections) = watch::channel(false);
    let server = Server::new(&app, socket);
    tokio::select! {
        () = accept(&listening.0, &server, &connections) => {}
        () = stop => {}
    }
    let end = Instant::now() + Duration::from_secs(app.config.server.drain_seconds);
    tokio::select! {
        () = accept(&listening.0, &server, &connections) => {}
        () = app.live.drain(end - Instant::now()) => {}
    }
    drop((listening, connections));
    let _ = drain.send(true);
    let ended = tokio::time::timeout_at(end.max(Instant::now() + LAST_ANSWERS), drain.closed()).await;
    app.live.stop().await;
    if ended.is_err() {
        tracing::warn!("some requests did not end in time (server.drain_seconds) and are cut off");
    }
}

/// Never returns.
async fn accept(listener: &TcpListener, server: &Server, connections: &watch::Receiver<bool>) {
    let mut told: Option<Instant> = None;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                if let Some(guest) = server.guests.let_in(peer.ip()) {
                    tokio::spawn(server.clone().connection(stream, peer, guest, connections.clone()));
                }
            }
            // As when descriptors have run out: those that are there go on, and end.
            Err(error) => {
                if told.is_none_or(|told| told.elapsed() >= QUIET) {
                    tracing::warn!(%error, "can't accept a connection; it is tried again and again");
                    told = Some(Instant::now());
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// The state that a connection needs.
#[derive(Clone)]
struct Server {
    service: Whole,
    guests: Arc<Guests>,
    header_timeout: Duration,
    header_bytes: usize,
    write_timeout: Duration,
    least_bytes_per_second: u64,
}

impl Server {
    fn new(app: &Arc<App>, socket: SocketFilter) -> Self {
        let service = ServiceBuilder::new()
            .map_response(erased)
            .map_request(lenient)
            .option_layer(cors(&app.config.server.allowed_origins))
            .layer(CompressionLayer::new().quality(CompressionLevel::Fastest))
            .service(warp::service(routes::all(app, socket)));
        let (gate, routed) = (Gate::new(app), Whole::new(service));
        let service = service_fn(move |request: Request<Incoming>| {
            let (gate, routed) = (gate.clone(), routed.clone());
            async move {
                match plain::refusal(&request) {
                    Some(refusal) => Ok(erased(refusal)),
                    None => gate.pass(request, routed).await,
                }
            }
        });
        Self {
            service: BoxCloneSyncService::new(service),
            guests: Arc::clone(&app.guests),
            header_timeout: Duration::from_secs(app.config.server.header_timeout_seconds),
            header_bytes: app.config.limits.header_bytes.max(SMALLEST_HEADER),
            write_timeout: Duration::from_secs(app.config.server.write_timeout_seconds),
            least_bytes_per_second: app.config.limits.least_bytes_per_second,
        }
    }

    /// Both protocols, with bounds on what each holds before anybody has looked at it.
    fn protocols(&self) -> Builder<TokioExecutor> {
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(self.header_timeout)
            .max_buf_size(self.header_bytes);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS)
            .max_header_list_size(u32::try_from(self.header_bytes).unwrap_or(u32::MAX))
            .initial_connection_window_size(WINDOW)
            .initial_stream_window_size(WINDOW)
            .max_send_buf_size(SEND_BUFFER)
            .keep_alive_interval(PING_INTERVAL);
        builder
    }

    /// Serves one connection until it ends. `drained` is held all the time, so that the drain can wait for it.
    async fn connection(self, stream: TcpStream, peer: SocketAddr, guest: Guest, mut drained: watch::Receiver<bool>) {
        tune(&stream);
        let has_asked = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&has_asked);
        let upgraded = Upgraded::default();
        let stream = WriteTimeout::new(stream, self.write_timeout, upgraded.clone());
        let unread = Connection::default();
        let exchanges = unread.clone();
        let whole = self.service.clone();
        let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
            asked.store(true, Ordering::Relaxed);
            request.extensions_mut().insert(guest.clone());
            let answer = observe(request, peer, exchanges.begin(), whole.clone());
            let upgraded = upgraded.clone();
            async move {
                let answer = answer.await;
                if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
                    upgraded.set();
                }
                Ok::<_, Infallible>(answer)
            }
        });
        let builder = self.protocols();
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
        tokio::pin!(connection);
        // Before the first request not even the protocol is known, and nobody else watches the time.
        let look = tokio::time::sleep(self.header_timeout);
        tokio::pin!(look);
        loop {
            tokio::select! {
                ended = connection.as_mut() => return self.ended(ended, peer),
                () = &mut look => {
                    if !has_asked.load(Ordering::Relaxed) || self.is_too_slow(&unread, peer) {
                        return;
                    }
                    if unread.idle(std::time::Instant::now()) > IDLE {
                        break;
                    }
                    look.as_mut().reset(Instant::now() + LOOK);
                }
                _ = drained.wait_for(|is_draining| *is_draining) => break,
            }
        }
        connection.as_mut().graceful_shutdown();
        let _ = tokio::time::timeout(self.write_timeout, connection).await;
    }

    fn is_too_slow(&self, unread: &Connection, peer: SocketAddr) -> bool {
        let is_too_slow =
            unread.is_too_slow(self.least_bytes_per_second, self.write_timeout, std::time::Instant::now());
        if is_too_slow {
            note(Limit::LeastBytesPerSecond, Who::Address(peer.ip()));
        }
        is_too_slow
    }

    fn ended(&self, ended: Result<(), BoxError>, peer: SocketAddr) {
        let error = ended.err().and_then(|error| error.downcast::<hyper::Error>().ok());
        if error.is_some_and(|error| error.is_parse_too_large()) {
            note(Limit::HeaderBytes, Who::Address(peer.ip()));
        }
    }
}

/// Nobody is refused for what they accept: whoever wants no encoding that there is gets the answer as it is, since what was
/// asked for is done by then.
fn lenient<B>(mut request: Request<B>) -> Request<B> {
    let given = request.headers().get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let given: Vec<&str> = given.collect();
    // In one line: whoever looks at the first only must still see what was given.
    let accepted = HeaderValue::try_from(format!("identity;q=0.001, {}", given.join(", ")));
    if let Ok(accepted) = accepted
        && !given.is_empty()
    {
        request.headers_mut().insert(ACCEPT_ENCODING, accepted);
    }
    request
}

/// The CORS layer for the origins that may call; `None` when none may.
fn cors(origins: &[String]) -> Option<CorsLayer> {
    if origins.is_empty() {
        return None;
    }
    let origins = if origins.iter().any(|origin| origin == "*") {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(origins.iter().filter_map(|origin| HeaderValue::try_from(origin).ok()))
    };
    let request_id = HeaderName::from_static("x-request-id");
    let layer = CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::POST, Method::PATCH, Method::DELETE])
        .allow_headers([AUTHORIZATION, CONTENT_TYPE, CONTENT_ENCODING, request_id.clone()])
        .expose_headers([ETAG, RETRY_AFTER, request_id, RELEASE, IGNORED])
        .max_age(PREFLIGHT_AGE);
    Some(layer)
}
