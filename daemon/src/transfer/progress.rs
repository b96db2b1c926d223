//! The progress that a person sees while rows are read, and while records of a known number are moved.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::source::Input;
use super::{Refusal, Summary, Watch};
use crate::progress::Progress;

const BAR: &str = "{bar:30} {bytes}/{total_bytes} {msg} ({eta} left)";
const SPINNER: &str = "{spinner} {bytes} {msg}";
const STEPS: &str = "{msg} {bar:30} {human_pos}/{human_len} records ({eta} left)";

/// Shows how far an import is.
pub(super) struct Reading {
    progress: Progress,
    bytes: Arc<AtomicU64>,
}

impl Reading {
    /// The progress of reading `input`.
    pub(super) fn new(input: &Input) -> Self {
        let template = if input.length().is_some() { BAR } else { SPINNER };
        Self { progress: Progress::new(template, input.length()), bytes: input.counter() }
    }
}

impl Watch for Reading {
    fn refused(&mut self, refusal: &Refusal) {
        self.progress.say(refusal);
    }

    fn moved(&mut self, summary: &Summary) {
        let read = self.bytes.load(Ordering::Relaxed);
        self.progress.at(read, format!("{} rows", summary.read), || format!("{summary} so far"));
    }
}

/// Shows how many records of a known number are done.
pub(super) struct Steps {
    progress: Progress,
    what: &'static str,
    total: u64,
    done: u64,
}

impl Steps {
    /// None of `total` yet.
    pub(super) fn new(what: &'static str, total: u64) -> Self {
        Self { progress: Progress::new(STEPS, Some(total)), what, total, done: 0 }
    }

    /// Counts so many more as done.
    pub(super) fn made(&mut self, count: u64) {
        self.done += count;
        let Self { progress, what, total, done } = self;
        progress.at(*done, *what, || format!("{what}: {done} of {total} records so far"));
    }
}
