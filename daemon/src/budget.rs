//! The limits of each person, and of all together, at a moment: requests a second, work under way, memory. REST and
//! sockets share them.
//!
//! Three things are told apart. Who comes in is counted and charged ([`Budget::enter`]). Who is to be worked for waits for a
//! turn ([`Budget::turn`]): a person has few, so their requests wait for each other and not for anybody else's. What is
//! held in memory is taken from what there is ([`Budget::arriving`], [`Budget::working`], [`Budget::answer`]). Nobody
//! waits for one kind of memory while holding the same kind, so nobody waits for ever. What costs the processor much is
//! done aside ([`Budget::aside`]).

mod aside;
mod memory;
mod people;
mod rate;
mod refusal;
mod turns;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Limits;
use crate::metrics::Limit;
use crate::sync::UserId;
use aside::Aside;
pub use aside::SMALL;
pub use memory::{Arriving, Held};
use people::People;
pub use people::Visit;
use rate::Buckets;
pub use refusal::{Refused, Who, note, note_key, refused, whole_seconds};
pub use turns::{Kind, Turn};

/// The cost of a digest, an export's page or another walk through everything somebody has, in requests.
pub const LONG_READ: u32 = 10;
/// The cost of opening a socket, in requests: it registers, places and may replay.
pub const CONNECTING: u32 = 5;
/// The bytes of a body, and the number of changes, that cost one request more.
const BYTES_A_REQUEST: usize = 64 << 10;
const CHANGES_A_REQUEST: usize = 100;

/// The cost of an upload of so many bytes and changes, in requests, besides itself.
#[must_use]
pub fn cost_of(bytes: usize, changes: usize) -> u32 {
    u32::try_from(bytes / BYTES_A_REQUEST + changes / CHANGES_A_REQUEST).unwrap_or(u32::MAX)
}

/// The shared limits, and each person's shares of them.
pub struct Budget {
    limits: Arc<Limits>,
    people: Arc<People>,
    rates: Buckets<UserId>,
    strangers: Buckets<IpAddr>,
    /// Turns for reads that go through everything somebody has.
    long: Arc<Semaphore>,
    /// Where work on what was sent is done.
    aside: Aside,
    /// Memory for headers, in KiB.
    headers: Arc<Semaphore>,
    /// Memory for what is coming, and for what is worked on and answered, in KiB.
    arriving: Arc<Semaphore>,
    working: Arc<Semaphore>,
}

impl Budget {
    /// Makes a budget of `limits`.
    #[must_use]
    pub fn new(limits: Arc<Limits>) -> Arc<Self> {
        let half = || Arc::new(Semaphore::new(pool_kib(&limits) as usize));
        Arc::new(Self {
            people: People::new(Arc::clone(&limits)),
            rates: Buckets::new(limits.requests_per_second, limits.request_burst),
            strangers: Buckets::new(limits.strangers_per_second, limits.stranger_burst),
            long: Arc::new(Semaphore::new(limits.long_reads)),
            aside: Aside::default(),
            headers: Arc::new(Semaphore::new(header_kib(&limits) as usize)),
            arriving: half(),
            working: half(),
            limits,
        })
    }

    /// Lets a request of a person in and charges it.
    ///
    /// # Errors
    /// When they have sent too many, or too many are here already.
    pub fn enter(&self, user: UserId, cost: u32) -> Result<Visit, Refused> {
        self.charge(user, cost)?;
        self.people.enter(user)
    }

    /// Charges a person for what has cost, or is about to cost, more than their request said. Who has not got that much has less
    /// than nothing afterwards, and is let in again once that has come back.
    pub fn spend(&self, user: UserId, cost: u32) {
        self.rates.spend(user, cost, Instant::now());
    }

    /// Charges a person for a request that costs more.
    ///
    /// # Errors
    /// When they have spent what they had.
    pub fn charge(&self, user: UserId, cost: u32) -> Result<(), Refused> {
        let taken = self.rates.take(user, cost, Instant::now());
        taken.map_err(|wait| refused(Limit::RequestsPerSecond, wait, Who::User(user)))
    }

    /// The same for who waits instead of being refused, unless it would take too long.
    ///
    /// # Errors
    /// When it would.
    pub async fn charge_in_time(&self, user: UserId, cost: u32) -> Result<(), Refused> {
        match self.rates.reserve(user, cost, self.patience(), Instant::now()) {
            Ok(Duration::ZERO) => Ok(()),
            Ok(wait) => {
                tokio::time::sleep(wait).await;
                Ok(())
            }
            Err(wait) => Err(refused(Limit::RequestsPerSecond, wait, Who::User(user))),
        }
    }

    /// Checks that an unauthenticated client at this address may try.
    ///
    /// # Errors
    /// When too many from there were nobody.
    pub fn may_try(&self, address: IpAddr) -> Result<(), Refused> {
        match self.strangers.lacking(network(address), Instant::now()) {
            None => Ok(()),
            Some(wait) => Err(refused(Limit::StrangersPerSecond, wait, Who::Address(address))),
        }
    }

    /// Takes note of a request from this address that came from nobody.
    pub fn was_stranger(&self, address: IpAddr) {
        // A person who has spent more than there is, is refused the next time.
        let _ = self.strangers.take(network(address), 1, Instant::now());
    }

    /// A turn for a person's work: when their others have come to an end, and there is room for work of this kind.
    ///
    /// # Errors
    /// When that takes too long.
    pub async fn turn(self: &Arc<Self>, user: UserId, kind: Kind) -> Result<Turn, Refused> {
        turns::take(self, &self.people.of(user), kind).await
    }

    /// Does work on so many bytes that a person has sent, where it keeps nobody else waiting.
    pub async fn aside<T: Send + 'static>(
        &self,
        user: UserId,
        bytes: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        self.aside.run(&self.people.of(user), bytes, work).await
    }

    /// Memory for a body or message that may have up to so many bytes, taken as they come.
    ///
    /// # Errors
    /// When so much of that person is coming already, and it takes too long.
    pub async fn arriving(self: &Arc<Self>, user: UserId, most: usize) -> Result<Arriving, Refused> {
        Arriving::reserve(self, self.people.of(user), most).await
    }

    /// Memory for the header of a request that is under way. Nobody waits for it: a header is there already.
    ///
    /// # Errors
    /// When there is none.
    pub fn header(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Refused> {
        let taken = Arc::clone(&self.headers).try_acquire_many_owned(kib(bytes));
        taken.map_err(|_| refused(Limit::BytesInFlight, memory::LATER, Who::Nobody))
    }

    /// Memory for work that is under way.
    ///
    /// # Errors
    /// When there is none, and it takes too long.
    pub async fn working(self: &Arc<Self>, bytes: usize) -> Result<Held, Refused> {
        Held::take(self, None, bytes).await
    }

    /// Memory for an answer, until it was read.
    ///
    /// # Errors
    /// When the person has so much that was not read yet, or there is none, and it takes too long.
    pub async fn answer(self: &Arc<Self>, user: UserId, bytes: usize) -> Result<Held, Refused> {
        Held::take(self, Some(self.people.of(user)), bytes).await
    }

    /// One person's share of either half, in KiB.
    fn share_kib(&self) -> u32 {
        people::share_kib(&self.limits)
    }

    /// The same for what is done already: it is waited for as long as it takes.
    pub async fn result(self: &Arc<Self>, user: UserId, bytes: usize) -> Held {
        loop {
            if let Ok(held) = self.answer(user, bytes).await {
                return held;
            }
        }
    }

    /// Either half of all memory, in KiB.
    fn pool_kib(&self) -> u32 {
        pool_kib(&self.limits)
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(self.limits.wait_seconds)
    }
}

/// Either half of all memory, in KiB. One request at least fits.
fn pool_kib(limits: &Limits) -> u32 {
    let largest = limits.parsed_bytes.max(limits.bytes_per_user).max(limits.request_bytes);
    kib((limits.bytes_in_flight / 2).max(largest))
}

/// Memory for headers beside both halves, in KiB.
fn header_kib(limits: &Limits) -> u32 {
    const PART: usize = 8;
    kib((limits.bytes_in_flight / PART).max(limits.header_bytes * PART))
}

/// The unit of limits by address: an IPv6 network, as a household has as many addresses in it as it likes.
#[must_use]
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let prefix = address.to_bits() & (u128::MAX << 64);
            IpAddr::V6(prefix.into())
        }
        address => address,
    }
}

/// Bytes in KiB, the unit of the semaphores, rounded up.
fn kib(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX >> 1)
}

#[cfg(test)]
mod tests;
