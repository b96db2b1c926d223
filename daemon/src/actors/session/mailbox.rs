//! The address of a session, its messages, and the account of those that wait for it.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ractor::{ActorRef, RpcReplyPort};

#[cfg(any(test, feature = "faults"))]
use crate::actors::fault::Fault;
use crate::actors::link::Link;
use crate::actors::pulse::Pulse;
use crate::actors::waiter::Waiter;
use crate::service::Committed;
use crate::sync::{ChangeRecord, Scope, Version};

/// What may wait in a session's mailbox, in bytes of changes; beyond it only the version is told.
const MAILBOX_BYTES: usize = 256 << 10;

/// What a session is told.
pub(crate) enum SessionMsg {
    /// The scope has moved, and these are the changes.
    Committed(Committed),
    /// The scope may have moved: see [`Backlog::hinted`].
    Check,
    /// A device has come. Answered once it will get everything beyond what was handed on before; false when the
    /// database could not be asked where that is.
    Attach(Subscriber, RpcReplyPort<bool>),
    /// Answered once everything up to this version was handed on, or could not be.
    Settled(Version, RpcReplyPort<()>),
    /// Fails, as a fault in the code would.
    #[cfg(any(test, feature = "faults"))]
    Fault(Fault),
}

/// Who is to hear of changes.
#[derive(Debug, Clone)]
pub(crate) enum Subscriber {
    /// A device with a socket.
    Device(Arc<Link>),
    /// A request that waits.
    Request(Arc<Waiter>),
}

impl Subscriber {
    pub(super) fn joined(&self, scope: Scope, version: Version) {
        match self {
            Self::Device(link) => link.joined(scope, version),
            Self::Request(waiter) => waiter.joined(scope, version),
        }
    }
}

/// How a session is reached. Cheap to clone.
#[derive(Clone)]
pub(crate) struct SessionRef {
    pub actor: ActorRef<SessionMsg>,
    pub pulse: Pulse,
    pub(super) backlog: Arc<Backlog>,
}

/// What waits for a session, so that its mailbox stays small however fast commits come.
#[derive(Default)]
pub(super) struct Backlog {
    pub(super) bytes: AtomicUsize,
    /// How far the scope is, by the database or a commit of this instance; nobody else's word is kept.
    pub(super) hinted: AtomicI64,
    /// Somebody else says that there is more: the database is to be asked, once for all who have said so by then.
    told: Mutex<Option<Guess>>,
    pub(super) checking: AtomicBool,
    pub(super) last: AtomicI64,
}

/// The one table whose rows are likely to be read; none when they may be of several.
pub(super) type Guess = Option<&'static str>;

impl Backlog {
    pub(super) fn told(&self) -> MutexGuard<'_, Option<Guess>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SessionRef {
    /// Tells of a commit; never blocks.
    pub(crate) fn committed(&self, commit: Committed) {
        let size: usize = commit.records.iter().map(ChangeRecord::size).sum();
        let waits = self.backlog.bytes.load(Ordering::Relaxed);
        if commit.records.is_empty() || waits + size > MAILBOX_BYTES {
            self.moved(commit.version);
            return;
        }
        self.backlog.bytes.fetch_add(size, Ordering::Relaxed);
        // A session that has just died is started again and reads what it lacks.
        let _ = self.actor.cast(SessionMsg::Committed(commit));
    }

    /// Tells that the scope stands at `version`, at least. False when everything up to there was handed on.
    pub(crate) fn moved(&self, version: Version) -> bool {
        if version <= self.backlog.last.load(Ordering::Acquire) {
            return false;
        }
        self.backlog.hinted.fetch_max(version, Ordering::AcqRel);
        self.check();
        true
    }

    /// Another instance says that the scope stands at `version`, at least, after changes of `table`. Whatever it is, it only
    /// makes the session look.
    pub(crate) fn told(&self, version: Version, table: Guess) {
        if version > self.backlog.last.load(Ordering::Acquire) {
            let mut told = self.backlog.told();
            *told = Some(table.filter(|_| told.is_none_or(|former| former == table)));
            drop(told);
            self.check();
        }
    }

    fn check(&self) {
        if !self.backlog.checking.swap(true, Ordering::AcqRel) {
            let _ = self.actor.cast(SessionMsg::Check);
        }
    }
}
