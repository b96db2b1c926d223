//! Turns failures of the database into few log lines: one when it can't serve and one when it serves again, however
//! many callers are affected. It also remembers that the database can't be written, which no read would show.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Mode;

/// After a line about a failure, others are only counted for so long.
const QUIET: Duration = Duration::from_secs(10);
/// The time that a database counts as not writable after the last failure, when nobody tries again.
const LASTS: Duration = Duration::from_secs(30);

/// The state of the outage as the log has it.
#[derive(Debug, Default)]
pub(super) struct Outage(Mutex<OutageState>);

#[derive(Debug, Default, PartialEq, Eq)]
struct OutageState {
    told: Option<Instant>,
    untold: u32,
    is_over: bool,
    /// The reason why it can't be written, and the time at which that was last seen.
    storage: Option<(&'static str, Instant)>,
}

impl Outage {
    /// Notes that a caller could not be served; `fault` is the trouble with the database's files or disk, if that is
    /// the reason.
    pub(super) fn failed(&self, reason: &str, fault: Option<&'static str>) {
        let said = self.0.lock().unwrap_or_else(PoisonError::into_inner).failed(Instant::now(), fault);
        match (said, fault) {
            (None, _) => {}
            (Some(others), None) => {
                tracing::warn!(reason, others, "the database can't serve right now; callers are told to try again");
            }
            (Some(others), Some(fault)) => {
                tracing::error!(reason, others, "{fault}; until that is mended uploads are told to try again");
            }
        }
    }

    /// Notes that a caller was served.
    pub(super) fn worked(&self, mode: Mode) {
        if self.0.lock().unwrap_or_else(PoisonError::into_inner).worked(Instant::now(), mode) {
            tracing::info!("the database serves again");
        }
    }

    /// Renews the current storage fault: it was seen again.
    pub(super) fn lasts(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.storage = state.storage.map(|(fault, _)| (fault, Instant::now()));
    }

    /// The reason why it can't be written, as far as that is known.
    pub(super) fn storage_fault(&self) -> Option<&'static str> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).storage_fault(Instant::now())
    }
}

impl OutageState {
    /// The number of failures since the last line, when another line is due.
    fn failed(&mut self, now: Instant, fault: Option<&'static str>) -> Option<u32> {
        let is_news = fault.is_some() && self.storage_fault(now).is_none();
        if let Some(fault) = fault {
            self.storage = Some((fault, now));
        }
        if !is_news && self.told.is_some_and(|told| now < told + QUIET) {
            self.untold += 1;
            return None;
        }
        self.told = Some(now);
        self.is_over = false;
        Some(std::mem::take(&mut self.untold))
    }

    /// True if the log still has the outage as going on, and is to get its end. That it can be written, only a write
    /// tells.
    fn worked(&mut self, now: Instant, mode: Mode) -> bool {
        if mode == Mode::Write {
            self.storage = None;
        }
        self.storage_fault(now).is_none() && self.told.is_some() && !std::mem::replace(&mut self.is_over, true)
    }

    fn storage_fault(&self, now: Instant) -> Option<&'static str> {
        self.storage.filter(|(_, seen)| now < *seen + LASTS).map(|(fault, _)| fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_told_once_and_so_is_its_end() {
        let start = Instant::now();
        let mut state = OutageState::default();
        assert!(!state.worked(start, Mode::Read), "there was none");
        assert_eq!(state.failed(start, None), Some(0));
        for _ in 0..1000 {
            assert_eq!(state.failed(start + QUIET / 2, None), None);
        }
        assert!(state.worked(start + QUIET, Mode::Read));
        assert!(!state.worked(start + QUIET, Mode::Read));
        assert_eq!(state.failed(start + QUIET, None), Some(1000));
        assert!(state.worked(start + QUIET, Mode::Read));
    }

    #[test]
    fn one_that_comes_and_goes_fills_no_log() {
        let start = Instant::now();
        let mut state = OutageState::default();
        let moment = Duration::from_millis(1);
        let lines: usize = (0..10_000u32)
            .map(|step| {
                let now = start + moment * step;
                usize::from(state.failed(now, None).is_some()) + usize::from(state.worked(now, Mode::Write))
            })
            .sum();
        assert_eq!(lines, 2, "over ten seconds");
    }

    #[test]
    fn that_it_can_be_written_again_only_a_write_tells() {
        let start = Instant::now();
        let full = Some("the disk is full");
        let mut state = OutageState::default();
        assert_eq!(state.failed(start, None), Some(0));
        assert_eq!(state.failed(start, full), Some(0), "that the disk is full is news, whatever was told before");
        assert!(!state.worked(start, Mode::Read));
        assert_eq!(state.storage_fault(start), Some("the disk is full"));
        assert!(state.worked(start, Mode::Write));
        assert_eq!(state.storage_fault(start), None);
        state.failed(start, full);
        assert_eq!(state.storage_fault(start + LASTS), None, "what nobody has seen for long may be over");
    }
}
