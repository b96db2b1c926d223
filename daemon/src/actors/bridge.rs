//! The bridge to other instances on the same database: what was committed here is told there, and the other way round.
//!
//! Everything that goes over it is a hint, or as good as lost: who needs certainty asks the database.

mod actor;
mod envelope;
mod heard;
mod route;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use tracing::debug;
use uuid::Uuid;

use super::live;
use crate::carrier::{Carrier, LARGEST_MESSAGE, Start, Topic};
use crate::metrics::metrics;
use crate::service::{Committed, Directory};
use crate::store::presence::LARGEST_NOTICE;
use crate::sync::{Scope, UserId};
pub(crate) use actor::BridgeActor;
#[cfg(any(test, feature = "faults"))]
pub(crate) use actor::BridgeMsg;
use envelope::Origin;
pub(crate) use envelope::{Addressees, Message};
use route::{Route, Ways};

/// How this instance finds others.
#[derive(Clone)]
pub struct Neighbours {
    /// Which instance this is; another at each start.
    pub me: Uuid,
    /// What people call it: its host and where it listens.
    pub name: String,
    /// How long it counts as alive after it was last heard of.
    pub lease: Duration,
    /// Redis, when it is to be used.
    pub redis: Option<Arc<dyn Start>>,
    /// What the database knows of other instances, when there can be some.
    pub directory: Option<Arc<dyn Directory>>,
}

impl Neighbours {
    /// An instance that is alone, as on a SQLite database.
    #[must_use]
    pub fn none() -> Self {
        Self { me: Uuid::new_v4(), name: String::new(), lease: Duration::from_secs(15), redis: None, directory: None }
    }
}

/// What everybody here needs to speak to other instances. Outlives the actor.
pub(crate) struct Bridge {
    pub neighbours: Neighbours,
    redis: RwLock<Option<Arc<dyn Carrier>>>,
    notices: RwLock<Option<Arc<dyn Carrier>>>,
    route: Mutex<Route>,
    /// Others may have missed something of this instance, and are to look.
    owes_hello: AtomicBool,
}

impl Bridge {
    pub(crate) fn new(neighbours: Neighbours) -> Self {
        let route = Mutex::new(Route::new(neighbours.redis.is_some()));
        let owes_hello = AtomicBool::new(true);
        Self { neighbours, redis: RwLock::default(), notices: RwLock::default(), route, owes_hello }
    }

    fn route(&self) -> MutexGuard<'_, Route> {
        self.route.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What `/health` calls the state.
    pub(crate) fn word(&self) -> &'static str {
        self.route().word()
    }

    /// Whether messages over Redis reach this instance.
    pub(crate) fn hears_redis(&self) -> bool {
        self.route().hears_redis()
    }

    /// The other instances that are alive, and whether each hears Redis.
    pub(crate) fn others(&self, others: impl IntoIterator<Item = (Uuid, bool)>) {
        self.route().others(others);
    }

    /// Tells others of a commit.
    pub(crate) fn committed(&self, commit: &Committed) {
        let (ways, topic) = (self.route().ways(), Topic::Scope(commit.scope));
        let in_redis = ways.redis
            && self.over(&self.redis, topic, self.written(&envelope::of_commit(commit, LARGEST_MESSAGE), false));
        if ways.notices {
            let mut bytes = self.written(&envelope::of_commit(commit, LARGEST_NOTICE), in_redis);
            if bytes.len() > LARGEST_NOTICE {
                bytes = self.written(&envelope::of_commit(commit, 0), in_redis);
            }
            self.over(&self.notices, topic, bytes);
        }
    }

    /// Tells others something. Never blocks; what does not fit into the queue is dropped.
    pub(crate) fn tell(&self, topic: Topic, message: &Message<'_>) {
        let ways = self.route().ways();
        if !ways.are_none() {
            self.send(ways, topic, message);
        }
    }

    /// Others may have missed something of this instance: with the next renewal of the lease they are told to look.
    pub(crate) fn owe_hello(&self) {
        self.owes_hello.store(true, Ordering::Release);
    }

    /// Tells them, if that is owed.
    pub(crate) fn say_hello(&self) {
        if self.owes_hello.swap(false, Ordering::AcqRel) {
            self.tell(Topic::Scope(Scope::Global), &Message::Hello);
        }
    }

    /// Has clients at other instances get a message, too.
    pub(crate) fn pass(&self, to: Addressees, frame: &[u8]) {
        let ways = self.route().ways();
        if ways.are_none() {
            return;
        }
        if let Ok(frame) = serde_json::from_slice(frame) {
            self.send(ways, Topic::Scope(to.user.map_or(Scope::Global, Scope::User)), &Message::Pass { to, frame });
        }
    }

    fn send(&self, ways: Ways, topic: Topic, message: &Message<'_>) {
        let in_redis = ways.redis && self.over(&self.redis, topic, self.written(message, false));
        if ways.notices {
            self.over(&self.notices, topic, self.written(message, in_redis));
        }
    }

    fn written(&self, message: &Message<'_>, again: bool) -> Bytes {
        envelope::write(Origin { from: self.neighbours.me, again }, message)
    }

    /// Hands a message to a carrier. False when it is dropped.
    fn over(&self, carrier: &RwLock<Option<Arc<dyn Carrier>>>, topic: Topic, message: Bytes) -> bool {
        let Some(carrier) = live::held(carrier) else { return false };
        let is_taken = carrier.publish(topic, message);
        if !is_taken {
            metrics().bridge_dropped.inc();
            self.owe_hello();
            debug!("a message to other instances was dropped; they are told to look");
        }
        is_taken
    }

    /// Whether nothing is on its way to others any more.
    pub(crate) fn is_idle(&self) -> bool {
        [&self.redis, &self.notices].into_iter().filter_map(live::held).all(|carrier| carrier.is_idle())
    }

    /// Asks for what concerns a person, or for it no more, as `is_wanted` says.
    pub(crate) fn follow(&self, user: UserId, is_wanted: &dyn Fn() -> bool) {
        if let Some(redis) = live::held(&self.redis) {
            redis.follow(user, is_wanted);
        }
    }

    /// The topic of a message for a person's devices.
    pub(crate) fn topic_of(user: UserId) -> Topic {
        Topic::Scope(Scope::User(user))
    }
}
