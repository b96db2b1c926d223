//! The pause before an actor that failed is started again.

use std::time::Duration;

use crate::backoff::Backoff;

/// The pause after the first failure.
const FIRST: Duration = Duration::from_millis(50);
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(10);
/// The run time after which an actor has recovered: its next failure counts as a first one.
const RECOVERED: Duration = Duration::from_secs(60);

/// The pauses between the starts of one actor.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RestartBackoff(Backoff);

impl Default for RestartBackoff {
    fn default() -> Self {
        Self(Backoff::new(FIRST, LONGEST))
    }
}

impl RestartBackoff {
    /// The pause after a failure of an actor that `ran` for so long.
    pub(crate) fn after(&mut self, ran: Duration) -> Duration {
        if ran >= RECOVERED {
            self.0.reset();
        }
        self.0.pause()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgets_after_a_good_run() {
        let mut backoff = RestartBackoff::default();
        assert_eq!([(); 2].map(|()| backoff.after(Duration::ZERO)), [FIRST, FIRST * 2]);
        assert_eq!(backoff.after(RECOVERED), FIRST);
    }
}
