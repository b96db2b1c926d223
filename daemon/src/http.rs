//! The daemon's outside: every route in `routes`, what each does in a file beside it, errors in `problem`.
//!
//! Only this module knows warp. It decides nothing about data: it reads a request, asks [`Service`] and the realtime
//! layer ([`RealtimeApi`]), and writes the answer.

mod answer;
mod api;
mod body;
mod call;
mod endpoint;
mod erased;
mod gate;
mod guests;
mod headers;
mod ignored;
mod kept;
mod observe;
mod origin;
mod plain;
mod precompressed;
mod problem;
mod query;
mod realtime;
mod routes;
mod server;
pub mod socket;
mod unread;
mod write_timeout;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use crate::actors::{CloseReason, Connection, Hello, SocketGuard, Wait, Woken};
use crate::auth::Verify;
use crate::config::Config;
use crate::service::{Service, ServiceError};
use crate::sync::wire::SyncResponse;
use crate::sync::{DeviceId, UserId};

pub use api::people::People;
pub use guests::{Guest, Guests, Seat};
pub use observe::{Identity, Peer, RequestId};
pub use problem::{Kind, Problem};
pub use server::{Listening, serve};

/// The state that every handler can reach.
pub struct App {
    /// The use cases.
    pub service: Arc<Service>,
    /// The check of tokens.
    pub verifier: Arc<dyn Verify>,
    /// The connected devices.
    pub live: Arc<dyn RealtimeApi>,
    /// The connections that are there.
    pub guests: Arc<Guests>,
    /// The operator's configuration.
    pub config: Arc<Config>,
    /// The people that the demo page may make.
    pub people: People,
    /// The cached answers of the public calls.
    kept: kept::Kept,
}

impl App {
    /// All of it.
    #[must_use]
    pub fn new(
        service: Arc<Service>,
        verifier: Arc<dyn Verify>,
        live: Arc<dyn RealtimeApi>,
        guests: Arc<Guests>,
        config: Arc<Config>,
        people: People,
    ) -> Arc<Self> {
        Arc::new(Self { service, verifier, live, guests, config, people, kept: kept::Kept::default() })
    }
}

/// The filter that takes WebSockets; it answers its own path only.
pub type SocketFilter = BoxedFilter<(Response,)>;

/// The interface of REST to the realtime layer.
#[async_trait]
pub trait RealtimeApi: Send + Sync + 'static {
    /// The user's devices that have a socket, or a request that waits.
    async fn online(&self, user: UserId) -> Vec<DeviceId>;
    /// Connects a device that only listens, and counts it until the guard is dropped.
    async fn connect(&self, hello: Hello, verify: Arc<dyn Verify>) -> Result<(Connection, SocketGuard), CloseReason>;
    /// Waits for news.
    async fn wait(&self, wait: Wait) -> Result<Woken, ServiceError>;
    /// How many there are of everything here.
    fn counts(&self) -> Counts;
    /// Counts the sockets of other instances.
    async fn connections_on_other_instances(&self) -> usize;
    /// Lists the connected users, over all instances.
    async fn active_users(&self) -> Vec<ActiveUser>;
    /// Sends `sync_triggered` to the user's devices but `from`; how many it reached.
    async fn trigger_sync(&self, user: UserId, from: Option<&DeviceId>) -> usize;
    /// A device has synced; if that is of note: `sync_completed` to its own socket, `other_device_synced` to the user's other
    /// ones.
    async fn synced(&self, user: UserId, device: &DeviceId, answer: &SyncResponse, full: bool);
    /// The device was revoked: its socket closes with 4403, and so do those that came with a token of it.
    async fn close_device(&self, user: UserId, device: &DeviceId);
    /// Sends `message` to those of the user's devices that receive `topic`, or to all of them; how many it reached.
    /// A catalogue topic reaches everybody's.
    async fn test_broadcast(&self, user: UserId, message: &str, topic: Option<&str>) -> usize;
    /// The state of the way to other instances: `redis`, `degraded`, `postgres` or `none`.
    fn bridge(&self) -> &'static str;
    /// Has an actor fail. False when there is none of that kind.
    #[cfg(feature = "faults")]
    fn fault(&self, _victim: crate::actors::Victim, _fault: crate::actors::Fault) -> bool {
        false
    }
    /// True once the daemon is about to end.
    fn is_draining(&self) -> bool;
    /// Closes every socket with 1012, spread over most of `window`, and returns when they are closed or it is over.
    async fn drain(&self, window: Duration);
    /// Ends the realtime layer, once no request is left.
    async fn stop(&self);
}

/// The numbers of connected users and devices.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Sockets.
    pub connections: usize,
    /// People with at least one.
    pub users: usize,
}

/// A person who is connected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ActiveUser {
    /// The user.
    pub user_id: UserId,
    /// With how many devices.
    pub devices: usize,
}

#[cfg(test)]
mod tests;
