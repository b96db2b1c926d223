//! The bridge to other instances on the same database: what was committed here is told there, and the other way round.
//!
//! Everything that goes over it is a hint, or as good as lost: who needs certainty asks the database.

mod actor;
mod envelope;
mod heard;
mod route;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use tracing::debug;
use uuid::Uuid;

use super::live;
use crate::carrier::{Carrier, LARGEST_MESSAGE, Start, Topic};
use crate::service::Committed;
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
    /// Redis, when it is to be used.
    pub redis: Option<Arc<dyn Start>>,
}

impl Neighbours {
    /// An instance that is alone, as on a SQLite database.
    #[must_use]
    pub fn none() -> Self {
        Self { me: Uuid::new_v4(), redis: None }
    }
}

/// What everybody here needs to speak to other instances. Outlives the actor.
pub(crate) struct Bridge {
    pub neighbours: Neighbours,
    redis: RwLock<Option<Arc<dyn Carrier>>>,
    route: Mutex<Route>,
    dropped: AtomicU64,
}

impl Bridge {
    pub(crate) fn new(neighbours: Neighbours) -> Self {
        let route = Mutex::new(Route::new(neighbours.redis.is_some()));
        Self { neighbours, redis: RwLock::default(), route, dropped: AtomicU64::new(0) }
    }

    fn route(&self) -> MutexGuard<'_, Route> {
        self.route.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What `/health` calls the state.
    pub(crate) fn word(&self) -> &'static str {
        self.route().word()
    }

    /// Tells others of a commit.
    pub(crate) fn committed(&self, commit: &Committed) {
        let ways = self.route().ways();
        if !ways.are_none() {
            self.send(ways, Topic::Scope(commit.scope), &envelope::of_commit(commit, LARGEST_MESSAGE));
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
        let bytes = envelope::write(self.neighbours.me, message);
        if ways.redis
            && let Some(redis) = live::held(&self.redis)
            && !redis.publish(topic, bytes)
        {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            debug!("a message to other instances was dropped; their sweep finds what it told of");
        }
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
