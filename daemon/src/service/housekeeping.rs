//! Retention: deletes expired tombstones, receipts, and devices that never came back.
//!
//! A batch that forgets tombstones holds their scopes, and whoever writes there waits for it. So it is small, smaller still
//! where the database is slow, and between two of them the writers go first.

use std::time::{Duration, Instant};

use chrono::TimeDelta;
use ryzed_adapters::format_time;

use super::{Service, ServiceError};
use crate::metrics::{self, metrics};
use crate::store::{Access, StoreError, Transaction};
use crate::sync::{DeviceId, UserId};

/// The most that is forgotten at once. With fewer, what a transaction costs by itself outweighs its rows.
const BATCH: i64 = 100;
/// The least that is forgotten at once, however slow the database is.
const SMALLEST: i64 = 5;
/// A batch that holds its scopes for less is followed by a larger one, a batch that holds them for more by a smaller one: so
/// that 50 ms are far away.
const HELD: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(20));
/// Batches of one kind in one run; the rest comes with the next run, soon.
const BATCHES: usize = 500;
/// The pause after a batch: as long as the batch took, within these bounds.
const PAUSES: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(500));
/// Receipts and devices are kept for so long at least, however short tombstones are: a retry must be known as one.
const A_DAY: TimeDelta = TimeDelta::days(1);
/// For so long a device with a socket counts as seen before that is noted again. Well under the time after which a device
/// makes room for others (`forget_passing_device`).
const SEEN: TimeDelta = TimeDelta::hours(1);

/// The number of entries that were deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Tombstones; the floors of their scopes were raised.
    pub tombstones: usize,
    /// Results of mutations.
    pub receipts: usize,
    /// Devices.
    pub devices: usize,
    /// Tokens that devices came with.
    pub tokens: usize,
    /// True if there is more to delete.
    pub more: bool,
}

/// The kind of an expired entry.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Tombstones,
    Receipts,
    Devices,
    Tokens,
}

impl Kind {
    fn label(self) -> metrics::Forgotten {
        match self {
            Self::Tombstones => metrics::Forgotten::Tombstones,
            Self::Receipts => metrics::Forgotten::Receipts,
            Self::Devices => metrics::Forgotten::Devices,
            Self::Tokens => metrics::Forgotten::Tokens,
        }
    }

    /// The time that entries of this kind are kept, where tombstones are kept for `keep`.
    fn kept(self, keep: TimeDelta) -> TimeDelta {
        match self {
            Self::Tombstones => keep,
            Self::Receipts | Self::Devices => keep.max(A_DAY),
            // Their time is over by themselves.
            Self::Tokens => TimeDelta::zero(),
        }
    }

    async fn prune(self, tx: &mut dyn Transaction, before: &str, most: i64) -> Result<usize, StoreError> {
        match self {
            Self::Tombstones => tx.prune_tombstones(before, most).await,
            Self::Receipts => tx.prune_receipts(before, most).await,
            Self::Devices => tx.prune_devices(before, most).await,
            Self::Tokens => tx.prune_uses(before, most).await,
        }
    }
}

impl Service {
    /// Forgets what is older than the time that things are kept for, in small batches and a bounded number of them. Devices
    /// that are connected here are seen. A clock that has leapt forgets nothing before it is believed.
    ///
    /// # Errors
    /// Those of the database; what was forgotten until then stays forgotten.
    pub async fn collect(&self, connected: Vec<(UserId, DeviceId)>) -> Result<Forgotten, ServiceError> {
        self.see(connected).await?;
        self.keep_time().await?;
        let now = self.believed_time();
        let mut all = Forgotten::default();
        for kind in [Kind::Tombstones, Kind::Receipts, Kind::Devices, Kind::Tokens] {
            let before = format_time(now - kind.kept(self.keep));
            let (count, more) = self.forget(kind, &before).await?;
            all.more |= more;
            match kind {
                Kind::Tombstones => all.tombstones = count,
                Kind::Receipts => all.receipts = count,
                Kind::Devices => all.devices = count,
                Kind::Tokens => all.tokens = count,
            }
        }
        Ok(all)
    }

    /// Returns how many, and whether there may be more.
    async fn forget(&self, kind: Kind, before: &str) -> Result<(usize, bool), ServiceError> {
        let (mut forgotten, mut most) = (0, BATCH);
        for _ in 0..BATCHES {
            let (count, held) = self.forget_batch(kind, before, most).await?;
            forgotten += count;
            metrics().forgotten.add(kind.label(), count);
            metrics().forgetting.observe(held.as_secs_f64());
            // Fewer than asked may be all of those whose scopes nobody was writing.
            if count == 0 {
                return Ok((forgotten, false));
            }
            most = next_batch(most, held);
            tokio::time::sleep(held.clamp(PAUSES.0, PAUSES.1)).await;
        }
        Ok((forgotten, true))
    }

    /// Returns how many, and for how long whoever writes there had to wait. Where one writes at a time, whoever comes next
    /// shares the commit, so that waits for none.
    async fn forget_batch(&self, kind: Kind, before: &str, most: i64) -> Result<(usize, Duration), ServiceError> {
        let before = before.to_owned();
        let forgotten = self.store.write(Access::Daemon, move |tx| {
            let before = before.clone();
            Box::pin(async move {
                let began = Instant::now();
                let count = kind.prune(tx, &before, most).await?;
                Ok::<_, ServiceError>((count, began, began.elapsed()))
            })
        });
        let (count, began, worked) = forgotten.await?;
        Ok((count, if self.store.is_shared() { began.elapsed() } else { worked }))
    }

    /// Notes that devices are there that say nothing but keep their sockets.
    async fn see(&self, connected: Vec<(UserId, DeviceId)>) -> Result<(), ServiceError> {
        if connected.is_empty() {
            return Ok(());
        }
        let now = self.clock.now();
        let (now, before) = (format_time(now), format_time(now - SEEN));
        self.store
            .write(Access::Daemon, move |tx| {
                let (connected, now, before) = (connected.clone(), now.clone(), before.clone());
                Box::pin(async move { Ok::<_, ServiceError>(tx.see_devices(&connected, &now, &before).await?) })
            })
            .await
    }
}

/// The size of the next batch, after one of `most` has held its scopes for so long.
fn next_batch(most: i64, held: Duration) -> i64 {
    let next = match held {
        held if held < HELD.0 => most * 2,
        held if held > HELD.1 => most / 2,
        _ => most,
    };
    next.clamp(SMALLEST, BATCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_database_gets_smaller_batches_until_it_is_quick_again() {
        let mut most = BATCH;
        for (held, next) in [(21, 50), (300, 25), (20, 25), (5, 25), (4, 50), (0, 100), (0, 100)] {
            most = next_batch(most, Duration::from_millis(held));
            assert_eq!(most, next, "after {held} ms");
        }
        assert_eq!(next_batch(SMALLEST, Duration::from_secs(1)), SMALLEST);
    }
}
