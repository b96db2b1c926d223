//! Memory that requests, messages and answers hold: taken from what there is for all, and for each person, and given back
//! when the last byte is gone.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::people::Person;
use super::refusal::{Refused, Who, refused};
use super::{Budget, cost_of, kib};
use crate::metrics::Limit;

/// The retry delay after waiting for memory in vain.
pub(super) const LATER: Duration = Duration::from_secs(2);
/// The step in which a body takes shared memory as it comes, so that not every part of it has to ask, in KiB.
const STEP: u32 = 32;

/// Waits for permits of a semaphore that is never closed.
pub(super) async fn permits(semaphore: &Semaphore, count: u32) -> SemaphorePermit<'_> {
    match semaphore.acquire_many(count).await {
        Ok(permits) => permits,
        Err(_) => pending().await,
    }
}

/// The same, to be kept.
pub(super) async fn owned(semaphore: &Arc<Semaphore>, count: u32) -> OwnedSemaphorePermit {
    match Arc::clone(semaphore).acquire_many_owned(count).await {
        Ok(permits) => permits,
        Err(_) => pending().await,
    }
}

/// A part of one person's share.
struct Share {
    person: Arc<Person>,
    of: fn(&Person) -> &Semaphore,
    kib: u32,
}

impl Share {
    /// Takes memory from the share; a request larger than the share takes all of it.
    async fn take(
        budget: &Budget,
        person: Arc<Person>,
        of: fn(&Person) -> &Semaphore,
        kib: u32,
    ) -> Result<Self, Refused> {
        let kib = kib.min(budget.share_kib());
        match timeout(budget.patience(), permits(of(&person), kib)).await {
            Ok(permits) => permits.forget(),
            Err(_) => return Err(refused(Limit::BytesPerUser, LATER, Who::User(person.user))),
        }
        Ok(Self { person, of, kib })
    }

    fn shrink(&mut self, kib: u32) {
        let back = self.kib.saturating_sub(kib);
        self.kib -= back;
        (self.of)(&self.person).add_permits(back as usize);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.shrink(0);
    }
}

/// Takes from what there is for all.
async fn of_all(
    budget: &Budget,
    pool: &Arc<Semaphore>,
    kib: u32,
    who: Option<&Person>,
) -> Result<OwnedSemaphorePermit, Refused> {
    let taken = timeout(budget.patience(), owned(pool, kib.min(budget.pool_kib()))).await;
    let who = who.map_or(Who::Nobody, |person| Who::User(person.user));
    taken.map_err(|_| refused(Limit::BytesInFlight, LATER, who))
}

/// The memory of a body or a message that is still coming.
///
/// A person's share is taken for all that may come, so that two of theirs never wait for each other in the middle;
/// everybody's as it comes, so that who only says that much will come keeps nothing from others.
pub struct Arriving {
    budget: Arc<Budget>,
    share: Share,
    taken: OwnedSemaphorePermit,
    /// What its person was charged for it.
    paid: u32,
}

impl Arriving {
    pub(super) async fn reserve(budget: &Arc<Budget>, person: Arc<Person>, most: usize) -> Result<Self, Refused> {
        let share = Share::take(budget, person, |person| &person.arriving, kib(most)).await?;
        let taken = owned(&budget.arriving, 0).await;
        Ok(Self { budget: Arc::clone(budget), share, taken, paid: 0 })
    }

    /// Charges its person for so many bytes, as far as they were not yet.
    pub fn pay(&mut self, bytes: usize) {
        let cost = cost_of(bytes, 0);
        if cost > self.paid {
            self.budget.spend(self.share.person.user, cost - self.paid);
            self.paid = cost;
        }
    }

    /// Does work on so many bytes of it, where it keeps nobody else waiting.
    pub async fn aside<T: Send + 'static>(&self, bytes: usize, work: impl FnOnce() -> T + Send + 'static) -> T {
        self.budget.aside.run(&self.share.person, bytes, work).await
    }

    /// Takes note that so many bytes are here by now.
    ///
    /// # Errors
    /// When there is no memory for them, and it takes too long.
    pub async fn came(&mut self, bytes: usize) -> Result<(), Refused> {
        let taken = u32::try_from(self.taken.num_permits()).unwrap_or(u32::MAX);
        let missing = kib(bytes).saturating_sub(taken);
        if missing > 0 {
            // Never more than may come.
            let step = missing.max(STEP.min(self.share.kib.saturating_sub(taken)));
            self.taken.merge(of_all(&self.budget, &self.budget.arriving, step, Some(&self.share.person)).await?);
        }
        Ok(())
    }

    /// Takes note that so many bytes were all.
    pub fn is_all(&mut self, bytes: usize) {
        let kib = kib(bytes);
        self.share.shrink(kib);
        drop(self.taken.split(self.taken.num_permits().saturating_sub(kib as usize)));
    }
}

/// Memory that is in use until this is dropped.
pub struct Held {
    taken: OwnedSemaphorePermit,
    share: Option<Share>,
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} KiB", self.taken.num_permits())
    }
}

impl Held {
    pub(super) async fn take(budget: &Arc<Budget>, person: Option<Arc<Person>>, bytes: usize) -> Result<Self, Refused> {
        let share = match person {
            Some(person) => Some(Share::take(budget, person, |person| &person.answers, kib(bytes)).await?),
            None => None,
        };
        let who = share.as_ref().map(|share| &*share.person);
        let taken = of_all(budget, &budget.working, kib(bytes), who).await?;
        Ok(Self { taken, share })
    }

    /// The amount, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.taken.num_permits() << 10
    }

    /// Keeps no more than for so many bytes.
    pub fn shrink(&mut self, bytes: usize) {
        let kib = kib(bytes);
        drop(self.taken.split(self.taken.num_permits().saturating_sub(kib as usize)));
        self.share.iter_mut().for_each(|share| share.shrink(kib));
    }

    /// The text, which holds this memory for as long as any part of it is there.
    #[must_use]
    pub fn keep(mut self, text: Vec<u8>) -> Bytes {
        self.shrink(text.capacity());
        Bytes::from_owner(Kept { text, _held: self })
    }
}

/// A text and the memory that it holds.
struct Kept {
    text: Vec<u8>,
    _held: Held,
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.text
    }
}
