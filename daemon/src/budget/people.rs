//! The people with work under way, and each one's shares, for as long as there is any of it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Semaphore;

use super::kib;
use super::refusal::{Refused, Who, refused};
use crate::config::Limits;
use crate::metrics::Limit;
use crate::sync::UserId;

/// The retry delay for a person with too much under way.
const SOON: Duration = Duration::from_secs(1);

/// One person's share of what is coming, and of answers, in KiB. One request at least fits.
pub(super) fn share_kib(limits: &Limits) -> u32 {
    kib(limits.bytes_per_user.max(limits.request_bytes))
}

/// Everybody who has something under way.
pub(super) struct People {
    limits: Arc<Limits>,
    here: Mutex<HashMap<UserId, Weak<Person>>>,
}

/// The remaining shares of one person.
pub(super) struct Person {
    pub(super) user: UserId,
    /// Requests that are here.
    present: AtomicUsize,
    pub(super) reads: Semaphore,
    pub(super) writes: Semaphore,
    /// Of those reads, who goes through everything.
    pub(super) long: Semaphore,
    /// For work that is done aside.
    pub(super) aside: Arc<Semaphore>,
    /// Memory of what is coming, and of answers, in KiB.
    pub(super) arriving: Semaphore,
    pub(super) answers: Semaphore,
    people: Arc<People>,
}

impl People {
    pub(super) fn new(limits: Arc<Limits>) -> Arc<Self> {
        Arc::new(Self { limits, here: Mutex::default() })
    }

    /// The person, from now on here.
    pub(super) fn of(self: &Arc<Self>, user: UserId) -> Arc<Person> {
        let mut here = self.here();
        if let Some(person) = here.get(&user).and_then(Weak::upgrade) {
            return person;
        }
        let memory = || Semaphore::new(share_kib(&self.limits) as usize);
        let person = Arc::new(Person {
            user,
            present: AtomicUsize::new(0),
            reads: Semaphore::new(self.limits.reads_per_user),
            writes: Semaphore::new(self.limits.writes_per_user),
            long: Semaphore::new(1),
            aside: Arc::new(Semaphore::new(1)),
            arriving: memory(),
            answers: memory(),
            people: Arc::clone(self),
        });
        here.insert(user, Arc::downgrade(&person));
        person
    }

    /// Lets a request in.
    pub(super) fn enter(self: &Arc<Self>, user: UserId) -> Result<Visit, Refused> {
        let person = self.of(user);
        if person.present.fetch_add(1, Ordering::Relaxed) < self.limits.requests_per_user {
            return Ok(Visit(person));
        }
        person.present.fetch_sub(1, Ordering::Relaxed);
        Err(refused(Limit::RequestsPerUser, SOON, Who::User(user)))
    }

    fn here(&self) -> MutexGuard<'_, HashMap<UserId, Weak<Person>>> {
        self.here.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.here().len()
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        let mut here = self.people.here();
        // Somebody else may have made a new entry meanwhile.
        if here.get(&self.user).is_some_and(|person| person.strong_count() == 0) {
            here.remove(&self.user);
        }
    }
}

/// One request of a person, from when it was let in until it is over.
pub struct Visit(Arc<Person>);

impl Drop for Visit {
    fn drop(&mut self) {
        self.0.present.fetch_sub(1, Ordering::Relaxed);
    }
}
