//! Faults on demand: what only tests, and the build that stories break, can ask of an actor.

use super::bridge::BridgeMsg;
use super::devices::DevicesMsg;
use super::feed::FeedMsg;
use super::janitor::JanitorMsg;
use super::presence::PresenceMsg;
use super::realtime::{Realtime, get};
use super::root::RootMsg;
use super::session::SessionMsg;
use super::sessions::SessionsMsg;
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

impl Realtime {
    /// Has an actor panic or hang. False when there is none of that kind.
    #[must_use]
    pub fn fault(&self, victim: Victim, fault: Fault) -> bool {
        let shared = &self.shared;
        let session = |session: super::session::SessionRef| session.actor.cast(SessionMsg::Fault(fault)).is_ok();
        match victim {
            Victim::Sessions => get(&shared.sessions).is_some_and(|it| it.cast(SessionsMsg::Fault(fault)).is_ok()),
            Victim::Session(user) => shared.connections.session(user).is_some_and(session),
            Victim::Catalogue => get(&shared.catalogue).is_some_and(session),
            Victim::Devices => get(&shared.devices).is_some_and(|it| it.cast(DevicesMsg::Fault(fault)).is_ok()),
            Victim::Device(user, device) => {
                shared.connections.link(user, &device).is_some()
                    && get(&shared.devices).is_some_and(|it| it.cast(DevicesMsg::Within(user, device, fault)).is_ok())
            }
            Victim::Feed => get(&shared.feed).is_some_and(|it| it.cast(FeedMsg::Fault(fault)).is_ok()),
            Victim::Bridge => get(&shared.bridge_actor).is_some_and(|it| it.cast(BridgeMsg::Fault(fault)).is_ok()),
            Victim::Presence => get(&shared.presence).is_some_and(|it| it.cast(PresenceMsg::Fault(fault)).is_ok()),
            Victim::Root => self.root.cast(RootMsg::Fault(fault)).is_ok(),
            Victim::Janitor => get(&shared.janitor).is_some_and(|it| it.cast(JanitorMsg::Fault(fault)).is_ok()),
        }
    }
}
