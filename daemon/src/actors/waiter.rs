//! A request that waits for news: the long poll of `GET /changes`. It hears of commits as sockets do, and is told only that
//! there is something: what it is, it reads itself. While it waits it has a place in the registry and nothing else.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::realtime::{self, ActorContext, Realtime};
use super::sessions::SessionsMsg;
use crate::auth::{Caller, LEEWAY};
use crate::budget::{Refused, Who, refused};
use crate::metrics::{Limit, metrics};
use crate::service::ServiceError;
use crate::store::tokens::{Credentials, Presented};
use crate::sync::{ChangeRecord, Cursor, DeviceId, Scope, Token, UserId, Version};

/// How long a person's session outlives their last request that waited, so that the next one finds it.
const LINGER: Duration = Duration::from_secs(30);
/// When to come back to who waits too often at once.
const LATER: Duration = Duration::from_secs(5);
/// When clients come back after a restart, in milliseconds: spread, so that they do not come all at once.
const RETURN_MS: std::ops::Range<u64> = 1000..5000;

/// What is waited for, and how long.
#[derive(Debug)]
pub struct Wait {
    /// Whose request it is.
    pub caller: Caller,
    /// The device that asks; its own changes are no news to it.
    pub device: Option<DeviceId>,
    /// The tables that it asks for; none named means all.
    pub tables: Vec<String>,
    /// What it has.
    pub after: Cursor,
    /// When it wants an answer, whatever has come.
    pub until: Instant,
}

/// Why the waiting ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Woken {
    /// There may be something up to here, or the caller may not stay: it is time to ask.
    News(Cursor),
    /// Nothing came in time, or it is time to go.
    Nothing,
}

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

impl Realtime {
    /// Waits until something happened after `wait.after`, or the time is over, or the token has ended.
    ///
    /// # Errors
    /// When too many wait, the daemon is about to end, or the database can't be asked where to begin.
    pub async fn wait(&self, wait: Wait) -> Result<Woken, ServiceError> {
        let Wait { caller, device, tables, after, until } = wait;
        let waiter = Arc::new(Waiter {
            id: self.next_link(),
            user: caller.user,
            device,
            token: caller.token.clone(),
            tables,
            place: Mutex::new(Place { after, joined: [false; 2] }),
            has_news: AtomicBool::new(false),
            bell: Notify::new(),
        });
        let until = until.min(end_of(caller.expires_at, self.shared.backend.now()));
        let _stay = self.stay(&waiter)?;
        if *self.draining().borrow() {
            return Err(restarting());
        }
        let attached =
            async { self.attach_waiter(&waiter).await.map_err(|_| ServiceError::Unavailable { retry_after: LATER }) };
        match timeout_at(until, attached).await {
            Ok(attached) => attached?,
            Err(_) => return Ok(Woken::Nothing),
        }
        let _ = timeout_at(until, waiter.bell.notified()).await;
        let has_news = waiter.has_news.load(Ordering::Acquire);
        let after = waiter.place().after.clone();
        Ok(if has_news { Woken::News(after) } else { Woken::Nothing })
    }

    /// Gives it a place, unless there is none.
    fn stay(&self, waiter: &Arc<Waiter>) -> Result<Stay, Refused> {
        let limits = self.shared.backend.limits();
        let over = |limit| refused(limit, LATER, Who::User(waiter.user));
        let counted = Counted::one(&self.shared);
        if counted.others >= limits.polls {
            return Err(over(Limit::Polls));
        }
        if !self.shared.connections.wait(waiter, limits.polls_per_user) {
            return Err(over(Limit::PollsPerUser));
        }
        self.shared.bridge.follow(waiter.user, &|| self.shared.connections.has(waiter.user));
        Ok(Stay { shared: Arc::clone(&self.shared), waiter: Arc::clone(waiter), _counted: counted })
    }
}

/// When a token ends that is good until `expires_at`, and a while longer.
fn end_of(expires_at: DateTime<Utc>, now: DateTime<Utc>) -> Instant {
    Instant::now() + (expires_at + LEEWAY - now).to_std().unwrap_or_default()
}

fn restarting() -> ServiceError {
    ServiceError::Unavailable { retry_after: Duration::from_millis(rand::random_range(RETURN_MS)) }
}

/// Counts a request that waits, until it is dropped.
struct Counted {
    shared: Arc<ActorContext>,
    others: usize,
}

impl Counted {
    fn one(shared: &Arc<ActorContext>) -> Self {
        metrics().polls.inc();
        let others = shared.polls.fetch_add(1, Ordering::AcqRel);
        Self { shared: Arc::clone(shared), others }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.shared.polls.fetch_sub(1, Ordering::AcqRel);
        metrics().polls.dec();
    }
}

/// Takes the request off the registry when it ends, however that comes.
struct Stay {
    shared: Arc<ActorContext>,
    waiter: Arc<Waiter>,
    _counted: Counted,
}

impl Drop for Stay {
    fn drop(&mut self) {
        let user = self.waiter.user;
        if !self.shared.connections.unwait(&self.waiter) {
            return;
        }
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move {
            tokio::time::sleep(LINGER).await;
            if shared.connections.linger_no_longer(user) {
                shared.bridge.follow(user, &|| shared.connections.has(user));
                if let Some(sessions) = realtime::get(&shared.sessions) {
                    let _ = sessions.cast(SessionsMsg::Close(user));
                }
            }
        });
    }
}
