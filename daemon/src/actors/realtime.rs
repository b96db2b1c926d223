//! [`Realtime`]: the handle by which everybody else speaks to the actors. Cheap to clone; nothing in it blocks.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::{DateTime, Utc};
use ractor::{Actor, ActorRef};
use serde_json::value::RawValue;
use tokio::sync::watch;

use super::backend::Backend;
use super::bridge::ClusterSettings;
use super::bridge::envelope::{Addressees, Message};
use super::cell::get;
use super::close::CloseReason;
use super::context::{ActorContext, HANG_TIMEOUT_SHARES, RealtimeSettings};
use super::janitor::Housekeeping;
use super::link::Link;
use super::mailbox::SessionsMsg;
use super::message::ServerMessage;
use super::root::{Root, RootMsg};
use super::session::mailbox::{SessionMsg, SessionRef, Subscriber};
use super::timeout_backend::TimeoutBackend;
use super::waiter::Waiter;
use crate::backoff::Backoff;
use crate::budget::Budget;
use crate::carrier::Topic;
use crate::config::Limits;
use crate::service::{Committed, Hints, Service};
use crate::sync::wire::SyncResponse;
use crate::sync::{DeviceId, Scope, UserId};

/// The number of tries to reach an actor that is being restarted.
const ATTEMPTS: u32 = 8;
/// The pauses after these.
const PAUSES: Backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(1280));

/// The actors could not be started.
#[derive(Debug, thiserror::Error)]
#[error("the actors could not be started: {0}")]
pub struct StartError(String);

/// The numbers of connected users and devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Sockets.
    pub connections: usize,
    /// People with at least one.
    pub users: usize,
}

/// The realtime layer of the daemon.
#[derive(Clone)]
pub struct Realtime {
    pub(crate) shared: Arc<ActorContext>,
    pub(super) root: ActorRef<RootMsg>,
    /// Closed when the root has ended.
    pub(super) root_ended: watch::Receiver<()>,
}

impl Realtime {
    /// Starts the actors for `service`, which tells them of its commits from now on.
    ///
    /// # Errors
    /// When an actor does not start.
    pub async fn start(
        service: Arc<Service>,
        housekeeping: Arc<dyn Housekeeping>,
        settings: RealtimeSettings,
        cluster: ClusterSettings,
    ) -> Result<Self, StartError> {
        let backend = Arc::clone(&service) as Arc<dyn Backend>;
        let live = Self::start_with(backend, housekeeping, settings, cluster).await?;
        service.set_hints(Arc::new(live.clone()));
        Ok(live)
    }

    /// The same for any backend, which has to be told by its maker whom to give hints to.
    ///
    /// # Errors
    /// When an actor does not start.
    pub async fn start_with(
        backend: Arc<dyn Backend>,
        housekeeping: Arc<dyn Housekeeping>,
        settings: RealtimeSettings,
        cluster: ClusterSettings,
    ) -> Result<Self, StartError> {
        let backend: Arc<dyn Backend> =
            Arc::new(TimeoutBackend::new(backend, settings.hang_timeout / HANG_TIMEOUT_SHARES));
        let shared = Arc::new(ActorContext::new(backend, settings, cluster));
        let arguments = (Arc::clone(&shared), housekeeping);
        let started = Root::spawn(None, Root, arguments).await;
        let (root, task) = started.map_err(|error| StartError(error.to_string()))?;
        let (runs, root_ended) = watch::channel(());
        tokio::spawn(async move {
            let _ = task.await;
            drop(runs);
        });
        Ok(Self { shared, root, root_ended })
    }

    /// The user's devices that have a socket, or a request that waits and names them.
    #[must_use]
    pub fn online(&self, user: UserId) -> Vec<DeviceId> {
        let roster = &self.shared.connections;
        let mut online: Vec<_> = roster.links(Scope::User(user)).iter().map(|link| link.device.clone()).collect();
        let polling = roster.waiters(Scope::User(user)).into_iter().filter_map(|waiter| waiter.device.clone());
        online.extend(polling);
        online.sort_unstable();
        online.dedup();
        online
    }

    /// True if one device is connected.
    #[must_use]
    pub fn is_online(&self, user: UserId, device: &DeviceId) -> bool {
        self.shared.connections.link(user, device).is_some()
    }

    /// The state of the way to other instances: `redis`, `degraded`, `postgres` or `none`.
    #[must_use]
    pub fn bridge(&self) -> &'static str {
        self.shared.bridge.word()
    }

    /// The bounds.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        self.shared.backend.limits()
    }

    /// Hears what time it is for a person's device.
    pub fn hear_clock(&self, user: UserId, theirs: DateTime<Utc>) {
        self.shared.backend.hear_clock(user, theirs);
    }

    /// What is left of them.
    #[must_use]
    pub fn budget(&self) -> &Arc<Budget> {
        self.shared.backend.budget()
    }

    /// The numbers of connections and users.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let (connections, users) = self.shared.connections.count();
        Counts { connections, users }
    }

    /// Everybody with a connected device.
    #[must_use]
    pub fn active_users(&self) -> Vec<(UserId, Vec<DeviceId>)> {
        self.shared.connections.users()
    }

    /// Asks the user's devices to sync, but not the one that wants them to. Returns how many were asked.
    pub fn trigger_sync(&self, user: UserId, from: Option<&DeviceId>) -> usize {
        self.shared.trigger_sync(user, from)
    }

    /// A device has synced over REST: tells the user's others and its own socket, if that is of note.
    pub fn synced(&self, user: UserId, device: &DeviceId, answer: &SyncResponse, full: bool) {
        let Some(changes_count) = self.shared.synced(user, device, answer, full) else { return };
        let completed = self.shared.encoded(&ServerMessage::SyncCompleted { device_id: device, changes_count });
        match self.shared.connections.link(user, device) {
            Some(link) => link.message(completed),
            None => {
                let to = Addressees { user: Some(user), only: Some(device.clone()), ..Addressees::default() };
                self.shared.bridge.pass(to, &completed);
            }
        }
    }

    /// Closes the socket of a device that was revoked, wherever it is, and those that came with what is refused since.
    pub fn revoked(&self, user: UserId, device: &DeviceId) {
        if let Some(link) = self.shared.connections.link(user, device) {
            link.close(CloseReason::Revoked);
        }
        self.shared.look_at_devices_of(user);
        self.shared.bridge.tell(Topic::Scope(Scope::User(user)), &Message::Revoked { user });
    }

    /// Sends a `broadcast` to the user's devices, or to those that receive `topic`. Returns to how many.
    pub fn test_broadcast(&self, user: UserId, message: &RawValue, topic: Option<&str>) -> usize {
        let (scope, table) = match topic.map(split_topic) {
            None => (Scope::User(user), None),
            Some(Some((scope, table))) => (scope, Some(table)),
            Some(None) => return 0,
        };
        if scope != Scope::Global && scope != Scope::User(user) {
            return 0;
        }
        let bytes = self.shared.encoded(&ServerMessage::Broadcast {
            event: "test",
            payload: Some(message),
            source_device: None,
        });
        let to = Addressees {
            user: (scope != Scope::Global).then_some(user),
            table: table.map(ToOwned::to_owned),
            ..Addressees::default()
        };
        self.shared.bridge.pass(to, &bytes);
        let links = self.shared.connections.links(scope);
        let receive = links.iter().filter(|link| table.is_none_or(|table| link.outbox().wants(table)));
        receive.map(|link| link.message(bytes.clone())).count()
    }

    /// Somebody else wrote to the database.
    pub fn outside_write(&self) {
        self.shared.request_resync();
    }

    /// From now on no device is let in, and nobody waits.
    pub(crate) fn begin_to_drain(&self) {
        self.shared.draining.send_replace(true);
        self.shared.connections.waiters(Scope::Global).iter().for_each(|waiter| waiter.send_away());
    }

    /// The number of sockets, also those that have not authenticated yet.
    pub(crate) fn sockets(&self) -> usize {
        self.shared.sockets.load(Ordering::Acquire)
    }

    /// Becomes true when the daemon stops.
    #[must_use]
    pub fn draining(&self) -> watch::Receiver<bool> {
        self.shared.draining.subscribe()
    }

    /// Counts a socket until the guard is dropped, so that a drain waits for it.
    #[must_use]
    pub fn socket(&self) -> SocketGuard {
        self.shared.sockets.fetch_add(1, Ordering::AcqRel);
        SocketGuard(Arc::clone(&self.shared))
    }

    pub(crate) fn next_link(&self) -> u64 {
        self.shared.next_link.fetch_add(1, Ordering::Relaxed)
    }

    /// Makes sure that both sessions hand on to this device what is committed from now on.
    pub(crate) async fn attach(&self, link: &Arc<Link>) -> Result<(), CloseReason> {
        self.subscribe(link.user, Subscriber::Device(Arc::clone(link))).await
    }

    /// The same for a request that waits.
    pub(super) async fn attach_waiter(&self, waiter: &Arc<Waiter>) -> Result<(), CloseReason> {
        self.subscribe(waiter.user, Subscriber::Request(Arc::clone(waiter))).await
    }

    async fn subscribe(&self, user: UserId, subscriber: Subscriber) -> Result<(), CloseReason> {
        for scope in [Scope::User(user), Scope::Global] {
            self.attach_to(scope, &subscriber).await?;
        }
        Ok(())
    }

    async fn attach_to(&self, scope: Scope, subscriber: &Subscriber) -> Result<(), CloseReason> {
        let mut backoff = PAUSES;
        for _ in 0..ATTEMPTS {
            if let Some(session) = self.session(scope).await {
                let attached = async { ractor::call!(session.actor, SessionMsg::Attach, subscriber.clone()).ok() };
                match self.shared.in_time(attached).await {
                    Some(true) => return Ok(()),
                    Some(false) => return Err(CloseReason::TryLater),
                    // It has just failed, and is being started again.
                    None => {}
                }
            }
            tokio::time::sleep(backoff.pause()).await;
        }
        Err(CloseReason::TryLater)
    }

    /// The session of a scope; a user's is started when it does not run.
    async fn session(&self, scope: Scope) -> Option<SessionRef> {
        let Scope::User(user) = scope else { return get(&self.shared.catalogue) };
        if let Some(session) = self.shared.connections.session(user) {
            return Some(session);
        }
        let sessions = get(&self.shared.sessions)?;
        self.shared.in_time(async { ractor::call!(sessions, SessionsMsg::Open, user).ok().flatten() }).await
    }
}

impl Hints for Realtime {
    fn committed(&self, commit: Committed) {
        self.shared.bridge.committed(&commit);
        if let Some(session) = self.shared.session_of(commit.scope) {
            session.committed(commit);
        }
    }

    fn others_may_have_moved(&self) {
        self.shared.request_resync();
        self.shared.bridge.tell(Topic::Scope(Scope::Global), &Message::Resync);
    }
}

/// Counts one socket; see [`Realtime::socket`].
pub struct SocketGuard(Arc<ActorContext>);

impl Drop for SocketGuard {
    fn drop(&mut self) {
        self.0.sockets.fetch_sub(1, Ordering::AcqRel);
    }
}

fn split_topic(topic: &str) -> Option<(Scope, &str)> {
    let (scope, table) = topic.rsplit_once(':')?;
    Some((scope.parse().ok()?, table))
}
