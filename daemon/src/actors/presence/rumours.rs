//! Rumours of other instances that only the database can confirm: that a socket here may have to be closed, that there
//! is an unknown instance. However often a rumour comes, the database is asked once.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

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

    /// Notes a device in doubt. True when it is the first since they were taken.
    pub(crate) fn doubt(&self, user: UserId, device: DeviceId) -> bool {
        self.with(|doubted| {
            let is_first = doubted.is_empty();
            doubted.insert((user, device));
            is_first
        })
    }

    /// Notes an instance that is not known. True when none was noted since it was asked who there is.
    pub(crate) fn stranger(&self) -> bool {
        !self.strangers.swap(true, Ordering::AcqRel)
    }

    /// Notes that something may have been missed. True when that was not noted since it was compared.
    pub(crate) fn missed(&self) -> bool {
        !self.missed.swap(true, Ordering::AcqRel)
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
