//! Times in a histogram of bounded size, exact to a thousandth.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

/// The longest time that is told from longer ones, in microseconds.
const LONGEST: u64 = 600_000_000;
const DIGITS: u8 = 3;

/// Times, in microseconds.
#[derive(Debug, Clone)]
pub struct Times(Histogram<u64>);

impl Times {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self(Histogram::new_with_bounds(1, LONGEST, DIGITS).expect("the bounds are those of a histogram"))
    }

    /// Adds one.
    pub fn record(&mut self, time: Duration) {
        self.0.saturating_record(u64::try_from(time.as_micros()).unwrap_or(LONGEST));
    }

    /// Adds those of another.
    pub fn merge(&mut self, other: &Self) {
        self.0.add(&other.0).expect("all have the same bounds");
    }

    /// Their number.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The time that a share of all did not exceed, in milliseconds.
    #[must_use]
    pub fn at(&self, share: f64) -> f64 {
        self.0.value_at_quantile(share) as f64 / 1000.0
    }

    /// Percentiles in milliseconds; null when there is none.
    #[must_use]
    pub fn json(&self) -> Value {
        if self.0.is_empty() {
            return Value::Null;
        }
        json!({"p50": self.at(0.5), "p90": self.at(0.9), "p99": self.at(0.99), "p99.9": self.at(0.999),
            "max": self.at(1.0), "count": self.count()})
    }
}

impl Default for Times {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(milliseconds: impl IntoIterator<Item = u64>) -> Times {
        let mut times = Times::new();
        milliseconds.into_iter().for_each(|time| times.record(Duration::from_millis(time)));
        times
    }

    /// True when they are the same but for the exactness of the histogram.
    fn is_near(measured: f64, wanted: f64) -> bool {
        (measured - wanted).abs() <= wanted / 1000.0
    }

    #[test]
    fn percentiles_are_exact_to_a_thousandth() {
        let times = of(1..=1000);
        for (share, wanted) in [(0.5, 500.0), (0.99, 990.0), (1.0, 1000.0)] {
            assert!(is_near(times.at(share), wanted), "{share}: {}", times.at(share));
        }
    }

    #[test]
    fn merged_times_are_as_if_taken_together() {
        let mut merged = of(1..=300);
        merged.merge(&of(301..=900));
        merged.merge(&of(901..=1000));
        let whole = of(1..=1000);
        assert_eq!(merged.json(), whole.json());
        assert_eq!(merged.count(), 1000);
    }

    #[test]
    fn no_time_is_no_percentile() {
        assert_eq!(Times::new().json(), Value::Null);
    }

    #[test]
    fn a_time_beyond_the_bounds_is_the_longest() {
        assert!(is_near(of([10_000_000]).at(1.0), LONGEST as f64 / 1000.0));
    }
}
