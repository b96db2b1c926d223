//! The transport of messages between instances: Redis in `redis`, PostgreSQL's notices in `notices`.
//!
//! A carrier may lose messages, and strangers may read or send some on the same channels: so it carries sealed messages
//! only, and passes on only those that [`Trust`] believes. It does not know their content.

mod clock;
mod line;
pub mod notices;
pub mod redis;
mod seal;
mod subscriptions;
mod trust;
mod window;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use uuid::Uuid;

use crate::sync::{Scope, UserId};

pub use trust::Trust;

/// The largest message, in bytes. What is larger is neither carried nor opened.
const LARGEST_MESSAGE: usize = 2 << 20;

/// To whom a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Topic {
    /// The instances that a device of this person is connected to, or all of them for the catalogue.
    Scope(Scope),
    /// One instance.
    Instance(Uuid),
}

/// A message of another instance that is alive, for the first time, and soon after it was sent.
#[derive(Debug, Clone)]
pub struct Letter {
    /// Which instance has sent it.
    pub from: Uuid,
    /// The time at which it was sent, as near as that is known.
    pub sent: Instant,
    /// The content.
    pub text: Bytes,
}

/// An event of a carrier.
#[derive(Debug)]
pub enum CarrierEvent {
    /// A message came.
    Letter(Letter),
    /// A message came that can't be believed any more, and may have told of something.
    Late,
    /// A message of an instance came that is not known here yet. It is kept until [`Trust::living`] knows more.
    Stranger,
    /// From now on messages of these topics come; what was sent before may be missing.
    Following(Vec<Topic>),
    /// It works.
    Up,
    /// It does not work any more, or still not.
    Down(String),
}

/// A receiver of carrier events; must not block.
pub type Listener = Arc<dyn Fn(CarrierEvent) + Send + Sync>;

/// A way to other instances.
#[async_trait]
pub trait Carrier: Send + Sync + 'static {
    /// Hands a message over; must not block. False when it is dropped, as the queue is full.
    fn publish(&self, topic: Topic, message: Bytes) -> bool;

    /// True if nothing waits or is on its way.
    fn is_idle(&self) -> bool;

    /// Asks for a person's messages, or asks for them no more. `is_wanted` is asked while no other call for anybody is
    /// under way, so the last one finds how it is.
    fn follow(&self, user: UserId, is_wanted: &dyn Fn() -> bool);

    /// Ends once a person's messages come, which were asked for, or can't come as the carrier is away.
    async fn followed(&self, user: UserId);
}

/// A carrier that works in a task of its own, which never ends by itself.
pub struct Started {
    /// The carrier.
    pub carrier: Arc<dyn Carrier>,
    /// Its task.
    pub task: JoinHandle<()>,
}

/// Starts a carrier, again whenever its task has failed.
pub trait Start: Send + Sync + 'static {
    /// Starts it for the instance of `trust`, subscribed to its own topic and the catalogue's from the beginning.
    fn start(&self, trust: Arc<Trust>, listener: Listener) -> Started;
}
