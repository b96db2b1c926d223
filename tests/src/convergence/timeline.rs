//! The events of a run with their time and actor, for the report of a failure. Bounded: of each actor the last lines
//! are kept.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lines that are kept of each actor.
const KEPT: usize = 400;

/// The events so far.
#[derive(Debug)]
pub struct Timeline {
    began: Instant,
    lines: Mutex<BTreeMap<String, VecDeque<(Duration, String)>>>,
}

impl Default for Timeline {
    fn default() -> Self {
        Self { began: Instant::now(), lines: Mutex::default() }
    }
}

impl Timeline {
    /// Notes an event that happens now.
    pub fn note(&self, actor: &str, what: impl Into<String>) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let own = lines.entry(actor.to_owned()).or_default();
        if own.len() == KEPT {
            own.pop_front();
        }
        own.push_back((self.began.elapsed(), what.into()));
    }

    /// The time since the start.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// The lines of some actors, oldest first.
    #[must_use]
    pub fn of(&self, wanted: impl Fn(&str) -> bool) -> String {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<(&Duration, &str, &str)> = lines
            .iter()
            .filter(|(actor, _)| wanted(actor))
            .flat_map(|(actor, own)| own.iter().map(move |(at, what)| (at, actor.as_str(), what.as_str())))
            .collect();
        all.sort();
        all.iter().map(|(at, actor, what)| format!("{:10.3}s {actor:12} {what}\n", at.as_secs_f64())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept_in_order() {
        let timeline = Timeline::default();
        for n in 0..=KEPT {
            timeline.note("device-1", format!("line {n}"));
            timeline.note("device-2", "else");
        }
        let told = timeline.of(|actor| actor == "device-1");
        let lines: Vec<&str> = told.lines().collect();
        assert_eq!(lines.len(), KEPT);
        assert!(lines[0].ends_with("line 1") && lines[KEPT - 1].ends_with(&format!("line {KEPT}")), "{told}");
    }
}
