//! The connected devices. Shared by all actors, so that one that is started again finds its devices here.
//!
//! The lock is held for moments only. Order of locks: the registry's, then a link's; never the other way round.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use chrono::{DateTime, Utc};

use super::close::CloseReason;
use super::link::Link;
use super::message::{self, ServerMessage};
use super::session::mailbox::SessionRef;
use super::waiter::Waiter;
use crate::sync::{DeviceId, Scope, UserId};

/// Every connected device, by user, and the users' sessions.
#[derive(Default)]
pub(crate) struct ConnectionRegistry {
    people: Mutex<HashMap<UserId, UserEntry>>,
    /// Somebody else tells who has come and gone, and may know more.
    is_silent: bool,
}

/// The result of taking a device off the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    /// A newer socket of it is there.
    Replaced,
    /// Others of the user's are there.
    Gone,
    /// It was the user's last.
    Last,
}

#[derive(Default)]
struct UserEntry {
    links: Vec<Arc<Link>>,
    waiters: Vec<Arc<Waiter>>,
    /// Somebody waited a moment ago, and is expected again.
    lingers: bool,
    session: Option<SessionRef>,
}

impl UserEntry {
    /// True while anybody hears of their changes.
    fn is_here(&self) -> bool {
        !self.links.is_empty() || !self.waiters.is_empty() || self.lingers
    }
}

impl ConnectionRegistry {
    /// One that tells nobody who has come and gone.
    pub(crate) fn silent() -> Self {
        Self { is_silent: true, ..Self::default() }
    }

    fn people(&self) -> MutexGuard<'_, HashMap<UserId, UserEntry>> {
        self.people.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a device. An older socket of the same device is closed; to the others the device comes online.
    pub(crate) fn join(&self, link: &Arc<Link>, now: DateTime<Utc>) {
        let mut people = self.people();
        let links = &mut people.entry(link.user).or_default().links;
        match links.iter_mut().find(|other| other.device == link.device) {
            Some(older) => {
                older.close(CloseReason::Replaced);
                *older = Arc::clone(link);
            }
            None => {
                self.announce(links, link, true, now);
                links.push(Arc::clone(link));
            }
        }
    }

    /// Takes a device away, unless a newer socket of it came in between.
    pub(crate) fn leave(&self, link: &Link, now: DateTime<Utc>) -> Left {
        let mut people = self.people();
        let Some(person) = people.get_mut(&link.user) else { return Left::Replaced };
        let Some(place) = person.links.iter().position(|other| other.id == link.id) else { return Left::Replaced };
        person.links.swap_remove(place);
        self.announce(&person.links, link, false, now);
        if person.is_here() { Left::Gone } else { Left::Last }
    }

    /// Under the registry's lock, so that what the others hear last is how it is.
    fn announce(&self, others: &[Arc<Link>], link: &Link, is_online: bool, now: DateTime<Utc>) {
        if others.is_empty() || self.is_silent {
            return;
        }
        let device_type = link.device_type.as_deref();
        let presence = ServerMessage::Presence { device_id: &link.device, device_type, is_online };
        let bytes = message::encode(&presence, now);
        others.iter().for_each(|other| other.message(bytes.clone()));
    }

    /// Forgets a user without devices; gives back the session that nobody needs any more.
    pub(crate) fn remove_if_idle(&self, user: UserId) -> Option<SessionRef> {
        let mut people = self.people();
        if people.get(&user).is_some_and(|person| !person.is_here()) {
            return people.remove(&user)?.session;
        }
        None
    }

    /// The user's session, if it runs.
    pub(crate) fn session(&self, user: UserId) -> Option<SessionRef> {
        self.people().get(&user)?.session.clone()
    }

    /// Notes the user's session. False when the user has no devices any more.
    pub(crate) fn set_session(&self, user: UserId, session: Option<SessionRef>) -> bool {
        let mut people = self.people();
        let Some(person) = people.get_mut(&user) else { return false };
        person.session = session;
        person.is_here()
    }

    /// The sessions have all ended: they will be started again.
    pub(crate) fn forget_sessions(&self) {
        self.people().retain(|_, person| {
            person.session = None;
            person.is_here()
        });
    }

    /// The devices that read a scope.
    pub(crate) fn links(&self, scope: Scope) -> Vec<Arc<Link>> {
        let people = self.people();
        match scope {
            Scope::Global => people.values().flat_map(|person| &person.links).cloned().collect(),
            Scope::User(user) => people.get(&user).map(|person| person.links.clone()).unwrap_or_default(),
        }
    }

    /// True if the user has a device here, or a request that waits.
    pub(crate) fn has(&self, user: UserId) -> bool {
        self.people().get(&user).is_some_and(UserEntry::is_here)
    }

    /// Adds a request that waits; an older one of the same device ends. False when `most` of the user's wait already.
    pub(super) fn wait(&self, waiter: &Arc<Waiter>, most: usize) -> bool {
        let mut people = self.people();
        let person = people.entry(waiter.user).or_default();
        let older = |other: &Arc<Waiter>| waiter.device.is_some() && other.device == waiter.device;
        if let Some(place) = person.waiters.iter().position(older) {
            person.waiters.swap_remove(place).send_away();
        }
        let fits = person.waiters.len() < most;
        if fits {
            person.waiters.push(Arc::clone(waiter));
        } else if !person.is_here() && person.session.is_none() {
            people.remove(&waiter.user);
        }
        fits
    }

    /// Takes a request away. True when the user has nobody left and is kept for a while, for somebody to come back.
    pub(super) fn unwait(&self, waiter: &Waiter) -> bool {
        let mut people = self.people();
        let Some(person) = people.get_mut(&waiter.user) else { return false };
        person.waiters.retain(|other| other.id != waiter.id);
        let is_last = !person.is_here();
        person.lingers |= is_last;
        is_last
    }

    /// Nobody is expected any more. True when the user has nobody.
    pub(super) fn linger_no_longer(&self, user: UserId) -> bool {
        let mut people = self.people();
        let Some(person) = people.get_mut(&user) else { return false };
        person.lingers = false;
        !person.is_here()
    }

    /// The requests that wait for a scope.
    pub(super) fn waiters(&self, scope: Scope) -> Vec<Arc<Waiter>> {
        let people = self.people();
        match scope {
            Scope::Global => people.values().flat_map(|person| &person.waiters).cloned().collect(),
            Scope::User(user) => people.get(&user).map(|person| person.waiters.clone()).unwrap_or_default(),
        }
    }

    /// One device of a user.
    pub(crate) fn link(&self, user: UserId, device: &DeviceId) -> Option<Arc<Link>> {
        self.people().get(&user)?.links.iter().find(|link| link.device == *device).cloned()
    }

    /// Sends to the user's devices but one. Returns how many there were.
    pub(crate) fn tell_others(&self, user: UserId, except: Option<&DeviceId>, message: &Bytes) -> usize {
        let links = self.links(Scope::User(user));
        let others = links.iter().filter(|link| Some(&link.device) != except);
        others.map(|link| link.message(message.clone())).count()
    }

    /// Everybody with a device.
    pub(crate) fn users(&self) -> Vec<(UserId, Vec<DeviceId>)> {
        let people = self.people();
        let present = people.iter().filter(|(_, person)| !person.links.is_empty());
        present.map(|(user, person)| (*user, person.links.iter().map(|link| link.device.clone()).collect())).collect()
    }

    /// Everybody with a device or a request that waits, and how their sessions are reached.
    pub(crate) fn sessions(&self) -> Vec<(UserId, Option<SessionRef>)> {
        let people = self.people();
        let present = people.iter().filter(|(_, person)| person.is_here());
        present.map(|(user, person)| (*user, person.session.clone())).collect()
    }

    /// Devices and users.
    pub(crate) fn count(&self) -> (usize, usize) {
        let people = self.people();
        let present = people.values().filter(|person| !person.links.is_empty());
        present.fold((0, 0), |(links, users), person| (links + person.links.len(), users + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actors::outbox::{Outbox, Outgoing};
    use crate::sync::Cursor;

    fn link(id: u64, device: &str) -> Arc<Link> {
        let mut outbox = Outbox::new(10_000, None);
        outbox.start(Cursor::zero("e"));
        outbox.release();
        Arc::new(Link::new(id, UserId(uuid::Uuid::nil()), device.parse().unwrap(), None, outbox))
    }

    fn presence(link: &Link) -> Vec<bool> {
        std::iter::from_fn(|| link.take())
            .filter_map(|out| match out {
                Outgoing::Message(bytes) => serde_json::from_slice::<serde_json::Value>(&bytes).ok(),
                Outgoing::SyncRequired { .. } => None,
            })
            .filter_map(|message| message["is_online"].as_bool())
            .collect()
    }

    #[test]
    fn the_newer_socket_of_a_device_wins_and_nobody_else_notices() {
        let registry = ConnectionRegistry::default();
        let (old, new, other) = (link(1, "phone"), link(2, "phone"), link(3, "web"));
        let now = DateTime::UNIX_EPOCH;
        registry.join(&old, now);
        registry.join(&other, now);
        assert_eq!(presence(&old), [true]);
        registry.join(&new, now);
        assert_eq!(old.closing(), Some(CloseReason::Replaced));
        assert_eq!(registry.leave(&old, now), Left::Replaced);
        assert_eq!(presence(&other), Vec::<bool>::new());
        assert_eq!(registry.count(), (2, 1));
        assert_eq!(registry.leave(&new, now), Left::Gone);
        assert_eq!(presence(&other), [false]);
        assert_eq!(registry.leave(&other, now), Left::Last);
        assert!(registry.users().is_empty());
    }
}
