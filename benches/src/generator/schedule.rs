//! The times of an open loop: each change is due at its time, whatever has come back by then, and is measured from then on.
//!
//! A generator that waited for answers would send least while the server is slowest, and so leave out the worst
//! (coordinated omission).

use std::time::Duration;

const SECOND: u128 = 1_000_000_000;

/// Evenly spaced times, in nanoseconds after the start.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    per_second: u32,
}

impl Schedule {
    /// So many a second.
    ///
    /// # Panics
    /// With none.
    #[must_use]
    pub fn of_rate(per_second: u32) -> Self {
        assert!(per_second > 0, "a schedule has at least one change a second");
        Self { per_second }
    }

    /// The time of a change, the first being number 0. No error adds up.
    #[must_use]
    pub fn due(&self, number: u64) -> u64 {
        u64::try_from(u128::from(number) * SECOND / u128::from(self.per_second)).unwrap_or(u64::MAX)
    }

    /// The number of changes that are due before this time.
    #[must_use]
    pub fn before(&self, length: Duration) -> u64 {
        let nanoseconds = length.as_nanos() * u128::from(self.per_second);
        u64::try_from(nanoseconds.div_ceil(SECOND)).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_even_and_no_error_adds_up() {
        let thirds = Schedule::of_rate(3);
        assert_eq!([0, 1, 2, 3].map(|number| thirds.due(number)), [0, 333_333_333, 666_666_666, 1_000_000_000]);
        assert_eq!(thirds.due(3 * 86_400), 86_400_000_000_000);
    }

    #[test]
    fn all_that_is_due_before_a_time_is_counted() {
        let schedule = Schedule::of_rate(200);
        assert_eq!(schedule.before(Duration::from_secs(8)), 1600);
        assert_eq!(schedule.before(Duration::from_millis(5)), 1);
        assert_eq!(schedule.before(Duration::from_millis(6)), 2);
        for number in 0..1000 {
            let at = Duration::from_nanos(schedule.due(number));
            assert_eq!(schedule.before(at), number);
        }
    }
}
