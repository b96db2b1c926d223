//! The bridge to other instances on the same database: what was committed here is told there, and the other way round.
//!
//! Everything that goes over it is a hint, or as good as lost: who needs certainty asks the database.

mod actor;
mod envelope;
mod heard;
mod route;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use tracing::debug;
use uuid::Uuid;

use super::live;
use crate::carrier::{Carrier, LARGEST_MESSAGE, Start, Topic};
use crate::service::{Committed, Directory};
use crate::store::presence::LARGEST_NOTICE;
use crate::sync::{Scope, UserId};
pub(crate) use actor::BridgeActor;
#[cfg(any(test, feature = "faults"))]
pub(crate) use actor::BridgeMsg;
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
    dropped: AtomicU64,
}

impl Bridge {
    pub(crate) fn new(neighbours: Neighbours) -> Self {
        let route = Mutex::new(Route::new(neighbours.redis.is_some()));
        Self { neighbours, redis: RwLock::default(), notices: RwLock::default(), route, dropped: AtomicU64::new(0) }
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
        if ways.redis {
            self.over(&self.redis, topic, self.written(&envelope::of_commit(commit, LARGEST_MESSAGE)));
        }
        if ways.notices {
            let mut bytes = self.written(&envelope::of_commit(commit, LARGEST_NOTICE));
            if bytes.len() > LARGEST_NOTICE {
                bytes = self.written(&envelope::of_commit(commit, 0));
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
        let bytes = self.written(message);
        if ways.redis {
            self.over(&self.redis, topic, bytes.clone());
        }
        if ways.notices {
            self.over(&self.notices, topic, bytes);
        }
    }

    fn written(&self, message: &Message<'_>) -> Bytes {
        envelope::write(self.neighbours.me, message)
    }

    fn over(&self, carrier: &RwLock<Option<Arc<dyn Carrier>>>, topic: Topic, message: Bytes) {
        if let Some(carrier) = live::held(carrier)
            && !carrier.publish(topic, message)
        {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            debug!("a message to other instances was dropped; their sweep finds what it told of");
        }
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
