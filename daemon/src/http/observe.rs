//! The record of every request, apart from its content: its id, its sender, and one log line when it ended.
//! It never holds the query, which may contain a token, or a name that is too long, or any part of a body.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tower::{Service, ServiceExt};
use tracing::Instrument;
use uuid::Uuid;
use warp::http::{HeaderName, HeaderValue, Method, Request, Response};

use super::unread::Exchange;
use crate::metrics::{RequestLabels, metrics};
use crate::sync::{DeviceId, UserId};

/// The header that carries a request's id, both ways.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The header by which clients tell the daemon's own answers from those of something on the way; its value is the release.
pub(super) const RELEASE: HeaderName = HeaderName::from_static("ryzed-release");
/// The longest id that is taken over from the client.
const LONGEST_ID: usize = 64;
/// The longest part of a path that may be a name: those of devices end here, and no token is so short.
const LONGEST_NAME: usize = 64;
/// What the metrics call a request that waits for news.
const WAITING: &str = "/api/realtime/changes?wait";
/// The longest path that is written to the log.
const LONGEST_PATH: usize = 200;

/// The peer that sent the request; an extension of every request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

/// The request's id; an extension of every request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(pub Arc<str>);

/// The reason for a refusal; an extension of answers that have one. Holds no token and nothing of a row.
#[derive(Debug, Clone)]
pub(super) struct Refusal(pub Arc<str>);

/// The user and the route of a request, once they are known; an extension of every request, for its line in the log
/// and for the metrics.
#[derive(Debug, Clone, Default)]
pub struct Identity(Arc<IdentityFacts>);

#[derive(Debug, Default)]
struct IdentityFacts {
    user: OnceLock<UserId>,
    device: OnceLock<DeviceId>,
    route: OnceLock<&'static str>,
    /// What it is counted as instead, once it waits for news.
    waits: OnceLock<&'static str>,
}

impl Identity {
    /// Notes who it is. The first time counts.
    pub fn set(&self, user: UserId) {
        let _ = self.0.user.set(user);
    }

    /// True if a user was found.
    pub(super) fn is_known(&self) -> bool {
        self.0.user.get().is_some()
    }

    /// Notes the template of the route that took the request.
    pub(super) fn took(&self, route: &'static str) {
        let _ = self.0.route.set(route);
    }

    /// Notes that it waits for news: among requests that don't, it would look like a slow one.
    pub(super) fn waits(&self) {
        let _ = self.0.waits.set(WAITING);
    }

    /// Notes which of the person's devices it is.
    pub(super) fn is_device(&self, device: &DeviceId) {
        let _ = self.0.device.set(device.clone());
    }
}

/// Passes the request on and watches its answer to the end.
pub(super) async fn observe<S, B, R>(
    mut request: Request<B>,
    peer: SocketAddr,
    exchange: Exchange,
    service: S,
) -> Response<Watched<R>>
where
    S: Service<Request<B>, Response = Response<R>, Error = Infallible>,
    R: Body<Data = Bytes>,
{
    let id = id_of(&request);
    let line = AccessLine {
        id: Arc::clone(&id),
        method: request.method().clone(),
        path: shown(request.uri().path()),
        identity: Identity::default(),
        status: 0,
        refused: None,
        bytes: 0,
        start: Instant::now(),
    };
    let version = request.version();
    let extensions = request.extensions_mut();
    extensions.insert(version);
    extensions.insert(Peer(peer));
    extensions.insert(RequestId(Arc::clone(&id)));
    extensions.insert(line.identity.clone());
    let span = tracing::info_span!("request", request_id = %id);
    let mut response = match service.oneshot(request).instrument(span).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    if let Ok(id) = HeaderValue::try_from(&*id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response.headers_mut().insert(RELEASE, HeaderValue::from_static(env!("CARGO_PKG_VERSION")));
    let refused = response.extensions_mut().remove::<Refusal>();
    let line = AccessLine { status: response.status().as_u16(), refused, ..line };
    response.map(|body| Watched { body, rest: Bytes::new(), line, exchange })
}

/// The path as the log may have it: a client that mistakes an address's form puts its token into the path.
fn shown(path: &str) -> String {
    let parts = path.split('/').map(|part| if part.len() <= LONGEST_NAME { part } else { "…" });
    parts.collect::<Vec<_>>().join("/").chars().take(LONGEST_PATH).collect()
}

/// The client's id where it can be trusted to be one, else a new one.
fn id_of<B>(request: &Request<B>) -> Arc<str> {
    let well_formed = |id: &&str| {
        (1..=LONGEST_ID).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let given = request.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok()).filter(well_formed);
    given.map_or_else(|| Uuid::now_v7().to_string().into(), Into::into)
}

/// The methods that some route has. A client may invent others, and each would be a series of its own.
fn known(method: &Method) -> &'static str {
    let methods = [("GET", Method::GET), ("POST", Method::POST), ("PATCH", Method::PATCH), ("DELETE", Method::DELETE)];
    methods.iter().find(|(_, known)| known == method).map_or("other", |(name, _)| name)
}

/// The access log line of a request, written when its answer has been sent or given up.
struct AccessLine {
    id: Arc<str>,
    method: Method,
    path: String,
    identity: Identity,
    status: u16,
    refused: Option<Refusal>,
    bytes: u64,
    start: Instant,
}

impl AccessLine {
    fn write(&self) {
        let took = self.start.elapsed();
        let duration_ms = took.as_micros() as f64 / 1000.0;
        let labels = RequestLabels {
            route: self.identity.0.waits.get().or(self.identity.0.route.get()).copied().unwrap_or_default(),
            method: known(&self.method),
            status: self.status,
        };
        metrics().request(&labels, took);
        tracing::info!(
            target: "ryzed::request",
            method = %self.method,
            path = %self.path,
            status = self.status,
            duration_ms,
            bytes = self.bytes,
            request_id = %self.id,
            user_id = self.identity.0.user.get().map(tracing::field::display),
            device_id = self.identity.0.device.get().map(tracing::field::display),
            reason = self.refused.as_ref().map(|refused| &*refused.0),
        );
    }
}

/// A client is given no more at once, so that it shows whether it takes what it gets: of a single part that is given whole, the
/// library says that the answer is over.
const PIECE: usize = 64 << 10;

/// An answer's body on its way out.
pub(super) struct Watched<B> {
    body: B,
    /// The rest of a part that the client was not given yet.
    rest: Bytes,
    line: AccessLine,
    exchange: Exchange,
}

impl<B: Body<Data = Bytes> + Unpin> Body for Watched<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        self.exchange.taken(Instant::now());
        if self.rest.is_empty() {
            let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(context)?) else { return Poll::Ready(None) };
            match frame.into_data() {
                Ok(data) => self.rest = data,
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            }
        }
        let length = self.rest.len().min(PIECE);
        let piece = self.rest.split_to(length);
        self.line.bytes += length as u64;
        self.exchange.given(length, Instant::now());
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, hint) = (self.rest.len() as u64, self.body.size_hint());
        if let Some(exact) = hint.exact() {
            return SizeHint::with_exact(rest + exact);
        }
        let mut whole = SizeHint::new();
        whole.set_lower(rest + hint.lower());
        whole
    }
}

impl<B> Drop for Watched<B> {
    fn drop(&mut self) {
        self.line.write();
    }
}
