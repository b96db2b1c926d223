//! The realtime layer: the connected devices, and the messages to them. Knows no HTTP library and no database.
//!
//! ```text
//! Root ── restarts what fails, with a growing pause; one branch never takes another down
//!  ├─ Sessions ── starts a user's Session with the first device, lets it go after the last
//!  │    └─ Session (one a user) ── brings the scope's changes into order, fills holes, fans out
//!  ├─ Catalogue ── a Session for the scope `global` and every device
//!  ├─ Devices ── supervises the Device actors, apart from the sessions so that neither ends the other
//!  │    └─ Device (one a connected device) ── heartbeat, token, rate limit, its own requests
//!  ├─ Bridge ── exchanges hints with other instances on the same database
//!  ├─ Presence ── keeps the connected devices and this instance's lease in the database
//!  ├─ Feed ── reads the scopes' versions: every sweep, and after a write from outside
//!  └─ Janitor ── calls the housekeeping every few minutes
//! ```
//!
//! An actor that fails, or is busy with one thing for too long (`pulse`), is replaced by its supervisor. No actor waits
//! for the database (`timeout_backend`) or for another actor for as long as that.
//!
//! State that outlives a failing actor is shared: the `connection_registry` and each device's `link` with its
//! bounded `outbox`. Mailboxes carry hints and small questions, never a backlog of payloads.
//! Everything here may be lost at any moment: the database is the truth, and a client resumes from its cursor.

mod admission;
mod backend;
mod backoff;
mod bridge;
mod cell;
mod close;
mod cluster;
mod connection;
mod connection_registry;
mod context;
mod device;
mod devices;
mod drain;
#[cfg(any(test, feature = "faults"))]
mod fault;
#[cfg(any(test, feature = "faults"))]
mod fault_delivery;
mod feed;
mod frame;
mod janitor;
mod link;
mod mailbox;
mod message;
mod outbox;
mod presence;
mod pulse;
mod realtime;
mod replay;
mod root;
mod session;
mod sessions;
mod siblings;
mod stopped;
mod timeout_backend;
mod waiter;
mod waiting;

#[cfg(test)]
pub(crate) mod tests;

pub use backend::Backend;
pub use bridge::ClusterSettings;
pub use close::CloseReason;
pub use connection::{Connection, Hello};
pub use context::RealtimeSettings;
pub use device::mailbox::{Answer, Input};
pub use device::{token_of, unread_of_auth};
#[cfg(any(test, feature = "faults"))]
pub use fault::{Fault, Victim};
pub use frame::encode as encode_change;
pub use janitor::Housekeeping;
pub use link::Link;
pub use outbox::Outgoing;
pub use realtime::{Counts, Realtime, SocketGuard, StartError};
pub use replay::{Replay, ReplayPage};
pub use waiting::{Wait, Woken};
