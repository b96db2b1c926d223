//! The bridge to other instances on the same database: exchanges hints about commits.
//!
//! Everything that goes over it is a hint, or as good as lost: who needs certainty asks the database. Rows, versions and ends of
//! sockets are believed from there alone; only what the database does not hold, messages of devices to each other, goes over
//! it as it is.

pub(crate) mod actor;
pub(crate) mod envelope;
pub(crate) mod heard;
mod route;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use tracing::debug;
use uuid::Uuid;

use super::cell;
use crate::carrier::{Carrier, Letter, Start, Topic, Trust};
use crate::metrics::metrics;
use crate::service::{Committed, InstanceDirectory};
use crate::sync::presence::Other;
use crate::sync::{DeviceId, Scope, UserId};
use envelope::{Addressees, Message, Passed};
use route::{Route, Ways};

/// This instance's part in the cluster: its identity, its lease, and the ways to the others.
#[derive(Clone)]
pub struct ClusterSettings {
    /// The identity of this instance, another at each start, and its trust in others.
    pub trust: Arc<Trust>,
    /// The name for people: its host and the address where it listens.
    pub name: String,
    /// The time that it counts as alive after its last renewal.
    pub lease: Duration,
    /// Redis, when it is to be used.
    pub redis: Option<Arc<dyn Start>>,
    /// The database's directory of instances, when there can be others.
    pub directory: Option<InstanceDirectory>,
}

impl ClusterSettings {
    /// An instance that is alone, as on a SQLite database.
    #[must_use]
    pub fn none() -> Self {
        let trust = Arc::new(Trust::new(Uuid::new_v4(), Uuid::new_v4().as_bytes(), ""));
        Self { trust, name: String::new(), lease: Duration::from_secs(15), redis: None, directory: None }
    }

    /// The id of this instance.
    #[must_use]
    pub fn me(&self) -> Uuid {
        self.trust.me()
    }
}

/// The shared state for messages to other instances. Outlives the actor.
pub(crate) struct Bridge {
    pub cluster: ClusterSettings,
    redis: RwLock<Option<Arc<dyn Carrier>>>,
    notices: RwLock<Option<Arc<dyn Carrier>>>,
    route: Mutex<Route>,
    /// Others may have missed something of this instance, and are to look.
    owes_hello: AtomicBool,
}

impl Bridge {
    pub(crate) fn new(cluster: ClusterSettings) -> Self {
        let route = Mutex::new(Route::new(cluster.redis.is_some()));
        let owes_hello = AtomicBool::new(true);
        Self { cluster, redis: RwLock::default(), notices: RwLock::default(), route, owes_hello }
    }

    fn route(&self) -> MutexGuard<'_, Route> {
        self.route.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state's name in `/health`.
    pub(crate) fn word(&self) -> &'static str {
        self.route().word()
    }

    /// True if messages over Redis reach this instance.
    pub(crate) fn hears_redis(&self) -> bool {
        self.route().hears_redis()
    }

    /// These other instances are alive, as the database said to whoever `asked` it then. Returns what those had said already that were not known.
    #[must_use]
    pub(crate) fn others(&self, asked: Instant, others: &[Other]) -> Vec<Letter> {
        self.route().others(others.iter().map(|other| (other.id, other.hears_redis)));
        let sealing = others.iter().filter(|other| other.seals);
        self.cluster.trust.living(asked, sealing.map(|other| other.id), others.iter().any(|other| !other.seals))
    }

    /// Tells others of a commit: that there is something, which they read from the database.
    pub(crate) fn committed(&self, commit: &Committed) {
        let table = commit.records.first().map(|record| record.table);
        let table = table.filter(|table| commit.records.iter().all(|record| record.table == *table));
        let (scope, table) = (commit.scope.to_string().into(), table.map(Into::into));
        let moved = Message::Moved { scope, version: commit.version, table };
        self.tell(Topic::Scope(commit.scope), &moved);
    }

    /// Tells others something. Never blocks; what does not fit into the queue is dropped.
    pub(crate) fn tell(&self, topic: Topic, message: &Message<'_>) {
        let ways = self.route().ways();
        if !ways.are_none() {
            self.send(ways, topic, message);
        }
    }

    /// Others may have missed something of this instance: the next renewal of the lease asks them to resync.
    pub(crate) fn owe_hello(&self) {
        self.owes_hello.store(true, Ordering::Release);
    }

    /// Tells them, if that is owed. Returns what is to be given notice of besides: those that read nothing sealed have to be
    /// told in words of their own.
    pub(crate) fn say_hello(&self) -> Option<String> {
        if !self.owes_hello.swap(false, Ordering::AcqRel) {
            return None;
        }
        self.tell(Topic::Scope(Scope::Global), &Message::Hello);
        self.cluster.trust.has_elders().then(|| envelope::plain_hello(self.cluster.me()))
    }

    /// Has clients at other instances get a message, too.
    pub(crate) fn pass(&self, to: Addressees, frame: &[u8]) {
        let ways = self.route().ways();
        if ways.are_none() {
            return;
        }
        if let Ok(frame) = serde_json::from_slice(frame) {
            let topic = Topic::Scope(to.user.map_or(Scope::Global, Scope::User));
            self.send(ways, topic, &Message::Pass(Passed { to, frame }));
        }
    }

    fn send(&self, ways: Ways, topic: Topic, message: &Message<'_>) {
        let in_redis = ways.redis && self.over(&self.redis, topic, self.written(message, false));
        if ways.notices {
            self.over(&self.notices, topic, self.written(message, in_redis));
        }
    }

    fn written(&self, message: &Message<'_>, again: bool) -> Bytes {
        envelope::write(message, again)
    }

    /// Hands a message to a carrier. False when it is dropped.
    fn over(&self, carrier: &RwLock<Option<Arc<dyn Carrier>>>, topic: Topic, message: Bytes) -> bool {
        let Some(carrier) = cell::get(carrier) else { return false };
        let is_taken = carrier.publish(topic, message);
        if !is_taken {
            metrics().bridge_dropped.inc();
            self.owe_hello();
            debug!("a message to other instances was dropped; they will resync");
        }
        is_taken
    }

    /// True if nothing is on its way to others any more.
    pub(crate) fn is_idle(&self) -> bool {
        [&self.redis, &self.notices].into_iter().filter_map(cell::get).all(|carrier| carrier.is_idle())
    }

    /// Asks for what concerns a person, or for it no more, as `is_wanted` says.
    pub(crate) fn follow(&self, user: UserId, is_wanted: &dyn Fn() -> bool) {
        if let Some(redis) = cell::get(&self.redis) {
            redis.follow(user, is_wanted);
        }
    }

    /// Ends once what others say of a person, which was asked for, is heard here; or can't be, as Redis is away.
    pub(crate) async fn followed(&self, user: UserId) {
        if let Some(redis) = cell::get(&self.redis) {
            redis.followed(user).await;
        }
    }

    /// Has others ask whether a device's socket may stay.
    pub(crate) fn doubt(&self, topic: Topic, user: UserId, device: &DeviceId) {
        self.tell(topic, &Message::Doubt { user, device: device.clone() });
    }
}
