//! Token buckets, one for each of many keys, in a bounded table. A bucket is kept as the moment at which it will be full again.
//!
//! The crate that limits the messages of one socket can't be asked without being charged, and never forgets a key by itself.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The number of keys remembered. When there are more whose buckets are not full, all are forgiven.
const MOST: usize = 100_000;
/// Below this, nobody looks for buckets that are full again.
const FEW: usize = 1000;

pub(super) struct Buckets<K> {
    /// The time that one token takes to come back.
    interval: Duration,
    burst: u32,
    table: Mutex<Table<K>>,
}

struct Table<K> {
    full_at: HashMap<K, Instant>,
    /// The number of entries at which full buckets are removed.
    tidy_at: usize,
}

impl<K: Eq + Hash> Buckets<K> {
    pub(super) fn new(per_second: u32, burst: u32) -> Self {
        let table = Table { full_at: HashMap::new(), tidy_at: FEW };
        Self { interval: Duration::from_secs(1) / per_second.max(1), burst: burst.max(1), table: Mutex::new(table) }
    }

    /// Takes so many tokens, or says how long it will be until they are there. What is more than fits into a bucket takes a
    /// whole one.
    pub(super) fn take(&self, key: K, tokens: u32, now: Instant) -> Result<(), Duration> {
        self.reserve(key, tokens, Duration::ZERO, now).map(|_| ())
    }

    /// Takes so many tokens and says how long to wait for them; none are taken when that is longer than `patience`.
    pub(super) fn reserve(&self, key: K, tokens: u32, patience: Duration, now: Instant) -> Result<Duration, Duration> {
        let mut table = self.table();
        table.tidy(now);
        let full_at = table.full_at.get(&key).copied().unwrap_or(now).max(now);
        let after = full_at + self.interval * tokens.min(self.burst);
        let wait = (after - now).saturating_sub(self.interval * self.burst);
        if wait > patience {
            return Err(wait);
        }
        table.full_at.insert(key, after);
        Ok(wait)
    }

    /// Takes so many tokens whether they are there or not. What is more than fits into a bucket takes a whole one.
    pub(super) fn spend(&self, key: K, tokens: u32, now: Instant) {
        let mut table = self.table();
        table.tidy(now);
        let full_at = table.full_at.entry(key).or_insert(now);
        *full_at = (*full_at).max(now) + self.interval * tokens.min(self.burst);
    }

    /// How long it will be until there is a token; none when there is one.
    pub(super) fn lacking(&self, key: K, now: Instant) -> Option<Duration> {
        let full_at = *self.table().full_at.get(&key)?;
        let ahead = full_at.saturating_duration_since(now) + self.interval;
        Some(ahead.saturating_sub(self.interval * self.burst)).filter(|wait| !wait.is_zero())
    }

    fn table(&self) -> MutexGuard<'_, Table<K>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash> Table<K> {
    fn tidy(&mut self, now: Instant) {
        if self.full_at.len() < self.tidy_at {
            return;
        }
        self.full_at.retain(|_, full_at| *full_at > now);
        if self.full_at.len() >= MOST {
            self.full_at.clear();
        }
        self.tidy_at = (self.full_at.len() * 2).clamp(FEW, MOST);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_bucket_gives_a_burst_and_fills_again() {
        let (buckets, now) = (Buckets::new(10, 5), Instant::now());
        for _ in 0..5 {
            assert_eq!(buckets.take("a", 1, now), Ok(()));
        }
        assert_eq!(buckets.take("a", 1, now), Err(Duration::from_millis(100)));
        assert_eq!(buckets.lacking("a", now), Some(Duration::from_millis(100)));
        assert_eq!((buckets.lacking("b", now), buckets.take("b", 5, now)), (None, Ok(())));
        let later = now + Duration::from_millis(250);
        assert_eq!((buckets.lacking("a", later), buckets.take("a", 2, later)), (None, Ok(())));
        assert!(buckets.take("a", 1, later).is_err());
    }

    #[test]
    fn what_is_more_than_a_bucket_takes_a_whole_one() {
        let (buckets, now) = (Buckets::new(10, 5), Instant::now());
        assert_eq!(buckets.take("a", 1000, now), Ok(()));
        assert_eq!(buckets.take("a", 1000, now), Err(Duration::from_millis(500)));
    }

    #[test]
    fn who_is_patient_is_told_how_long() {
        let (buckets, now) = (Buckets::new(10, 1), Instant::now());
        let patience = Duration::from_millis(250);
        let waits: Vec<_> = (0..4).map(|_| buckets.reserve("a", 1, patience, now)).collect();
        let ms = Duration::from_millis;
        assert_eq!(waits, [Ok(ms(0)), Ok(ms(100)), Ok(ms(200)), Err(ms(300))]);
    }

    #[test]
    fn who_spends_more_than_there_is_waits_until_it_has_come_back() {
        let (buckets, now) = (Buckets::new(10, 5), Instant::now());
        assert_eq!(buckets.take("a", 4, now), Ok(()));
        buckets.spend("a", 3, now);
        assert_eq!(buckets.take("a", 0, now), Err(Duration::from_millis(200)));
        assert_eq!(buckets.take("a", 1, now), Err(Duration::from_millis(300)));
        let later = now + Duration::from_millis(300);
        assert_eq!(buckets.take("a", 1, later), Ok(()));
        buckets.spend("b", 1000, now);
        assert_eq!(buckets.take("b", 1, now), Err(Duration::from_millis(100)), "a whole bucket at most");
    }

    #[test]
    fn no_crowd_makes_the_table_grow_without_end() {
        let (buckets, now) = (Buckets::new(1, 10), Instant::now());
        for key in 0..3 * MOST {
            let _ = buckets.take(key, 1, now);
        }
        assert!(buckets.table().full_at.len() <= MOST);
        let _ = buckets.take(0, 1, now + Duration::from_secs(60));
        let later = now + Duration::from_secs(120);
        for key in 0..FEW * 3 {
            let _ = buckets.take(key, 1, later + Duration::from_secs(2 * key as u64));
        }
        assert!(buckets.table().full_at.len() <= 2 * FEW, "full buckets are forgotten");
    }

    proptest! {
        #[test]
        fn nobody_gets_more_than_the_rate_allows(pauses in proptest::collection::vec((0u64..500, 1u32..4), 1..200)) {
            let (buckets, begun) = (Buckets::new(10, 5), Instant::now());
            let (mut now, mut taken) = (begun, 0u32);
            for (pause, tokens) in pauses {
                now += Duration::from_millis(pause);
                if buckets.take((), tokens, now).is_ok() {
                    taken += tokens;
                }
                let allowed = 5.0 + (now - begun).as_secs_f64() * 10.0;
                prop_assert!(f64::from(taken) <= allowed + 0.001, "{taken} of {allowed}");
            }
        }
    }
}
