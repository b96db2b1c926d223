//! Rumours of other instances that only the database can confirm: that a socket here may have to be closed, that there
//! is an unknown instance. However often a rumour comes, the database is asked once.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use super::PresenceMsg;
use crate::actors::realtime::{self, ActorContext};
use crate::sync::{DeviceId, UserId};

/// The rumours until the actor takes them. They outlive the actor.
#[derive(Default)]
pub(crate) struct Rumours {
    /// Devices that are connected here, so there are never more than those.
    doubted: Mutex<HashSet<(UserId, DeviceId)>>,
    /// An instance is there that is not known.
    strangers: AtomicBool,
    /// True if messages about connected devices may have been missed.
    missed: AtomicBool,
}

impl Rumours {
    fn with<T>(&self, act: impl FnOnce(&mut HashSet<(UserId, DeviceId)>) -> T) -> T {
        act(&mut self.doubted.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// All devices in doubt, once.
    pub(super) fn doubted(&self) -> HashSet<(UserId, DeviceId)> {
        self.with(std::mem::take)
    }

    /// Starts a read of the instances: a message of an unknown one from here on asks for another.
    pub(super) fn look_around(&self) {
        self.strangers.store(false, Ordering::Release);
    }

    /// Starts a comparison of the connected devices: a message missed from here on asks for another.
    pub(super) fn compare(&self) {
        self.missed.store(false, Ordering::Release);
    }
}

impl ActorContext {
    /// A device may be connected elsewhere by now: asks the database, if it is connected here.
    pub(crate) fn doubt(&self, user: UserId, device: DeviceId) {
        if self.connections.link(user, &device).is_none() {
            return;
        }
        let is_first = self.rumours.with(|doubted| {
            let is_first = doubted.is_empty();
            doubted.insert((user, device));
            is_first
        });
        if is_first {
            self.tell_presence(PresenceMsg::Doubted);
        }
    }

    /// Asks who there is, if that is not about to be done.
    pub(crate) fn look_around_soon(&self) {
        if !self.rumours.strangers.swap(true, Ordering::AcqRel) {
            self.tell_presence(PresenceMsg::LookAround);
        }
    }

    /// Compares what is connected with what the database knows, if that is not about to be done.
    pub(crate) fn compare_soon(&self) {
        if !self.rumours.missed.swap(true, Ordering::AcqRel) {
            self.tell_presence(PresenceMsg::Missed);
        }
    }

    fn tell_presence(&self, message: PresenceMsg) {
        if let Some(presence) = realtime::get(&self.presence) {
            let _ = presence.cast(message);
        }
    }
}
