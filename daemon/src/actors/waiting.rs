//! The long poll of `GET /changes`. A request that waits is told only that there is something: what it is, it reads itself. While
//! it waits it has a place in the registry and nothing else.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::{Instant, timeout_at};

use super::cell;
use super::context::ActorContext;
use super::mailbox::SessionsMsg;
use super::realtime::Realtime;
use super::waiter::Waiter;
use crate::auth::{Caller, LEEWAY};
use crate::budget::{Refused, Who, refused};
use crate::metrics::{Limit, metrics};
use crate::service::ServiceError;
use crate::sync::{Cursor, DeviceId};

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

impl Realtime {
    /// Waits until something happened after `wait.after`, or the time is over, or the token has ended.
    ///
    /// # Errors
    /// When too many wait, the daemon is about to end, or the database can't be asked where to begin.
    pub async fn wait(&self, wait: Wait) -> Result<Woken, ServiceError> {
        let Wait { caller, device, tables, after, until } = wait;
        let who = (caller.user, device, caller.token.clone());
        let waiter = Arc::new(Waiter::new(self.next_link(), who, tables, after));
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
        Ok(waiter.news(until).await.map_or(Woken::Nothing, Woken::News))
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
                if let Some(sessions) = cell::get(&shared.sessions) {
                    let _ = sessions.cast(SessionsMsg::Close(user));
                }
            }
        });
    }
}
