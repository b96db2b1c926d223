//! The database's clock, as it is known here: all instances go by it, whatever their own clocks say.

use std::time::Duration;

use tokio::time::Instant;

/// An answer that took this much less is worth as much as one that is a second younger: clocks drift apart.
const DRIFT: Duration = Duration::from_millis(1);

/// A reading of the database's clock, taken somewhere between question and answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    middle: Instant,
    /// The possible error, to either side.
    off: Duration,
    /// Microseconds since 1970.
    micros: i64,
}

impl Reading {
    /// The answer to a question.
    pub(super) fn new(asked: Instant, answered: Instant, micros: i64) -> Self {
        let off = answered.saturating_duration_since(asked) / 2;
        Self { middle: asked + off, off, micros }
    }

    /// The database's time at a moment from now on.
    pub(super) fn at(&self, moment: Instant) -> i64 {
        self.micros.saturating_add(micros(moment.saturating_duration_since(self.middle)))
    }

    /// The better of two: a former one, and one of now.
    pub(super) fn or_newer(self, newer: Self) -> Self {
        let age = newer.middle.saturating_duration_since(self.middle);
        let apart = self.at(newer.middle).abs_diff(newer.micros);
        let worn = self.off + DRIFT.mul_f64(age.as_secs_f64());
        // Further apart than both can be off: the clock was set, or it is another server's.
        let was_set = u128::from(apart) > (worn + newer.off).as_micros();
        if was_set || newer.off <= worn { newer } else { self }
    }
}

/// As microseconds.
pub(super) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_quickest_answer_counts_until_it_is_old_or_the_clock_was_set() {
        let start = Instant::now();
        let quick = Reading::new(start, start + 2 * MS, 1_001_000);
        assert_eq!(quick.at(start + 11 * MS), 1_011_000);
        let slow = Reading::new(start + 1000 * MS, start + 1100 * MS, 2_030_000);
        assert_eq!(quick.or_newer(slow).at(start + 1001 * MS), 2_001_000, "the quick one said more");
        let later = Reading::new(start + 100_000 * MS, start + 100_100 * MS, 101_030_000);
        assert_eq!(quick.or_newer(later).at(start + 100_050 * MS), 101_030_000, "it is too old to say more");
        let set = Reading::new(start + 1000 * MS, start + 1100 * MS, 62_000_000);
        assert_eq!(quick.or_newer(set).at(start + 1050 * MS), 62_000_000, "the clock was set");
    }
}
