//! The messages of the branches below the root. Those of a single session and of a single device are beside them.

use ractor::{ActorRef, RpcReplyPort};
use uuid::Uuid;

use super::device::mailbox::{DeviceMsg, Setup};
#[cfg(any(test, feature = "faults"))]
use super::fault::Fault;
use super::session::mailbox::SessionRef;
#[cfg(any(test, feature = "faults"))]
use crate::sync::DeviceId;
use crate::sync::{Scope, UserId};

/// What the registry is asked.
pub(crate) enum SessionsMsg {
    /// The user's session; started when there is none. None while a failed one pauses.
    Open(UserId, RpcReplyPort<Option<SessionRef>>),
    /// The user's last device has gone.
    Close(UserId),
    /// The pause after a failure is over.
    Restart(UserId),
    /// It is time to see whether all get on.
    CheckHung,
    /// Fails, as a fault in the code would.
    #[cfg(any(test, feature = "faults"))]
    Fault(Fault),
}

/// What the supervisor is asked.
pub(crate) enum DevicesMsg {
    /// Start the actor of a device that has connected. None when it does not start.
    Start(Box<Setup>, RpcReplyPort<Option<ActorRef<DeviceMsg>>>),
    /// It is time to see whether all get on.
    CheckHung,
    /// Fails, as a fault in the code would.
    #[cfg(any(test, feature = "faults"))]
    Fault(Fault),
    /// Has a device fail.
    #[cfg(any(test, feature = "faults"))]
    Within(UserId, DeviceId, Fault),
}

/// What the feed is told.
pub(crate) enum FeedMsg {
    /// The time has come.
    Sweep,
    /// Somebody else wrote.
    Outside,
    /// A device of this person was revoked, as somebody says.
    Revoked(UserId),
    /// Fails, as a fault in the code would.
    #[cfg(any(test, feature = "faults"))]
    Fault(Fault),
}

/// What the bridge is told.
pub(crate) enum BridgeMsg {
    /// Redis works, or does not, and why.
    Redis(Result<(), String>),
    /// Messages of these scopes may have been missed.
    Compare(Vec<Scope>),
    /// The pause after a failed comparison is over.
    Again,
    /// A carrier's task has ended, which it never does by itself.
    Ended,
    /// Fails, as a fault in the code would.
    #[cfg(any(test, feature = "faults"))]
    Fault(Fault),
}

/// What the actor is told.
pub(crate) enum PresenceMsg {
    /// Devices have come or gone: see [`super::presence::queue::PresenceQueue`].
    Moved,
    /// It is time to renew the lease.
    Renew,
    /// The way to this instance is another, or another instance has come (which one): renew the lease now.
    RenewNow(Option<Uuid>),
    /// An instance was heard of that is not known.
    LookAround,
    /// Devices are in doubt: see [`super::presence::rumours::Rumours`].
    Doubted,
    /// It is time to compare what is connected with what the database knows.
    Compare,
    /// The same, as something may have been missed.
    Missed,
    /// Fails, as a fault in the code would.
    #[cfg(any(test, feature = "faults"))]
    Fault(Fault),
}

/// What the janitor is told.
pub(crate) enum JanitorMsg {
    /// The time has come.
    Collect,
    /// Fails, as a fault in the code would.
    #[cfg(any(test, feature = "faults"))]
    Fault(Fault),
}
