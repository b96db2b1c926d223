//! The pause before something that failed is started again.

use std::time::Duration;

/// The pause after the first failure.
const FIRST: Duration = Duration::from_millis(50);
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(10);
/// The run time after which something has recovered: its next failure counts as a first one.
const RECOVERED: Duration = Duration::from_secs(60);

/// Doubles the pause with every failure in a row.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The pause after a failure of something that `ran` for so long.
    pub(crate) fn after(&mut self, ran: Duration) -> Duration {
        if ran >= RECOVERED {
            self.failures = 0;
        }
        let pause = FIRST.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        pause.min(LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_to_a_bound_and_forgets_after_a_good_run() {
        let mut backoff = Backoff::default();
        let pauses: Vec<_> = (0..12).map(|_| backoff.after(Duration::ZERO)).collect();
        assert_eq!(pauses[0], FIRST);
        assert_eq!(pauses[1], FIRST * 2);
        assert_eq!(pauses[11], LONGEST);
        assert_eq!(backoff.after(RECOVERED), FIRST);
    }
}
