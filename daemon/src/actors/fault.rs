//! Faults on demand: what only tests, and the build that stories break, can ask of an actor.

use crate::sync::{DeviceId, UserId};

/// The fault that an actor commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Panic, as a mistake in the code would.
    Panic,
    /// Never come back from this message.
    Hang,
}

/// The actor that fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Victim {
    /// The registry of the users' sessions.
    Sessions,
    /// One user's session.
    Session(UserId),
    /// The catalogue's session.
    Catalogue,
    /// The supervisor of the devices.
    Devices,
    /// One device.
    Device(UserId, DeviceId),
    /// The feed, which asks the database for new versions.
    Feed,
    /// The way to other instances.
    Bridge,
    /// Presence, which keeps the connected devices in the database.
    Presence,
    /// The housekeeping.
    Janitor,
    /// The root of all.
    Root,
}

impl Fault {
    /// Does it. Returns only in theory.
    pub(crate) async fn happen(self) {
        match self {
            Self::Panic => panic!("a fault was asked for"),
            Self::Hang => std::future::pending().await,
        }
    }
}
