//! The context of every actor: the settings, the addresses of the others, and what outlives each of them.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use ractor::ActorRef;
use tokio::sync::watch;
use uuid::Uuid;

use super::backend::Backend;
use super::bridge::{Bridge, ClusterSettings};
use super::cell::get;
use super::connection_registry::ConnectionRegistry;
#[cfg(any(test, feature = "faults"))]
use super::mailbox::{BridgeMsg, JanitorMsg};
use super::mailbox::{DevicesMsg, FeedMsg, PresenceMsg, SessionsMsg};
use super::message::{self, ServerMessage};
use super::presence::{queue::PresenceQueue, rumours::Rumours};
use super::session::mailbox::{SessionMsg, SessionRef};
use crate::sync::{DeviceId, Scope, UserId, Version};

/// The database, and other actors, are waited for no longer than this part of an actor's own time.
pub(crate) const HANG_TIMEOUT_SHARES: u32 = 2;

/// The actors' own times.
#[derive(Debug, Clone)]
pub struct RealtimeSettings {
    /// The time within which a client is expected to say something.
    pub heartbeat: Duration,
    /// The time between two sweeps, which ask the database for the versions of the scopes.
    pub sweep: Duration,
    /// The time between two runs of the housekeeping.
    pub housekeeping: Duration,
    /// How long an actor may be busy with one thing before it is taken for hung and replaced.
    pub hang_timeout: Duration,
}

impl Default for RealtimeSettings {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(30),
            sweep: Duration::from_secs(30),
            housekeeping: Duration::from_secs(300),
            hang_timeout: Duration::from_secs(60),
        }
    }
}

/// What all actors share, and what outlives each of them.
pub(crate) struct ActorContext {
    pub backend: Arc<dyn Backend>,
    pub settings: RealtimeSettings,
    pub connections: ConnectionRegistry,
    pub bridge: Bridge,
    pub catalogue: RwLock<Option<SessionRef>>,
    pub sessions: RwLock<Option<ActorRef<SessionsMsg>>>,
    pub devices: RwLock<Option<ActorRef<DevicesMsg>>>,
    pub feed: RwLock<Option<ActorRef<FeedMsg>>>,
    #[cfg(any(test, feature = "faults"))]
    pub bridge_actor: RwLock<Option<ActorRef<BridgeMsg>>>,
    #[cfg(any(test, feature = "faults"))]
    pub janitor: RwLock<Option<ActorRef<JanitorMsg>>>,
    pub presence: RwLock<Option<ActorRef<PresenceMsg>>>,
    pub moves: PresenceQueue,
    pub rumours: Rumours,
    /// An outside write was told and not yet looked for.
    pub outside: AtomicBool,
    /// Anything that other instances said may have been missed, and was not yet looked for.
    pub missed: AtomicBool,
    pub stopped_tables: RwLock<Vec<&'static str>>,
    /// Requests that wait.
    pub polls: AtomicUsize,
    pub sockets: AtomicUsize,
    pub next_link: AtomicU64,
    pub draining: watch::Sender<bool>,
}

impl ActorContext {
    /// The context of actors that have not been started.
    pub(crate) fn new(backend: Arc<dyn Backend>, settings: RealtimeSettings, cluster: ClusterSettings) -> Self {
        Self {
            backend,
            settings,
            connections: if cluster.directory.is_some() {
                ConnectionRegistry::silent()
            } else {
                ConnectionRegistry::default()
            },
            bridge: Bridge::new(cluster),
            catalogue: RwLock::default(),
            sessions: RwLock::default(),
            devices: RwLock::default(),
            feed: RwLock::default(),
            #[cfg(any(test, feature = "faults"))]
            bridge_actor: RwLock::default(),
            #[cfg(any(test, feature = "faults"))]
            janitor: RwLock::default(),
            presence: RwLock::default(),
            moves: PresenceQueue::default(),
            rumours: Rumours::default(),
            outside: AtomicBool::new(false),
            missed: AtomicBool::new(false),
            stopped_tables: RwLock::default(),
            polls: AtomicUsize::new(0),
            sockets: AtomicUsize::new(0),
            next_link: AtomicU64::new(1),
            draining: watch::Sender::new(false),
        }
    }

    /// Has the feed look where the scopes are.
    pub(crate) fn request_resync(&self) {
        if !self.outside.swap(true, Ordering::AcqRel)
            && let Some(feed) = get(&self.feed)
        {
            let _ = feed.cast(FeedMsg::Outside);
        }
    }

    /// Has everything looked for that other instances may have said unheard: where the scopes are, who may not stay, and who
    /// has connected elsewhere.
    pub(crate) fn missed_something(&self) {
        self.missed.store(true, Ordering::Release);
        self.request_resync();
        self.compare_soon();
    }

    /// What another actor answers, unless it takes so long that the one who asks would be taken for hung.
    pub(crate) async fn in_time<T>(&self, answer: impl Future<Output = Option<T>>) -> Option<T> {
        let patience = self.settings.hang_timeout / HANG_TIMEOUT_SHARES;
        tokio::time::timeout(patience, answer).await.ok().flatten()
    }

    /// The session of a scope, if it runs.
    pub(crate) fn session_of(&self, scope: Scope) -> Option<SessionRef> {
        match scope {
            Scope::Global => get(&self.catalogue),
            Scope::User(user) => self.connections.session(user),
        }
    }

    /// A device may be connected elsewhere by now: asks the database, if it is connected here.
    pub(crate) fn doubt(&self, user: UserId, device: DeviceId) {
        if self.connections.link(user, &device).is_none() {
            return;
        }
        if self.rumours.doubt(user, device) {
            self.tell_presence(PresenceMsg::Doubted);
        }
    }

    /// Asks who there is, if that is not about to be done.
    pub(crate) fn look_around_soon(&self) {
        if self.rumours.stranger() {
            self.tell_presence(PresenceMsg::LookAround);
        }
    }

    /// Compares what is connected with what the database knows, if that is not about to be done.
    pub(crate) fn compare_soon(&self) {
        if self.rumours.missed() {
            self.tell_presence(PresenceMsg::Missed);
        }
    }

    fn tell_presence(&self, message: PresenceMsg) {
        if let Some(presence) = get(&self.presence) {
            let _ = presence.cast(message);
        }
    }

    /// Has the lease renewed at once: the way to this instance is another now, or somebody has come.
    pub(crate) fn renew_now(&self, newcomer: Option<Uuid>) {
        self.tell_presence(PresenceMsg::RenewNow(newcomer));
    }

    pub(crate) fn encoded(&self, message: &ServerMessage<'_>) -> bytes::Bytes {
        message::encode(message, self.backend.now())
    }

    /// Waits until everything up to `version` was put into the outboxes.
    pub(crate) async fn settled(&self, scope: Scope, version: Version) {
        if let Some(session) = self.session_of(scope) {
            // Late or failed: the answer comes before the changes, and the versions still tell.
            let _ = self.in_time(async { ractor::call!(session.actor, SessionMsg::Settled, version).ok() }).await;
        }
    }
}
