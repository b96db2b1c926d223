//! Numbers that were measured several times, reported with their spread.

use std::fmt::{Display, Formatter, Result};

/// Minimum, median and maximum.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread([f64; 3]);

impl Spread {
    /// Of what was measured, at least once.
    ///
    /// # Panics
    /// When nothing was.
    #[must_use]
    pub fn of(mut measured: Vec<f64>) -> Self {
        measured.sort_unstable_by(f64::total_cmp);
        let last = measured.len().checked_sub(1).expect("something was measured");
        Self([measured[0], measured[last / 2], measured[last]])
    }

    /// The one in the middle.
    #[must_use]
    pub fn middle(&self) -> f64 {
        self.0[1]
    }

    /// The highest.
    #[must_use]
    pub fn most(&self) -> f64 {
        self.0[2]
    }
}

/// As `minimum/median/maximum`, with two decimals where the number is small, else none.
impl Display for Spread {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let decimals = if self.most().abs() < 100.0 { 2 } else { 0 };
        let [low, middle, high] = self.0;
        write!(f, "{low:.decimals$}/{middle:.decimals$}/{high:.decimals$}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_minimum_median_and_maximum() {
        assert_eq!(Spread::of(vec![9.0, 1.0, 2.5]).to_string(), "1.00/2.50/9.00");
        assert_eq!(Spread::of(vec![200.4, 100.0]).to_string(), "100/100/200");
        assert_eq!(Spread::of(vec![7.0]).to_string(), "7.00/7.00/7.00");
    }
}
