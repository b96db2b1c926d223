//! The pauses before something that failed is tried again.

use std::time::Duration;

/// Doubles the pause with every failure in a row, up to a bound.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    /// Begins with the first of these pauses and ends with the longest.
    pub(crate) const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, next: first }
    }

    /// The pause after another failure.
    pub(crate) fn pause(&mut self) -> Duration {
        let doubled = self.next.saturating_mul(2).min(self.longest);
        std::mem::replace(&mut self.next, doubled)
    }

    /// Begins again: what failed has worked since.
    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_a_bound_and_begins_again() {
        let (first, longest) = (Duration::from_millis(50), Duration::from_secs(10));
        let mut backoff = Backoff::new(first, longest);
        let pauses: Vec<_> = (0..12).map(|_| backoff.pause()).collect();
        assert_eq!(pauses[..3], [first, first * 2, first * 4]);
        assert_eq!(pauses[11], longest);
        backoff.reset();
        assert_eq!(backoff.pause(), first);
    }
}
