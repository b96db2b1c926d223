//! How much is done at once, so that nobody waits long for it: the time of one batch decides the size of the next. Pure.

use std::time::Duration;

/// What a batch should take.
const AIM: Duration = Duration::from_millis(10);
/// The first batch.
const FIRST: i64 = 100;
/// The smallest batch and the largest. Below the first, what a transaction costs by itself outweighs its rows.
const SIZES: (i64, i64) = (100, 2000);
/// The next batch is at most so many times larger or smaller than the last one.
const STEP: f64 = 2.0;
/// The pause after a batch: as long as the batch took, within these bounds.
const PAUSES: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(500));

/// The size of the next batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace(i64);

impl Default for Pace {
    fn default() -> Self {
        Self(FIRST)
    }
}

impl Pace {
    /// How much the next batch may hold.
    pub(super) fn size(self) -> i64 {
        self.0
    }

    /// A batch took this long; one that was not full says nothing of how fast a larger one would be. Returns how long the
    /// others go first.
    pub(super) fn after(&mut self, took: Duration, was_full: bool) -> Duration {
        let most = if was_full { STEP } else { 1.0 };
        let faster = (AIM.as_secs_f64() / took.as_secs_f64().max(f64::MIN_POSITIVE)).clamp(1.0 / STEP, most);
        self.0 = ((self.0 as f64 * faster) as i64).clamp(SIZES.0, SIZES.1);
        took.clamp(PAUSES.0, PAUSES.1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whatever_a_row_costs_batches_come_to_take_what_they_should(row_us in 0.5..2_000.0f64, fixed_us in 0.0..5_000.0f64) {
            let cost = |size: i64| Duration::from_secs_f64((fixed_us + row_us * size as f64) / 1e6);
            let mut pace = Pace::default();
            for _ in 0..40 {
                pace.after(cost(pace.size()), true);
            }
            let took = cost(pace.size());
            let fits = took <= AIM.mul_f64(1.2) || pace.size() == SIZES.0;
            let is_worth_it = took >= AIM.mul_f64(0.7) || pace.size() == SIZES.1;
            prop_assert!(fits && is_worth_it, "{} rows take {took:?}", pace.size());
        }

        #[test]
        fn sizes_and_pauses_are_bounded_whatever_happens(times in proptest::collection::vec((0..100_000u64, any::<bool>()), 1..50)) {
            let mut pace = Pace::default();
            for (micros, was_full) in times {
                let before = pace.size();
                let pause = pace.after(Duration::from_micros(micros), was_full);
                prop_assert!((SIZES.0..=SIZES.1).contains(&pace.size()));
                let most = if was_full { before * 2 } else { before };
                prop_assert!(pace.size() <= most, "a jump from {before} to {}", pace.size());
                prop_assert!((PAUSES.0..=PAUSES.1).contains(&pause));
            }
        }
    }
}
