//! The delivery of faults to the actors, by their addresses.

use super::cell::get;
use super::fault::{Fault, Victim};
use super::mailbox::{BridgeMsg, DevicesMsg, FeedMsg, JanitorMsg, PresenceMsg, SessionsMsg};
use super::realtime::Realtime;
use super::root::RootMsg;
use super::session::mailbox::{SessionMsg, SessionRef};

impl Realtime {
    /// Has an actor panic or hang. False when there is none of that kind.
    #[must_use]
    pub fn fault(&self, victim: Victim, fault: Fault) -> bool {
        let shared = &self.shared;
        let session = |session: SessionRef| session.actor.cast(SessionMsg::Fault(fault)).is_ok();
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
