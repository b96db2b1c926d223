//! Turns: how much of one person's work is under way at once.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use super::Budget;
use super::memory::{owned, permits};
use super::people::Person;
use super::refusal::{Refused, Who, refused};
use crate::metrics::Limit;

/// The retry delay after waiting in vain.
const LATER: Duration = Duration::from_secs(2);

/// The kind of the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A read of a page at most.
    Read,
    /// A read of everything that somebody has.
    LongRead,
    /// Anything that writes.
    Write,
}

/// A person's work that is under way, until this is dropped.
pub struct Turn {
    budget: Arc<Budget>,
    person: Arc<Person>,
    kind: Kind,
    long: Option<OwnedSemaphorePermit>,
}

impl Turn {
    /// Says that everything was read: what is left to do keeps nobody else waiting.
    pub fn has_read(&mut self) {
        self.long = None;
    }

    /// Gives this turn back and takes one of another kind. What is in the middle of its work is not refused for that,
    /// however long it takes.
    pub async fn turn_to(self, kind: Kind) -> Self {
        let (budget, person) = (Arc::clone(&self.budget), Arc::clone(&self.person));
        drop(self);
        seated(&budget, &person, kind).await
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.kind == Kind::LongRead {
            self.person.long.add_permits(1);
        }
        self.kind.seats(&self.person).add_permits(1);
    }
}

impl Kind {
    fn seats(self, person: &Person) -> &Semaphore {
        match self {
            Self::Read | Self::LongRead => &person.reads,
            Self::Write => &person.writes,
        }
    }

    fn limit(self) -> Limit {
        match self {
            Self::Read | Self::LongRead => Limit::ReadsPerUser,
            Self::Write => Limit::WritesPerUser,
        }
    }
}

pub(super) async fn take(budget: &Arc<Budget>, person: &Arc<Person>, kind: Kind) -> Result<Turn, Refused> {
    // Most have nobody before them.
    if kind != Kind::LongRead
        && let Ok(seat) = kind.seats(person).try_acquire()
    {
        seat.forget();
        return Ok(Turn { budget: Arc::clone(budget), person: Arc::clone(person), kind, long: None });
    }
    if let Ok(turn) = tokio::time::timeout(budget.patience(), seated(budget, person, kind)).await {
        return Ok(turn);
    }
    // Whose own seat is free again has waited for others.
    let others = kind == Kind::LongRead && person.long.available_permits() > 0;
    let limit = if others { Limit::LongReads } else { kind.limit() };
    Err(refused(limit, LATER, Who::User(person.user)))
}

/// Waits for a seat, one's own before those that are everybody's.
async fn seated(budget: &Arc<Budget>, person: &Arc<Person>, kind: Kind) -> Turn {
    let is_long = kind == Kind::LongRead;
    let own = if is_long { Some(permits(&person.long, 1).await) } else { None };
    let seat = permits(kind.seats(person), 1).await;
    let long = if is_long { Some(owned(&budget.long, 1).await) } else { None };
    own.into_iter().for_each(SemaphorePermit::forget);
    seat.forget();
    Turn { budget: Arc::clone(budget), person: Arc::clone(person), kind, long }
}
