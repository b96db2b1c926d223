//! A request that waits for news, as the sessions know it: it hears of commits as sockets do, and is told only that there is
//! something.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::sync::token::{Credentials, Presented};
use crate::sync::{ChangeRecord, Cursor, DeviceId, Scope, Token, UserId, Version};

/// One request that waits.
#[derive(Debug)]
pub(crate) struct Waiter {
    /// Tells two requests of one device apart.
    pub(super) id: u64,
    /// Whose request it is.
    pub(super) user: UserId,
    /// The device, if it said which.
    pub(super) device: Option<DeviceId>,
    token: Option<Arc<Token>>,
    tables: Vec<String>,
    place: Mutex<Place>,
    has_news: AtomicBool,
    bell: Notify,
}

/// Where it stands.
#[derive(Debug)]
struct Place {
    /// What it has, or knows to be there.
    after: Cursor,
    /// Whether a session has said from where on it tells of everything, for the catalogue and the person.
    joined: [bool; 2],
}

impl Waiter {
    /// A request of this person that knows what comes after `after`.
    pub(super) fn new(
        id: u64,
        (user, device, token): (UserId, Option<DeviceId>, Option<Arc<Token>>),
        tables: Vec<String>,
        after: Cursor,
    ) -> Self {
        let place = Mutex::new(Place { after, joined: [false; 2] });
        Self { id, user, device, token, tables, place, has_news: AtomicBool::new(false), bell: Notify::new() }
    }

    /// Waits for news, or to be sent away, and gives the place up to which there may be some; none without any.
    pub(super) async fn news(&self, until: Instant) -> Option<Cursor> {
        let _ = timeout_at(until, self.bell.notified()).await;
        let has_news = self.has_news.load(Ordering::Acquire);
        has_news.then(|| self.place().after.clone())
    }

    fn place(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The session has handed on everything up to `version` before this request came.
    pub(super) fn joined(&self, scope: Scope, version: Version) {
        let mut place = self.place();
        place.joined[side(scope)] = true;
        if version > place.after.at(scope) {
            place.after.set(scope, version);
            self.ring();
        }
    }

    /// What the session need not hand on again; none before it ever did.
    pub(super) fn seen(&self, scope: Scope) -> Option<Version> {
        let place = self.place();
        place.joined[side(scope)].then(|| place.after.at(scope))
    }

    /// Hears of a change.
    pub(super) fn change(&self, record: &ChangeRecord) {
        let mut place = self.place();
        if !place.joined[side(record.scope)] || record.version <= place.after.at(record.scope) {
            return;
        }
        place.after.set(record.scope, record.version);
        drop(place);
        let is_wanted = self.tables.is_empty() || self.tables.iter().any(|table| table == record.table);
        // Device ids are unique for one user only: in the catalogue a namesake's change is not one's own.
        let is_own = self.device.is_some() && record.source_device == self.device && record.scope != Scope::Global;
        if is_wanted && !is_own {
            self.ring();
        }
    }

    /// Who it is, for whoever judges whether it may stay.
    pub(super) fn presented(&self) -> Presented {
        Presented {
            user: self.user,
            credentials: Credentials { token: self.token.clone(), device: self.device.clone() },
        }
    }

    /// Has the request ask.
    pub(super) fn ring(&self) {
        self.has_news.store(true, Ordering::Release);
        self.bell.notify_one();
    }

    /// Has the request end.
    pub(super) fn send_away(&self) {
        self.bell.notify_one();
    }
}

/// The place of a scope in the pairs above.
fn side(scope: Scope) -> usize {
    usize::from(scope != Scope::Global)
}
