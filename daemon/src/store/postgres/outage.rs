//! When the log hears that the database can't serve, and that it serves again: so that an outage is a few lines, however
//! many callers meet it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// After a line about a failure, others are only counted for so long.
const QUIET: Duration = Duration::from_secs(10);

/// What the log was told last.
#[derive(Debug, Default)]
pub(super) struct Outage(Mutex<State>);

#[derive(Debug, Default, PartialEq, Eq)]
struct State {
    told: Option<Instant>,
    untold: u32,
    is_over: bool,
}

impl Outage {
    /// Somebody could not be served.
    pub(super) fn failed(&self, reason: &str) {
        let said = self.0.lock().unwrap_or_else(PoisonError::into_inner).failed(Instant::now());
        if let Some(others) = said {
            tracing::warn!(reason, others, "the database can't serve right now; callers are told to try again");
        }
    }

    /// Somebody was served.
    pub(super) fn worked(&self) {
        if self.0.lock().unwrap_or_else(PoisonError::into_inner).worked() {
            tracing::info!("the database serves again");
        }
    }
}

impl State {
    /// How many failures were kept back since the last line, when it is time for one.
    fn failed(&mut self, now: Instant) -> Option<u32> {
        if self.told.is_some_and(|told| now < told + QUIET) {
            self.untold += 1;
            return None;
        }
        self.told = Some(now);
        self.is_over = false;
        Some(std::mem::take(&mut self.untold))
    }

    /// Whether the log thinks that the outage goes on.
    fn worked(&mut self) -> bool {
        self.told.is_some() && !std::mem::replace(&mut self.is_over, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_told_once_and_so_is_its_end() {
        let start = Instant::now();
        let mut state = State::default();
        assert!(!state.worked(), "there was none");
        assert_eq!(state.failed(start), Some(0));
        for _ in 0..1000 {
            assert_eq!(state.failed(start + QUIET / 2), None);
        }
        assert!(state.worked());
        assert!(!state.worked());
        assert_eq!(state.failed(start + QUIET), Some(1000));
        assert!(state.worked());
    }

    #[test]
    fn one_that_comes_and_goes_fills_no_log() {
        let start = Instant::now();
        let mut state = State::default();
        let moment = Duration::from_millis(1);
        let lines: usize = (0..10_000u32)
            .map(|step| usize::from(state.failed(start + moment * step).is_some()) + usize::from(state.worked()))
            .sum();
        assert_eq!(lines, 2, "over ten seconds");
    }
}
